//! The audit log: its words, its rows, and the chain that they are links of (`chain`).
//!
//! The words stand in databases and in what administrators read and filter by: a released one never changes its spelling
//! or its meaning.

mod chain;
mod log;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use sss_common::{MachineName, NodeId, Timestamp, Uid};

pub use chain::{AuditHash, AuditHead, AuditSeq, ChainBreak, ChainCheck, Chained};
pub use log::Audit;

/// Makes the enum, the list of all and the words from one table.
macro_rules! actions {
    ($($(#[$doc:meta])+ $action:ident = $word:literal),+ $(,)?) => {
        /// What was asked for, or done.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum AuditAction {
            $($(#[$doc])+ $action,)+
        }

        impl AuditAction {
            /// All of them.
            pub const ALL: &[AuditAction] = &[$(AuditAction::$action),+];

            /// As it is stored.
            pub fn word(self) -> &'static str {
                match self { $(AuditAction::$action => $word),+ }
            }
        }
    };
}

actions! {
    /// A session begins; the user's oldest ones beyond what the server allows end.
    Login = "login",
    /// A session ends, as its user asked.
    Logout = "logout",
    /// A mount checks a version out and pins it; what it reads of it has no further rows.
    Open = "open",
    /// Content is checked out without a pin.
    Checkout = "checkout",
    /// A version is checked in, or (refused) was to be.
    Checkin = "checkin",
    /// A document was renamed onto another one and is that one's next version.
    CheckinByRename = "checkin-by-rename",
    /// An act that is the owner's was refused.
    Own = "own",
    /// A document, folder or link begins to exist, without content.
    Create = "create",
    /// A document, folder or link moves.
    Rename = "rename",
    /// A document that an editor had moved to a backup's name is back under its own.
    RestoreName = "restore-name",
    /// A document, folder or link is removed.
    Delete = "delete",
    /// A grant is set.
    Grant = "grant",
    /// A grant is taken back.
    Revoke = "revoke",
    /// A document's protection, or what a folder's new documents get, is changed.
    Flag = "flag",
    /// A deletion receipt is given, or was asked for in vain.
    Receipt = "receipt",
    /// Sealed data did not verify when somebody asked for it.
    Integrity = "integrity",
    /// `3s-server scrub` found a version that does not verify.
    Scrub = "scrub",
    /// The server has a new key pair.
    RotateKey = "rotate-key",
    /// An administrator added a user.
    UserAdd = "user-add",
    /// An administrator disabled a user: its sessions end.
    UserDisable = "user-disable",
    /// An administrator enabled a user.
    UserEnable = "user-enable",
    /// An administrator gave a user another key: the sessions end.
    UserRekey = "user-rekey",
    /// An administrator removed a user; each document of the home has a row of its own.
    UserRemove = "user-remove",
    /// An administrator handed a user's documents to another.
    UserTransfer = "user-transfer",
    /// An administrator set the store's clock back.
    ClockReset = "clock-reset",
    /// The first row: the chain begins.
    Begin = "begin",
    /// The oldest rows were removed, as the configuration says; the chain begins behind them.
    Prune = "prune",
    /// Rows could not be kept, for too long nothing could be written.
    Gap = "gap",
}

impl fmt::Display for AuditAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for AuditAction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|action| action.word() == text);
        found.copied().ok_or_else(|| {
            let words: Vec<_> = Self::ALL.iter().map(|action| action.word()).collect();
            format!("there is no such action; the actions are {}", words.join(", "))
        })
    }
}

/// How it came out, with what else there is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditOutcome {
    /// It was done. The detail (a version, a grant's text) may be empty.
    Allowed(String),
    /// It was refused, and why.
    Refused(String),
    /// What was asked for is damaged, and how.
    Damaged(String),
}

impl AuditOutcome {
    /// Done, and that is all.
    pub fn allowed() -> Self {
        AuditOutcome::Allowed(String::new())
    }

    /// As it is stored: `allowed`, `refused` or `damaged`.
    pub fn word(&self) -> &'static str {
        match self {
            AuditOutcome::Allowed(_) => "allowed",
            AuditOutcome::Refused(_) => "refused",
            AuditOutcome::Damaged(_) => "damaged",
        }
    }

    /// The detail, the reason, the damage; may be empty.
    pub fn detail(&self) -> &str {
        match self {
            AuditOutcome::Allowed(detail) | AuditOutcome::Refused(detail) | AuditOutcome::Damaged(detail) => {
                detail
            }
        }
    }
}

