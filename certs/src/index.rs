//! `index.tsv`: what was issued, for people and for revoking by serial.
//!
//! ```text
//! # 3s-ca index 1: serial, kind, not after, revoked (or -), subject; tab-separated
//! 5B01…F2  client  2028-07-01T10:00:00Z  -  O=3S, OU=alice, CN=client1
//! ```
//!
//! The file is replaced whole. A certificate gets its line before it is written anywhere, so none can be in
//! use without being revocable.

use std::fmt::{self, Write};
use std::path::Path;
use std::str::FromStr;

use sss_common::Timestamp;

use crate::files::{self, Access, Batch};
use crate::{Error, Serial};

/// The first line: format and version.
const HEADER: &str = "# 3s-ca index 1: serial, kind, not after, revoked (or -), subject; tab-separated";
const HEADER_START: &str = "# 3s-ca index 1";

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A server's.
    Server,
    /// A node's.
    Client,
    /// Made with other tools from the same root.
    Other,
}

impl Kind {
    /// The word in the index.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Server => "server",
            Kind::Client => "client",
            Kind::Other => "other",
        }
    }
}

impl FromStr for Kind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Kind::Server, Kind::Client, Kind::Other]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or("the kind is neither server, client nor other")
    }
}

/// One certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its serial.
    pub serial: Serial,
    /// What it is for.
    pub kind: Kind,
    /// Its end.
    pub not_after: Timestamp,
    /// When it was revoked, if it was.
    pub revoked: Option<Timestamp>,
    subject: String,
}

impl Entry {
    /// A certificate that is not revoked. Control characters in the subject become `?`.
    pub fn new(serial: Serial, kind: Kind, not_after: Timestamp, subject: &str) -> Self {
        let subject = subject.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        Entry { serial, kind, not_after, revoked: None, subject }
    }

    /// For whom it is.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The user and the node of a certificate that `enroll` made; neither can hold a comma.
    pub fn holder(&self) -> Option<(&str, &str)> {
        let names = self.subject.strip_prefix("O=3S, OU=")?;
        names.split_once(", CN=").filter(|_| self.kind == Kind::Client)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\t{}\t{}\t", self.serial, self.kind.as_str(), self.not_after)?;
        match self.revoked {
            Some(at) => write!(f, "{at}")?,
            None => f.write_char('-')?,
        }
        write!(f, "\t{}", self.subject)
    }
}

impl FromStr for Entry {
    type Err = &'static str;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let mut fields = line.split('\t');
        let mut field = || fields.next().ok_or("there are five tab-separated fields");
        let (serial, kind, not_after, revoked, subject) = (field()?, field()?, field()?, field()?, field()?);
        if fields.next().is_some() {
            return Err("there are five tab-separated fields");
        }
        let time = |text: &str| text.parse().map_err(|_| "a time reads like 2028-07-01T10:00:00Z");
        Ok(Entry {
            serial: serial.parse().map_err(|_| "the serial is not hexadecimal")?,
            kind: kind.parse()?,
            not_after: time(not_after)?,
            revoked: if revoked == "-" { None } else { Some(time(revoked)?) },
            subject: Some(subject)
                .filter(|text| !text.contains(char::is_control))
                .ok_or("control character")?
                .into(),
        })
    }
}

/// All that a CA issued, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    entries: Vec<Entry>,
}

