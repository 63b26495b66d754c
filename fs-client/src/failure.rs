//! What a person reads when something fails: what happened, and what to do about it.

use std::fmt;

/// A failure in two parts. Its `Display` is the two lines that `3s` prints behind `3s: `.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What happened, and on which path.
    pub what: String,
    /// What to do now.
    pub hint: String,
}

impl Failure {
    /// A failure with its hint.
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Failure { what: what.into(), hint: hint.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  hint: {}", self.what, self.hint)
    }
}

impl std::error::Error for Failure {}