/// `allowed`, or the detail; refusals begin with `refused: `.
impl fmt::Display for AuditOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AuditOutcome::Allowed(detail) if detail.is_empty() => f.write_str("allowed"),
            AuditOutcome::Allowed(detail) | AuditOutcome::Damaged(detail) => f.write_str(detail),
            AuditOutcome::Refused(reason) => write!(f, "refused: {reason}"),
        }
    }
}

/// A row that is to be appended to the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// When.
    pub time: Timestamp,
    /// Who asked; `None` for administrators and the server itself.
    pub user: Option<Uid>,
    /// From which machine.
    pub machine: Option<MachineName>,
    /// What.
    pub action: AuditAction,
    /// On which document, folder or link.
    pub document: Option<NodeId>,
    /// Its path at the time; empty where there is none.
    pub path: String,
    /// How it came out.
    pub outcome: AuditOutcome,
    /// Finds the request in the server's log; empty where there was none.
    pub request_id: String,
}

impl AuditRow {
    /// Of something that no user asked for over the wire.
    pub fn administrative(time: Timestamp, action: AuditAction, detail: impl Into<String>) -> Self {
        AuditRow {
            time,
            user: None,
            machine: None,
            action,
            document: None,
            path: String::new(),
            outcome: AuditOutcome::Allowed(detail.into()),
            request_id: String::new(),
        }
    }

    /// The first row of a chain. `earlier` rows of a log that had no chain follow. A random number keeps the chains of two
    /// stores apart from their first row on.
    pub fn begin(time: Timestamp, earlier: u64) -> Self {
        let detail = match earlier {
            0 => "the log begins".to_owned(),
            _ => format!("the chain begins; the next {earlier} rows are of the time before it"),
        };
        let request_id = NodeId::random().to_string();
        AuditRow { request_id, ..Self::administrative(time, AuditAction::Begin, detail) }
    }

    /// Rows `first` to `last.seq`, written before that time, are about to be removed.
    pub(super) fn prune(time: Timestamp, first: AuditSeq, last: AuditHead, before: Timestamp) -> Self {
        let detail = format!("rows {first} to {}, from before {before}; {last}", last.seq);
        Self::administrative(time, AuditAction::Prune, detail)
    }

    /// So many rows were not kept.
    pub(super) fn gap(time: Timestamp, lost: u64) -> Self {
        let detail = format!("{lost} rows were lost while the log could not be written");
        Self::administrative(time, AuditAction::Gap, detail)
    }
}

/// A row as it lies in the log. Its texts are as they are stored, whatever they say: one that somebody changed can still be
/// shown, and fails its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its place.
    pub seq: AuditSeq,
    /// When.
    pub time: Timestamp,
    /// Who.
    pub user: Option<String>,
    /// From which machine.
    pub machine: Option<String>,
    /// An [`AuditAction`]'s word.
    pub action: String,
    /// A document's id: 16 bytes.
    pub document: Option<Vec<u8>>,
    /// Its path at the time.
    pub path: String,
    /// An [`AuditOutcome`]'s word.
    pub outcome: String,
    /// What else there is to say.
    pub detail: String,
    /// Finds the request in the server's log.
    pub request_id: String,
    /// The hash of the row before it.
    pub previous: AuditHash,
    /// Its own.
    pub hash: AuditHash,
}

impl AuditEntry {
    /// The row as the next link behind `last`, under the number `seq`.
    pub(super) fn link(row: &AuditRow, seq: AuditSeq, last: AuditHash) -> Self {
        let mut entry = AuditEntry {
            seq,
            time: row.time,
            user: row.user.as_ref().map(ToString::to_string),
            machine: row.machine.as_ref().map(ToString::to_string),
            action: row.action.word().into(),
            document: row.document.map(|id| id.as_bytes().to_vec()),
            path: row.path.clone(),
            outcome: row.outcome.word().into(),
            detail: row.outcome.detail().into(),
            request_id: row.request_id.clone(),
            previous: last,
            hash: AuditHash::NONE,
        };
        entry.hash = entry.computed_hash();
        entry
    }

    /// The head of a log that ends with this row.
    pub fn head(&self) -> AuditHead {
        AuditHead { seq: self.seq, hash: self.hash }
    }

    /// The last row that was removed, where this row tells of a removal.
    fn pruned(&self) -> Option<AuditHead> {
        let (_, head) = self.detail.rsplit_once("; ").filter(|_| self.action == AuditAction::Prune.word())?;
        head.parse().ok()
    }
}
