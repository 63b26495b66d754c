//! Serial numbers of certificates.

use std::fmt;
use std::str::FromStr;

use rand::RngCore;
use rcgen::SerialNumber;

/// Longest serial in bytes (RFC 5280, section 4.1.2.2).
pub const SERIAL_MAX: usize = 20;

/// A certificate's serial: positive, at most [`SERIAL_MAX`] bytes, big-endian without leading zeroes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(Vec<u8>);

impl Serial {
    /// A fresh serial of 159 random bits, so that nobody can guess the next one and no counter need be kept.
    pub fn random() -> Self {
        let mut bytes = [0; SERIAL_MAX];
        loop {
            rand::rngs::OsRng.fill_bytes(&mut bytes);
            bytes[0] &= 0x7f; // DER integers are signed; a set top bit would cost a 21st byte.
            if let Ok(serial) = Self::from_bytes(&bytes) {
                return serial;
            }
        }
    }

    /// From big-endian bytes; leading zeroes are passed over.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NotASerial> {
        let start = bytes.iter().position(|&byte| byte != 0).ok_or(NotASerial::Zero)?;
        let bytes = &bytes[start..];
        if bytes.len() > SERIAL_MAX {
            return Err(NotASerial::TooLong);
        }
        Ok(Serial(bytes.to_vec()))
    }

    /// Big-endian, without leading zeroes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&Serial> for SerialNumber {
    fn from(serial: &Serial) -> Self {
        SerialNumber::from_slice(&serial.0)
    }
}

/// Hexadecimal in pairs, as `openssl x509 -serial` writes it.
impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode_upper(&self.0))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({self})")
    }
}

/// Why text or bytes are no serial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotASerial {
    /// Something that is no hexadecimal digit, or colons that do not stand between pairs.
    #[error("a serial is hexadecimal, like 3A1F04 or 3a:1f:04")]
    NotHex,
    /// Serials are positive.
    #[error("a serial is never zero")]
    Zero,
    /// Longer than [`SERIAL_MAX`].
    #[error("a serial has at most {SERIAL_MAX} bytes")]
    TooLong,
}

/// Hexadecimal of either case, with a colon between all pairs or none.
impl FromStr for Serial {
    type Err = NotASerial;

    fn from_str(text: &str) -> Result<Self, NotASerial> {
        if text.contains(':') && text.split(':').any(|pair| pair.len() != 2) {
            return Err(NotASerial::NotHex);
        }
        let mut digits = text.replace(':', "");
        if digits.is_empty() {
            return Err(NotASerial::NotHex);
        }
        if digits.len() % 2 == 1 {
            digits.insert(0, '0');
        }
        Serial::from_bytes(&hex::decode(digits).map_err(|_| NotASerial::NotHex)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn random_ones_are_positive_different_and_fit() {
        let some: std::collections::HashSet<Serial> = (0..1000).map(|_| Serial::random()).collect();
        assert_eq!(some.len(), 1000);
        assert!(some.iter().all(|s| s.0.len() < SERIAL_MAX || (s.0.len() == SERIAL_MAX && s.0[0] < 0x80)));
        assert!(some.iter().any(|s| s.0.len() == SERIAL_MAX && s.0[0] >= 0x40), "159 bits are in use");
    }

    #[test]
    fn spellings_of_one_serial_are_one_serial() {
        let serial: Serial = "0A1F04".parse().unwrap();
        for text in ["a1f04", "0a:1f:04", "0A:1f:04", "000A1F04", "00:0a:1f:04"] {
            assert_eq!(text.parse(), Ok(serial.clone()), "{text}");
        }
        assert_eq!(serial.to_string(), "0A1F04");
    }

    #[test]
    fn other_text_is_refused_with_its_reason() {
        for text in ["", ":", "0a:", "a:1f", "0a::1f", "0x0a", "zz", "0a 1f", "é", "+a", "0a:1", "serial=0A"]
        {
            assert_eq!(text.parse::<Serial>(), Err(NotASerial::NotHex), "{text}");
        }
        assert_eq!("00".parse::<Serial>(), Err(NotASerial::Zero));
        assert!("ff".repeat(SERIAL_MAX).parse::<Serial>().is_ok());
        assert_eq!("ff".repeat(SERIAL_MAX + 1).parse::<Serial>(), Err(NotASerial::TooLong));
        assert!(format!("00{}", "ff".repeat(SERIAL_MAX)).parse::<Serial>().is_ok());
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_parses_round_trips(text in "\\PC{0,60}|[0-9a-fA-F:]{0,60}") {
            if let Ok(serial) = text.parse::<Serial>() {
                prop_assert_eq!(serial.to_string().parse(), Ok(serial));
            }
        }

        #[test]
        fn bytes_round_trip(bytes in proptest::collection::vec(any::<u8>(), 1..=SERIAL_MAX)) {
            if let Ok(serial) = Serial::from_bytes(&bytes) {
                prop_assert_eq!(serial.to_string().parse(), Ok(serial.clone()));
                let pairs: Vec<String> = serial.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
                prop_assert_eq!(pairs.join(":").parse(), Ok(serial));
            }
        }
    }
}
