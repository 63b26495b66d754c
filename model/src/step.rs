//! What may happen, as it is played and printed.

use std::fmt;

use sss_common::{Right, XattrMode};

/// Who there is.
pub const USERS: [&str; 3] = ["alice", "bob", "carol"];

/// The names of documents and folders: few, so that sequences meet; one is the backup of another.
pub const NAMES: [&str; 4] = ["a", "b", "a~", "d"];

/// Where links lead: their lengths differ, and no step follows one.
pub const TARGETS: [&str; 3] = ["a", "d/a", "../@bob/nowhere"];

/// The names of other attributes. Four of the longest values fit a document, with five there is no room.
pub const ATTRIBUTES: [&str; 5] = ["user.a", "user.b", "user.c", "user.d", "user.e"];

/// Modification times that programs set, in milliseconds since the Unix epoch: few, so that documents have the same.
pub const TIMES: [i64; 3] = [-86_400_000, 0, 1_000_000_000_000];

/// A machine from which one user mounts: alice has two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat(pub usize);

/// Each seat's user, as a place in [`USERS`], and machine.
pub const SEATS: [(usize, &str); 4] = [(0, "desk"), (0, "laptop"), (1, "tower"), (2, "tablet")];

impl Seat {
    /// All of them.
    pub const ALL: [Seat; 4] = [Seat(0), Seat(1), Seat(2), Seat(3)];

    /// Who sits there, as a place in [`USERS`].
    pub fn user(self) -> usize {
        SEATS[self.0].0
    }

    /// The machine's name.
    pub fn machine(self) -> &'static str {
        SEATS[self.0].1
    }
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", USERS[self.user()], self.machine())
    }
}

/// A path below a home; without names the home itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    /// Whose home, as a place in [`USERS`].
    pub home: usize,
    /// The way down.
    pub names: Vec<&'static str>,
}

impl Path {
    /// The folder and the last name; `None` for a home.
    pub fn split(&self) -> Option<(Path, &'static str)> {
        let (last, above) = self.names.split_last()?;
        Some((Path { home: self.home, names: above.to_vec() }, last))
    }

    /// Whether `other` lies below this.
    pub fn is_above(&self, other: &Path) -> bool {
        self.home == other.home
            && self.names.len() < other.names.len()
            && other.names.starts_with(&self.names)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", USERS[self.home])?;
        self.names.iter().try_for_each(|name| write!(f, "/{name}"))
    }
}

/// Content that differs from place to place and from seed to seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data {
    /// Which content.
    pub seed: u8,
    /// How many bytes.
    pub length: usize,
}

impl Data {
    /// The bytes.
    pub fn bytes(self) -> Vec<u8> {
        (0..self.length).map(|at| (at / 251) as u8 ^ (at % 251) as u8 ^ self.seed.wrapping_mul(37)).collect()
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes #{}", self.length, self.seed)
    }
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// To read.
    pub read: bool,
    /// To write.
    pub write: bool,
    /// To empty it.
    pub truncate: bool,
    /// To make it.
    pub create: bool,
}

/// `>`: what a shell's redirection asks for.
pub const REDIRECT: Mode = Mode { read: false, write: true, truncate: true, create: true };
/// `<`
pub const READ: Mode = Mode { read: true, write: false, truncate: false, create: false };

/// When a grant is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// In so many seconds.
    In(u64),
    /// Not said: the server's default.
    Unsaid,
    /// Later than a server allows.
    TooLate,
}

/// To whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// One user, as a place in [`USERS`].
    User(usize),
    /// Everybody.
    All,
    /// A user that the server does not have.
    Nobody,
}

impl fmt::Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            To::User(user) => USERS[*user],
            To::All => "ALL",
            To::Nobody => "nobody",
        })
    }
}

/// What goes wrong with the next version that the server is about to commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The database's disk is full; nothing was committed.
    Full,
    /// The database failed; nothing was committed.
    Backend,
    /// The database failed after it had committed.
    Late,
}

