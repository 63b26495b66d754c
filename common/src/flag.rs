//! The two protections a document can have.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a document is protected. Both seal it at rest; `Integrity` also signs every version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Flag {
    /// Sealed at rest (the default).
    #[default]
    Confidentiality,
    /// Sealed at rest, and every version is signed by the server.
    Integrity,
}

impl Flag {
    /// The word that users and the wire use.
    pub fn as_str(self) -> &'static str {
        match self {
            Flag::Confidentiality => "confidentiality",
            Flag::Integrity => "integrity",
        }
    }

    /// The byte that stands in records.
    pub fn to_byte(self) -> u8 {
        match self {
            Flag::Confidentiality => 1,
            Flag::Integrity => 2,
        }
    }

    /// The inverse of [`Flag::to_byte`].
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Flag::Confidentiality),
            2 => Some(Flag::Integrity),
            _ => None,
        }
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text was neither of the two flags.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a flag is `confidentiality` or `integrity`")]
pub struct NotAFlag;

impl FromStr for Flag {
    type Err = NotAFlag;

    fn from_str(text: &str) -> Result<Self, NotAFlag> {
        match text.trim_end_matches('\n') {
            "confidentiality" => Ok(Flag::Confidentiality),
            "integrity" => Ok(Flag::Integrity),
            _ => Err(NotAFlag),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_bytes_round_trip() {
        for flag in [Flag::Confidentiality, Flag::Integrity] {
            assert_eq!(flag.as_str().parse(), Ok(flag));
            assert_eq!(Flag::from_byte(flag.to_byte()), Some(flag));
        }
        assert_eq!("secret".parse::<Flag>(), Err(NotAFlag));
        assert_eq!(Flag::from_byte(0), None);
    }
}
