//! Rights, grantees and the text of a grant: `RIGHT[,WHEN]`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::NameError;
use crate::{Timestamp, Uid};

/// The grammar that a refused grant quotes.
pub const GRAMMAR: &str = "RIGHT[,WHEN] with RIGHT = checkin, checkout, both (or w, r, rw; 1, 2, 3) \
     and WHEN = 50s, 10m, 2h, 7d, bare seconds, or a time like 2026-11-22T15:04:05Z";

/// What a grant allows: `checkin` writes, `checkout` reads, `both` does both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Check in: write.
    Checkin,
    /// Check out: read.
    Checkout,
    /// Check in and check out.
    Both,
}

impl Right {
    /// Whether this right lets its holder read.
    pub fn reads(self) -> bool {
        matches!(self, Right::Checkout | Right::Both)
    }

    /// Whether this right lets its holder write.
    pub fn writes(self) -> bool {
        matches!(self, Right::Checkin | Right::Both)
    }

    /// What is in both rights; `None` where that is nothing.
    pub fn common(self, other: Right) -> Option<Right> {
        match (self, other) {
            (Right::Both, right) | (right, Right::Both) => Some(right),
            (one, other) => (one == other).then_some(one),
        }
    }

    /// The word that users and the wire use.
    pub fn as_str(self) -> &'static str {
        match self {
            Right::Checkin => "checkin",
            Right::Checkout => "checkout",
            Right::Both => "both",
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Right {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        match text {
            "checkin" | "w" | "1" => Ok(Right::Checkin),
            "checkout" | "r" | "2" => Ok(Right::Checkout),
            "both" | "rw" | "3" => Ok(Right::Both),
            _ => Err(GrantError::Right(text.into())),
        }
    }
}

/// Whom a grant names: one user, or everyone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub enum Grantee {
    /// Every user of the store.
    All,
    /// This user.
    User(Uid),
}

impl fmt::Display for Grantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Grantee::All => f.write_str("ALL"),
            Grantee::User(uid) => uid.fmt(f),
        }
    }
}

impl FromStr for Grantee {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            "ALL" => Ok(Grantee::All),
            _ => text.parse().map(Grantee::User),
        }
    }
}

impl TryFrom<String> for Grantee {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Grantee> for String {
    fn from(grantee: Grantee) -> String {
        grantee.to_string()
    }
}

/// When a grant ends: some time from now on the server's clock, or at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// So many seconds after the server accepts the grant; at least 1.
    Seconds(u64),
    /// At this moment.
    Until(Timestamp),
}

impl When {
    /// The moment that is meant, seen from `now`.
    pub fn end(self, now: Timestamp) -> Timestamp {
        match self {
            When::Seconds(seconds) => now.after(Duration::from_secs(seconds)),
            When::Until(at) => at,
        }
    }
}

impl FromStr for When {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let refused = || GrantError::When(text.into());
        if text.contains('T') || text.contains('t') {
            return text.parse().map(When::Until).map_err(|_| refused());
        }
        let (digits, unit) = match text.chars().last() {
            Some('s') => (&text[..text.len() - 1], 1),
            Some('m') => (&text[..text.len() - 1], 60),
            Some('h') => (&text[..text.len() - 1], 3600),
            Some('d') => (&text[..text.len() - 1], 86_400),
            _ => (text, 1),
        };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(refused());
        }
        let count: u64 = digits.parse().map_err(|_| refused())?;
        match count.checked_mul(unit) {
            Some(seconds) if seconds > 0 => Ok(When::Seconds(seconds)),
            _ => Err(refused()),
        }
    }
}

/// A grant as a user writes it: `checkout,50s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantText {
    /// What is allowed.
    pub right: Right,
    /// Until when; the server's `default_ttl` when it is missing.
    pub when: Option<When>,
}

impl FromStr for GrantText {
    type Err = GrantError;

    /// One trailing newline is passed over, as `echo` leaves it.
    fn from_str(text: &str) -> Result<Self, GrantError> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        match text.split_once(',') {
            None => Ok(GrantText { right: text.parse()?, when: None }),
            Some((right, when)) => Ok(GrantText { right: right.parse()?, when: Some(when.parse()?) }),
        }
    }
}

/// Reads `checkout,2026-11-22T15:04:05Z`: absolute, so writing it back never extends a grant.
pub fn grant_value(right: Right, until: Timestamp) -> String {
    format!("{right},{until}")
}

/// Why a grant's text was refused. Its words quote the grammar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// The part before the comma is no right.
    #[error("{0:?} is no right; a grant reads {GRAMMAR}")]
    Right(String),
    /// The part after the comma is no time.
    #[error("{0:?} is no end of a grant; a grant reads {GRAMMAR}")]
    When(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> GrantText {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn what_two_rights_have_in_common() {
        use Right::{Both, Checkin, Checkout};
        for one in [Checkin, Checkout, Both] {
            for other in [Checkin, Checkout, Both] {
                let reads = one.reads() && other.reads();
                let writes = one.writes() && other.writes();
                let common = one.common(other);
                assert_eq!(common.is_some_and(Right::reads), reads, "{one} {other}");
                assert_eq!(common.is_some_and(Right::writes), writes, "{one} {other}");
            }
        }
    }

    #[test]
    fn rights_have_three_spellings() {
        for (right, spellings) in [
            (Right::Checkin, ["checkin", "w", "1"]),
            (Right::Checkout, ["checkout", "r", "2"]),
            (Right::Both, ["both", "rw", "3"]),
        ] {
            for spelling in spellings {
                assert_eq!(parsed(spelling), GrantText { right, when: None });
            }
        }
    }

    #[test]
    fn ends() {
        for (text, seconds) in [("50s", 50), ("10m", 600), ("2h", 7200), ("7d", 604_800), ("15", 15)] {
            assert_eq!(parsed(&format!("r,{text}")).when, Some(When::Seconds(seconds)));
        }
        let until = "2026-11-22T15:04:05Z";
        assert_eq!(parsed(&format!("checkout,{until}")).when, Some(When::Until(until.parse().unwrap())));
    }

    #[test]
    fn malformed_grants_are_refused_with_the_grammar() {
        for bad in [
            "",
            ",",
            "read",
            "r,",
            "r,0",
            "r,0s",
            "r,-1s",
            "r,1w",
            "r,s",
            "r,1.5h",
            "r,99999999999999999999d",
            "r,2026-13-01T00:00:00Z",
            "r,50s,",
            "r, 50s",
            "R,50s",
            "r,é",
        ] {
            let error = bad.parse::<GrantText>().expect_err(bad).to_string();
            assert!(error.contains(GRAMMAR), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,30}") {
            let _ = text.parse::<GrantText>();
        }

        #[test]
        fn what_is_read_can_be_written_back_and_never_extends(millis in 0i64..4_000_000_000_000) {
            let value = grant_value(Right::Both, Timestamp(millis));
            let back = parsed(&value);
            prop_assert_eq!(back.right, Right::Both);
            prop_assert!(back.when.unwrap().end(Timestamp(0)) <= Timestamp(millis));
        }
    }
}
