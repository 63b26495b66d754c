//! Values that travel as text inside JSON: times and bytes.
//!
//! What does not parse is refused in words of ours, [`REFUSALS`], which the server may repeat to whoever
//! asked: other words of a JSON reader may quote the value.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Timestamp;

const NOT_A_TIME: &str = "`until` is a time like 2026-11-22T15:04:05Z";
const NOT_BASE64: &str = "an attribute's value is base64";

/// What is said of text that is not what it should be.
pub const REFUSALS: &[&str] = &[NOT_A_TIME, NOT_BASE64];

/// A [`Timestamp`] as RFC 3339: written in UTC with whole seconds, rounded down; read with any offset and
/// fraction. For `#[serde(with = …)]`.
pub mod rfc3339 {
    use super::*;

    /// As text.
    pub fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(at)
    }

    /// From text.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().ok().or_else(|| beyond(&text)).ok_or_else(|| de::Error::custom(NOT_A_TIME))
    }

    /// A moment that RFC 3339 has no text for, as [`Timestamp`] shows it.
    fn beyond(text: &str) -> Option<Timestamp> {
        text.strip_prefix('@')?.strip_suffix("ms")?.parse().ok().map(Timestamp)
    }

    /// The same for a time that may be missing.
    pub mod option {
        use super::*;

        /// As text.
        pub fn serialize<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
            at.map(|at| at.to_string()).serialize(serializer)
        }

        /// From text.
        pub fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            let text = Option::<String>::deserialize(deserializer)?;
            let parse = |text: String| text.parse().map_err(|_| de::Error::custom(NOT_A_TIME));
            text.map(parse).transpose()
        }
    }
}

/// Bytes, in base64 on the wire (RFC 4648, section 4, with padding).
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Base64(pub Vec<u8>);

impl fmt::Display for Base64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(&self.0))
    }
}

impl fmt::Debug for Base64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Base64({self})")
    }
}

impl<T: Into<Vec<u8>>> From<T> for Base64 {
    fn from(bytes: T) -> Self {
        Base64(bytes.into())
    }
}

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Base64).map_err(|_| de::Error::custom(NOT_BASE64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Time(#[serde(with = "rfc3339")] Timestamp);

    #[test]
    fn times_are_rfc_3339_in_whole_seconds() {
        let text = serde_json::to_string(&Time(Timestamp(1_795_273_445_999))).unwrap();
        assert_eq!(text, r#""2026-11-21T15:04:05Z""#);
        let read = |text: &str| serde_json::from_str::<Time>(text).map(|time| time.0.millis());
        assert_eq!(read(r#""2026-11-21T16:04:05.5+01:00""#).unwrap(), 1_795_273_445_500);
        assert!(read(r#""soon""#).unwrap_err().to_string().starts_with(NOT_A_TIME));
    }

    #[test]
    fn bytes_are_base64() {
        assert_eq!(serde_json::to_string(&Base64::from("signed")).unwrap(), r#""c2lnbmVk""#);
        let refused = serde_json::from_str::<Base64>(r#""?""#).unwrap_err();
        assert!(refused.to_string().starts_with(NOT_BASE64));
    }

    proptest! {
        #[test]
        fn every_moment_comes_back_to_its_second(millis: i64) {
            let json = serde_json::to_string(&Time(Timestamp(millis))).unwrap();
            let back = serde_json::from_str::<Time>(&json).unwrap().0.millis();
            prop_assert!(back == millis || back == millis.div_euclid(1000) * 1000);
        }

        #[test]
        fn all_bytes_come_back(bytes: Vec<u8>) {
            let json = serde_json::to_string(&Base64(bytes.clone())).unwrap();
            prop_assert_eq!(serde_json::from_str::<Base64>(&json).unwrap(), Base64(bytes));
        }
    }
}
