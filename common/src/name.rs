//! Names that people choose: users, nodes, files, paths. Each is parsed once, in its constructor.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::{DEPTH_MAX, NAME_MAX, PATH_MAX, UID_MAX};

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name has no characters.
    #[error("a name cannot be empty")]
    Empty,
    /// The name or the path is longer than its limit, given in bytes.
    #[error("longer than {0} bytes")]
    TooLong(usize),
    /// The path has more folders than the limit.
    #[error("deeper than {0} folders")]
    TooDeep(usize),
    /// A character that such a name cannot have.
    #[error("{0:?} is not allowed here")]
    Character(char),
    /// A name that means something else: `.`, `..`, `ALL`.
    #[error("`{0}` is reserved")]
    Reserved(String),
    /// A path that does not begin with `@owner`.
    #[error("a document path reads @owner/folder/name")]
    NoOwner,
    /// The name is not UTF-8.
    #[error("names are UTF-8 text")]
    NotUtf8,
}

macro_rules! text_newtype {
    ($name:ident) => {
        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().into()
            }
        }
    };
}

/// A user of the store: 1 to 64 of `A-Z a-z 0-9 . _ -`, beginning with a letter, a digit or `_`; never `ALL`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("pattern" = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$")))]
#[serde(try_from = "String", into = "String")]
pub struct Uid(std::sync::Arc<str>);

text_newtype!(Uid);

impl FromStr for Uid {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        check_plain(text)?;
        if text.eq_ignore_ascii_case("ALL") {
            return Err(NameError::Reserved(text.into()));
        }
        Ok(Uid(text.into()))
    }
}

/// A client machine: the common name of its certificate. Same characters as a [`Uid`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("pattern" = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$")))]
#[serde(try_from = "String", into = "String")]
pub struct MachineName(std::sync::Arc<str>);

text_newtype!(MachineName);

impl FromStr for MachineName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        check_plain(text)?;
        Ok(MachineName(text.into()))
    }
}

fn check_plain(text: &str) -> Result<(), NameError> {
    let first = text.chars().next().ok_or(NameError::Empty)?;
    if text.len() > UID_MAX {
        return Err(NameError::TooLong(UID_MAX));
    }
    if !(first.is_ascii_alphanumeric() || first == '_') {
        return Err(NameError::Character(first));
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
        Some(c) => Err(NameError::Character(c)),
        None => Ok(()),
    }
}

/// The name of a document or folder inside its folder: 1 to 255 bytes of UTF-8, no `/`, no NUL, not `.` or `..`.
///
/// Names that begin with `@` are names; that they cannot stand in a home's root is the server's rule
/// (see [`Name::is_owner_link`]).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("minLength" = 1, "maxLength" = 255)))]
#[serde(try_from = "String", into = "String")]
pub struct Name(std::sync::Arc<str>);

text_newtype!(Name);

impl Name {
    /// Whether the name begins with `@`, which means `another user's home` in a home's root.
    pub fn is_owner_link(&self) -> bool {
        self.0.starts_with('@')
    }

    /// Whether an editor would call `backup` the backup copy of this name: the name with `~`, `.~N~`, `.bak`, `.orig` or
    /// `.old` behind it, or, as vim does beside a backup that it must not touch, with another last letter and `~`
    /// (`a.txz~`). Only these: `report` and `report2` are two documents.
    pub fn has_backup(&self, backup: &Name) -> bool {
        let Some(suffix) = backup.0.strip_prefix(&*self.0) else { return self.has_scratch_backup(backup) };
        let numbered = suffix.strip_prefix(".~").and_then(|rest| rest.strip_suffix('~'));
        matches!(suffix, "~" | ".bak" | ".orig" | ".old")
            || numbered.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    }

    /// The names that this one would be a backup of, by what stands behind them: what [`Name::has_backup`] says, but for vim's other
    /// last letter, which names no one document.
    pub fn backed_up(&self) -> impl Iterator<Item = Name> {
        let suffixed = ["~", ".bak", ".orig", ".old"].map(|suffix| self.0.strip_suffix(suffix));
        let numbered = self.0.rsplit_once(".~").map(|(stem, _)| stem);
        let stems = suffixed.into_iter().chain([numbered]).flatten();
        let names = stems.filter_map(|stem| stem.parse::<Name>().ok());
        names.filter(|name| name.has_backup(self)).collect::<Vec<_>>().into_iter()
    }

