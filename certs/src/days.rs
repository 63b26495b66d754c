//! How long a certificate is good for.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A lifetime in days, 1 to [`Days::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Days(u32);

impl Days {
    /// The longest lifetime: 30 years.
    pub const MAX: u32 = 10_950;
    /// A root's: 10 years.
    pub const ROOT: Days = Days(3_650);
    /// A server's: short, so that a key that was stolen unnoticed serves no longer than that.
    pub const SERVER: Days = Days(90);
    /// A node's: 2 years.
    pub const NODE: Days = Days(730);

    /// As a span of time.
    pub fn duration(self) -> Duration {
        Duration::from_secs(u64::from(self.0) * 24 * 60 * 60)
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The text is no lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a lifetime is 1 to {max} days", max = Days::MAX)]
pub struct NotDays;

impl FromStr for Days {
    type Err = NotDays;

    fn from_str(text: &str) -> Result<Self, NotDays> {
        match text.parse() {
            Ok(days) if (1..=Days::MAX).contains(&days) => Ok(Days(days)),
            _ => Err(NotDays),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        assert_eq!("1".parse(), Ok(Days(1)));
        assert_eq!("10950".parse(), Ok(Days(10_950)));
        for text in ["0", "10951", "-1", "", "1d", "99999999999"] {
            assert_eq!(text.parse::<Days>(), Err(NotDays), "{text}");
        }
        assert_eq!(Days::NODE.duration(), Duration::from_secs(63_072_000));
    }
}
