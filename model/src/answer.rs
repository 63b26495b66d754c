//! What a step is answered with, and what can be seen after it, in a form in which three systems can be compared.

use std::fmt;

use sss_common::Kind;

/// A step's answer.
#[derive(Clone, PartialEq, Eq)]
pub enum Answer {
    /// It happened.
    Done,
    /// Content, or where a link leads.
    Bytes(Vec<u8>),
    /// Names in a folder, attributes, or grants.
    Lines(Vec<String>),
    /// Kind and size.
    File {
        /// What it is.
        kind: Kind,
        /// In bytes; 0 for folders.
        size: u64,
    },
    /// A time in milliseconds since the Unix epoch.
    Time(i64),
    /// An errno.
    Failed(i32),
    /// There was nothing to do it with: no mount at the seat, no such handle.
    Skipped,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Done => f.write_str("done"),
            Answer::Bytes(bytes) => {
                let head = &bytes[..bytes.len().min(24)];
                write!(f, "{} bytes {head:02x?}", bytes.len())
            }
            Answer::Lines(lines) => write!(f, "{lines:?}"),
            Answer::File { kind: Kind::Folder, .. } => f.write_str("a folder"),
            Answer::File { kind, size } => write!(f, "a {} of {size} bytes", word(*kind)),
            Answer::Time(time) => write!(f, "{time} ms"),
            Answer::Failed(errno) => write!(f, "{}", std::io::Error::from_raw_os_error(*errno)),
            Answer::Skipped => f.write_str("skipped"),
        }
    }
}

/// What the model says about a step's answer. Everything but [`Expected::Is`] is a difference that is tolerated, and has its
/// reason in the table at the head of this crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Exactly this.
    Is(Answer),
    /// One of the two.
    Either(Answer, Answer),
    /// Some refusal.
    SomeFailure,
    /// Some refusal, or an empty list.
    FailureOrNone,
    /// Nothing is said.
    Anything,
}

impl Expected {
    /// Whether an answer is what was expected.
    pub fn fits(&self, answer: &Answer) -> bool {
        match self {
            Expected::Is(expected) => expected == answer,
            Expected::Either(one, other) => one == answer || other == answer,
            Expected::SomeFailure => matches!(answer, Answer::Failed(_)),
            Expected::FailureOrNone => match answer {
                Answer::Lines(lines) => lines.is_empty(),
                answer => matches!(answer, Answer::Failed(_)),
            },
            Expected::Anything => true,
        }
    }
}

/// A document or folder as the server tells one user of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shown {
    /// From the mount's root, `@alice/d/a`; a conflict copy's without its time.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// In bytes.
    pub size: u64,
    /// Stored permission bits; not of conflict copies.
    pub mode: u32,
    /// When it changed last, in milliseconds since the Unix epoch.
    pub time: i64,
    /// Which version.
    pub version: u64,
    /// Whose.
    pub owner: String,
    /// Who saved it last.
    pub author: Option<String>,
    /// `integrity`, `confidentiality`; not of conflict copies.
    pub flag: Option<String>,
    /// What the user may do, and for how many milliseconds more.
    pub right: String,
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shown { path, kind, size, mode, time, version, owner, author, flag, right } = self;
        let kind = word(*kind);
        write!(
            f,
            "{path}: {kind} {size} bytes, {mode:o}, {time} ms, v{version}, of {owner}, by {author:?}, {flag:?}, {right}"
        )
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Folder => "folder",
        Kind::Symlink => "link",
    }
}

/// An attribute and its value.
pub fn attribute_line(name: &str, value: &[u8]) -> String {
    let head = &value[..value.len().min(24)];
    format!("{name} {} bytes {}", value.len(), head.escape_ascii())
}

/// `report (conflict alice desk 2026-11-22T150405Z 2).pdf` without the time and the number: that is what two runs can
/// have in common.
pub fn without_time(name: &str) -> String {
    let Some((stem, rest)) = name.split_once(" (conflict ") else { return name.into() };
    let Some((mark, extension)) = rest.split_once(')') else { return name.into() };
    let who: Vec<&str> = mark.split(' ').take(2).collect();
    format!("{stem} (conflict {}){extension}", who.join(" "))
}

/// Whether a name is a conflict copy's.
pub fn is_conflict_copy(name: &str) -> bool {
    name.contains(" (conflict ")
}