/// A thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Step {
    /// A new login and mount; what was mounted there is dropped without a word, as when the program crashes.
    Mount(Seat),
    /// In good order.
    Unmount(Seat),
    Open {
        seat: Seat,
        handle: u8,
        path: Path,
        mode: Mode,
    },
    Write {
        seat: Seat,
        handle: u8,
        at: usize,
        data: Data,
    },
    Append {
        seat: Seat,
        handle: u8,
        data: Data,
    },
    Resize {
        seat: Seat,
        handle: u8,
        size: usize,
    },
    Read {
        seat: Seat,
        handle: u8,
        at: usize,
        length: usize,
    },
    Sync {
        seat: Seat,
        handle: u8,
    },
    Close {
        seat: Seat,
        handle: u8,
    },
    /// `echo … > path`
    Put {
        seat: Seat,
        path: Path,
        data: Data,
    },
    /// `cat path`
    Cat {
        seat: Seat,
        path: Path,
    },
    /// `truncate path`
    Truncate {
        seat: Seat,
        path: Path,
        size: usize,
    },
    Mkdir {
        seat: Seat,
        path: Path,
    },
    Rmdir {
        seat: Seat,
        path: Path,
    },
    Unlink {
        seat: Seat,
        path: Path,
    },
    /// `ln -s target path`
    Symlink {
        seat: Seat,
        path: Path,
        target: &'static str,
    },
    Readlink {
        seat: Seat,
        path: Path,
    },
    Rename {
        seat: Seat,
        from: Path,
        to: Path,
        keep: bool,
    },
    Stat {
        seat: Seat,
        path: Path,
    },
    List {
        seat: Seat,
        path: Path,
    },
    Chmod {
        seat: Seat,
        path: Path,
        mode: u32,
    },
    /// `touch -d time path`
    Touch {
        seat: Seat,
        path: Path,
        time: i64,
    },
    /// When it changed last
    Time {
        seat: Seat,
        path: Path,
    },
    Flag {
        seat: Seat,
        path: Path,
        integrity: bool,
    },
    SetAttribute {
        seat: Seat,
        path: Path,
        name: &'static str,
        data: Data,
        how: XattrMode,
    },
    GetAttribute {
        seat: Seat,
        path: Path,
        name: &'static str,
    },
    RemoveAttribute {
        seat: Seat,
        path: Path,
        name: &'static str,
    },
    /// `getfattr -d`: all that are listed, but no grants
    Attributes {
        seat: Seat,
        path: Path,
    },
    Grant {
        seat: Seat,
        path: Path,
        to: To,
        right: Right,
        end: End,
    },
    Revoke {
        seat: Seat,
        path: Path,
        to: To,
    },
    Grants {
        seat: Seat,
        path: Path,
    },
    /// Drafts of closed files are tried again.
    Retry(Seat),
    /// Seconds go by.
    Wait(u64),
    Disable(usize),
    Enable(usize),
    /// The server is started anew on the same data.
    Restart,
    /// The server reclaims what nobody uses.
    Maintain,
    /// Something goes wrong while it happens.
    Failing(Fault, Box<Step>),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Mount(seat) => write!(f, "{seat}: mount"),
            Step::Unmount(seat) => write!(f, "{seat}: unmount"),
            Step::Open { seat, handle, path, mode } => {
                let word = |on: bool, word| if on { word } else { "" };
                let (read, write) = (word(mode.read, " read"), word(mode.write, " write"));
                let (create, empty) = (word(mode.create, " create"), word(mode.truncate, " truncate"));
                write!(f, "{seat}: #{handle} = open {path}{read}{write}{create}{empty}")
            }
            Step::Write { seat, handle, at, data } => write!(f, "{seat}: write #{handle} at {at}, {data}"),
            Step::Append { seat, handle, data } => write!(f, "{seat}: append to #{handle}, {data}"),
            Step::Resize { seat, handle, size } => write!(f, "{seat}: truncate #{handle} to {size}"),
            Step::Read { seat, handle, at, length } => write!(f, "{seat}: read #{handle} at {at}, {length}"),
            Step::Sync { seat, handle } => write!(f, "{seat}: fsync #{handle}"),
            Step::Close { seat, handle } => write!(f, "{seat}: close #{handle}"),
            Step::Put { seat, path, data } => write!(f, "{seat}: put {path}, {data}"),
            Step::Cat { seat, path } => write!(f, "{seat}: cat {path}"),
            Step::Truncate { seat, path, size } => write!(f, "{seat}: truncate {path} to {size}"),
            Step::Mkdir { seat, path } => write!(f, "{seat}: mkdir {path}"),
            Step::Rmdir { seat, path } => write!(f, "{seat}: rmdir {path}"),
            Step::Unlink { seat, path } => write!(f, "{seat}: rm {path}"),
            Step::Symlink { seat, path, target } => write!(f, "{seat}: ln -s {target} {path}"),
            Step::Readlink { seat, path } => write!(f, "{seat}: readlink {path}"),
            Step::Rename { seat, from, to, keep } => {
                write!(f, "{seat}: mv{} {from} {to}", if *keep { " -n" } else { "" })
            }
            Step::Stat { seat, path } => write!(f, "{seat}: stat {path}"),
            Step::List { seat, path } => write!(f, "{seat}: ls {path}"),
            Step::Chmod { seat, path, mode } => write!(f, "{seat}: chmod {mode:o} {path}"),
            Step::Touch { seat, path, time } => write!(f, "{seat}: touch {path}, {time} ms"),
            Step::Time { seat, path } => write!(f, "{seat}: time of {path}"),
            Step::Flag { seat, path, integrity } => {
                write!(f, "{seat}: flag {path} {}", if *integrity { "integrity" } else { "confidentiality" })
            }
            Step::SetAttribute { seat, path, name, data, how } => {
                write!(f, "{seat}: set {name} of {path} to {data}, {how:?}")
            }
            Step::GetAttribute { seat, path, name } => write!(f, "{seat}: get {name} of {path}"),
            Step::RemoveAttribute { seat, path, name } => write!(f, "{seat}: remove {name} of {path}"),
            Step::Attributes { seat, path } => write!(f, "{seat}: attributes of {path}"),
            Step::Grant { seat, path, to, right, end } => {
                write!(f, "{seat}: grant {path} to {to} {right} {end:?}")
            }
            Step::Revoke { seat, path, to } => write!(f, "{seat}: revoke {path} from {to}"),
            Step::Grants { seat, path } => write!(f, "{seat}: grants on {path}"),
            Step::Retry(seat) => write!(f, "{seat}: try drafts again"),
            Step::Wait(seconds) => write!(f, "{seconds} s go by"),
            Step::Disable(user) => write!(f, "disable {}", USERS[*user]),
            Step::Enable(user) => write!(f, "enable {}", USERS[*user]),
            Step::Restart => f.write_str("the server restarts"),
            Step::Maintain => f.write_str("the server reclaims"),
            Step::Failing(fault, step) => write!(f, "{step} (the next commit fails: {fault:?})"),
        }
    }
}

/// A sequence as a person reads it.
pub fn readable(steps: &[Step]) -> String {
    steps.iter().enumerate().map(|(at, step)| format!("{:3}  {step}\n", at + 1)).collect()
}