impl Index {
    /// Reads the index file.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let bytes = files::read(path, files::LIST_MAX)?;
        let wrong = |(line, reason)| Error::Index { path: path.to_owned(), line, reason };
        Index::parse(&bytes).map_err(wrong)
    }

    /// Stages the index file.
    pub fn stage(&self, path: &Path, batch: &mut Batch) -> Result<(), Error> {
        batch.replace(path, self.to_string().as_bytes(), Access::Secret)
    }

    /// The index in a file's bytes; or the number of the line that is wrong, and why. Empty lines and comments are
    /// passed over.
    pub fn parse(bytes: &[u8]) -> Result<Self, (usize, &'static str)> {
        let text = std::str::from_utf8(bytes).map_err(|cause| {
            let before = &bytes[..cause.valid_up_to()];
            (before.iter().filter(|&&byte| byte == b'\n').count() + 1, "not UTF-8")
        })?;
        if !text.starts_with(HEADER_START) {
            return Err((1, "the file does not begin as an index of 3s-ca does"));
        }
        let mut seen = std::collections::HashSet::new();
        let mut entries = Vec::new();
        for (at, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let entry: Entry = line.parse().map_err(|reason| (at + 1, reason))?;
            if !seen.insert(entry.serial.clone()) {
                return Err((at + 1, "the serial stands there twice"));
            }
            entries.push(entry);
        }
        Ok(Index { entries })
    }

    /// All certificates, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Adds a certificate. Its serial must be new.
    pub fn push(&mut self, entry: Entry) {
        debug_assert!(self.entries.iter().all(|other| other.serial != entry.serial));
        self.entries.push(entry);
    }

    /// The certificate with that serial.
    pub fn find_mut(&mut self, serial: &Serial) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.serial == *serial)
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        self.entries.iter().try_for_each(|entry| writeln!(f, "{entry}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const LINE: &str = "0A1F\tclient\t2028-07-01T10:00:00Z\t-\tOU=alice, CN=client1";

    fn parse(lines: &str) -> Result<Index, (usize, &'static str)> {
        Index::parse(format!("{HEADER}\n{lines}").as_bytes())
    }

    #[test]
    fn an_entry_reads_as_documented() {
        let index = parse(&format!("\n# a note\n{LINE}\n")).unwrap();
        let [entry] = index.entries() else { panic!("{index}") };
        assert_eq!(entry.serial, "0a:1f".parse().unwrap());
        assert_eq!(
            (entry.kind, entry.revoked, entry.subject()),
            (Kind::Client, None, "OU=alice, CN=client1")
        );
        assert_eq!(entry.to_string(), LINE);
    }

    #[test]
    fn wrong_lines_are_named() {
        for (line, reason) in [
            ("0A1F", "there are five tab-separated fields"),
            (&format!("{LINE}\tmore"), "there are five tab-separated fields"),
            (&LINE.replace("0A1F", "xyz"), "the serial is not hexadecimal"),
            (&LINE.replace("client\t", "guest\t"), "the kind is neither server, client nor other"),
            (&LINE.replace("2028", "20 28"), "a time reads like 2028-07-01T10:00:00Z"),
            (&LINE.replace("\t-\t", "\tyes\t"), "a time reads like 2028-07-01T10:00:00Z"),
            (&LINE.replace("alice", "\u{1b}[2J"), "control character"),
            (&format!("{LINE}\n{LINE}"), "the serial stands there twice"),
        ] {
            let at = if line.contains('\n') { 4 } else { 3 };
            assert_eq!(parse(&format!("\n{line}")).unwrap_err(), (at, reason), "{line}");
        }
    }

    #[test]
    fn other_files_are_refused() {
        assert_eq!(Index::parse(b"").unwrap_err().0, 1);
        assert_eq!(Index::parse(LINE.as_bytes()).unwrap_err().0, 1);
        assert_eq!(Index::parse(b"# 3s-ca index 1\n\n\xff").unwrap_err(), (3, "not UTF-8"));
    }

    #[test]
    fn only_a_nodes_certificate_has_a_holder() {
        let holder = |kind, subject: &str| {
            let entry = Entry::new("01".parse().unwrap(), kind, Timestamp(0), subject);
            entry.holder().map(|(uid, node)| format!("{uid} {node}"))
        };
        assert_eq!(holder(Kind::Client, "O=3S, OU=alice, CN=client1").as_deref(), Some("alice client1"));
        assert_eq!(holder(Kind::Other, "O=3S, OU=alice, CN=client1"), None);
        assert_eq!(holder(Kind::Server, "O=3S, CN=localhost"), None);
        assert_eq!(holder(Kind::Client, "CN=client1"), None);
    }

    #[test]
    fn subjects_of_others_cannot_break_a_line() {
        let entry = Entry::new("01".parse().unwrap(), Kind::Other, Timestamp(0), "CN=a\tb\nc");
        assert_eq!(entry.to_string().parse(), Ok(entry));
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let serial = proptest::collection::vec(any::<u8>(), 1..=20)
            .prop_filter_map("zero", |bytes| Serial::from_bytes(&bytes).ok());
        let kind = prop_oneof![Just(Kind::Server), Just(Kind::Client), Just(Kind::Other)];
        let time = || (0i64..253_402_300_799).prop_map(|seconds| Timestamp(seconds * 1000));
        (serial, kind, time(), proptest::option::of(time()), any::<String>()).prop_map(
            |(serial, kind, not_after, revoked, subject)| Entry {
                revoked,
                ..Entry::new(serial, kind, not_after, &subject)
            },
        )
    }

    proptest! {
        #[test]
        fn indexes_round_trip(entries in proptest::collection::vec(entry(), 0..8)) {
            let mut index = Index::default();
            for entry in entries {
                if index.find_mut(&entry.serial).is_none() {
                    index.push(entry);
                }
            }
            prop_assert_eq!(Index::parse(index.to_string().as_bytes()), Ok(index));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), header: bool) {
            let start = if header { HEADER } else { "" };
            let _ = Index::parse(&[start.as_bytes(), b"\n", &bytes].concat());
        }

        #[test]
        fn no_damaged_line_panics(at in 0usize..60, with in "\\PC?|\t|\n") {
            let mut line: Vec<char> = LINE.chars().collect();
            let at = at % line.len();
            line.splice(at..=at, with.chars());
            let _ = parse(&line.into_iter().collect::<String>());
        }
    }
}