    fn has_scratch_backup(&self, backup: &Name) -> bool {
        match (self.0.as_bytes(), backup.0.as_bytes()) {
            ([stem @ .., _], [other @ .., b'a'..=b'z', b'~']) => stem == other && !stem.is_empty(),
            _ => false,
        }
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            "" => return Err(NameError::Empty),
            "." | ".." => return Err(NameError::Reserved(text.into())),
            _ => {}
        }
        if text.len() > NAME_MAX {
            return Err(NameError::TooLong(NAME_MAX));
        }
        match text.chars().find(|c| matches!(c, '/' | '\0')) {
            Some(c) => Err(NameError::Character(c)),
            None => Ok(Name(text.into())),
        }
    }
}

/// Where a document stands: `@owner/folder/name`, the same for everyone. `@owner` alone is the home.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DocPath {
    /// Whose home it is in.
    pub owner: Uid,
    /// The names from the home down; empty for the home itself.
    pub names: Vec<Name>,
}

impl FromStr for DocPath {
    type Err = NameError;

    /// Leading, trailing and doubled slashes are passed over.
    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() > PATH_MAX + UID_MAX {
            return Err(NameError::TooLong(PATH_MAX));
        }
        let mut parts = text.split('/').filter(|part| !part.is_empty());
        let owner =
            parts.next().and_then(|first| first.strip_prefix('@')).ok_or(NameError::NoOwner)?.parse()?;
        let names = parts.map(str::parse).collect::<Result<Vec<Name>, _>>()?;
        if names.len() > DEPTH_MAX {
            return Err(NameError::TooDeep(DEPTH_MAX));
        }
        if let Some(first) = names.first().filter(|name| name.is_owner_link()) {
            return Err(NameError::Reserved(first.to_string()));
        }
        Ok(DocPath { owner, names })
    }
}

impl TryFrom<String> for DocPath {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<DocPath> for String {
    fn from(path: DocPath) -> String {
        path.to_string()
    }
}

impl fmt::Display for DocPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", self.owner)?;
        self.names.iter().try_for_each(|name| write!(f, "/{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_backup_is_of() {
        let of = |text: &str| {
            let name: Name = text.parse().unwrap();
            name.backed_up().map(|name| name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(of("a.txt~"), ["a.txt"]);
        assert_eq!(of("a.bak"), ["a"]);
        assert_eq!(of("a.orig"), ["a"]);
        assert_eq!(of("a.old"), ["a"]);
        assert_eq!(of("a.~12~"), ["a.~12", "a"]);
        for none in ["a", "~", ".bak", "a.txt", "..~", "a.~x"] {
            assert_eq!(of(none), [""; 0], "{none}");
        }
    }

    #[test]
    fn uids() {
        for good in ["alice", "a", "_x", "a.b-c_D9", &"a".repeat(64)] {
            assert!(good.parse::<Uid>().is_ok(), "{good}");
        }
        for bad in ["", "ALL", "all", ".a", "-a", "a/b", "a b", "@a", "ä", &"a".repeat(65)] {
            assert!(bad.parse::<Uid>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names() {
        for good in ["a", "@a", "ü b", "...", &"x".repeat(255)] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a\0", &"x".repeat(256)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }

    #[test]
    fn paths() {
        let path: DocPath = "@alice/a//b.txt".parse().unwrap();
        assert_eq!(path.to_string(), "@alice/a/b.txt");
        assert_eq!("@alice".parse::<DocPath>().unwrap().names.len(), 0);
        for bad in ["", "/", "alice/x", "@", "@alice/..", "@alice/@bob", "@alice/./x"] {
            assert!(bad.parse::<DocPath>().is_err(), "{bad}");
        }
        let deep = |n: usize| format!("@a{}", "/d".repeat(n));
        assert!(deep(DEPTH_MAX).parse::<DocPath>().is_ok());
        assert_eq!(deep(DEPTH_MAX + 1).parse::<DocPath>(), Err(NameError::TooDeep(DEPTH_MAX)));
    }

    #[test]
    fn backups() {
        let name: Name = "a.txt".parse().unwrap();
        for (other, is) in [
            ("a.txt~", true),
            ("a.txt.bak", true),
            ("a.txt.~12~", true),
            ("a.txt.~~", false),
            ("a.txt", false),
            ("a.txt2", false),
            ("a.txz~", true),
            ("a.tz~", false),
            ("a.txZ~", false),
            ("b.txt~", false),
        ] {
            assert_eq!(name.has_backup(&other.parse().unwrap()), is, "{other}");
        }
    }

    proptest! {
        #[test]
        fn parsing_a_path_never_panics_and_shows_what_it_parsed(text in "@?[a-z./@]{0,40}") {
            if let Ok(path) = text.parse::<DocPath>() {
                prop_assert_eq!(path.to_string().parse::<DocPath>().unwrap(), path);
            }
        }
    }
}
