//! What a person reads when a command fails: what happened, and what to do about it.

use std::fmt;

/// A failure in two lines. Its `Display` is what a program prints behind its own name and a colon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advised {
    /// What happened, and on which path. One line.
    pub what: String,
    /// What to do now.
    pub hint: String,
}

impl Advised {
    /// A failure with its hint.
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Advised { what: what.into(), hint: hint.into() }
    }
}

impl fmt::Display for Advised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  hint: {}", self.what, self.hint)
    }
}

impl std::error::Error for Advised {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_comes_first_and_the_way_on_under_it() {
        let failed = Advised::new("/mnt is not a folder", "mkdir it");
        assert_eq!(format!("3s: {failed}"), "3s: /mnt is not a folder\n  hint: mkdir it");
    }
}
