//! The hash chain: each row carries the SHA-256 of the row before it.
//!
//! A row's hash is the SHA-256 of these bytes, numbers big-endian:
//!
//! ```text
//! "3S audit row 1" 0x00
//! previous (32)  seq (u64)  time (i64, milliseconds since the epoch)
//! user  machine  action  document  path  outcome  detail  request_id
//! ```
//!
//! where each of the eight fields is 0x00 when it is absent (NULL), else 0x01, its length in bytes (u32), and its bytes: UTF-8,
//! or the 16 bytes of the document's id. The first row's `previous` is 32 zero bytes. `server/docs/AUDIT.md` says the same.
//!
//! What the chain proves: rows up to a head that somebody remembered elsewhere are as they were then. Who can write the
//! database can write another chain; only the remembered head tells the two apart.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{AuditAction, AuditEntry};

/// Separates these hashes from all others; the number is the format's.
const DOMAIN: &[u8] = b"3S audit row 1\0";

impl AuditEntry {
    /// The hash that the row must have.
    pub fn computed_hash(&self) -> AuditHash {
        let mut hash = Sha256::new()
            .chain_update(DOMAIN)
            .chain_update(self.previous.0)
            .chain_update(self.seq.0.to_be_bytes())
            .chain_update(self.time.millis().to_be_bytes());
        let fields = [
            self.user.as_deref().map(str::as_bytes),
            self.machine.as_deref().map(str::as_bytes),
            Some(self.action.as_bytes()),
            self.document.as_deref(),
            Some(self.path.as_bytes()),
            Some(self.outcome.as_bytes()),
            Some(self.detail.as_bytes()),
            Some(self.request_id.as_bytes()),
        ];
        for field in fields {
            match field {
                None => hash.update([0]),
                Some(bytes) => {
                    // SQLite keeps no text of 4 GiB, so no two lengths look the same.
                    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                    hash.update([1]);
                    hash.update(length.to_be_bytes());
                    hash.update(bytes);
                }
            }
        }
        AuditHash(hash.finalize().into())
    }
}

/// A row's place in the audit log. Numbers go up from 1 without gaps, and each is given once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct AuditSeq(pub u64);

impl AuditSeq {
    /// Before the first row.
    pub const NONE: AuditSeq = AuditSeq(0);

    /// The first row's.
    pub const FIRST: AuditSeq = AuditSeq(1);

    /// The number behind this one.
    pub fn next(self) -> AuditSeq {
        AuditSeq(self.0 + 1)
    }
}

impl fmt::Display for AuditSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The SHA-256 of a row, which the next row carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditHash(pub [u8; 32]);

impl AuditHash {
    /// What the first row carries.
    pub const NONE: AuditHash = AuditHash([0; 32]);
}

/// In hexadecimal.
impl fmt::Display for AuditHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A row's number and hash: of the last row, the log's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditHead {
    /// Its number.
    pub seq: AuditSeq,
    /// Its hash.
    pub hash: AuditHash,
}

impl AuditHead {
    /// Before the first row.
    pub const NONE: AuditHead = AuditHead { seq: AuditSeq::NONE, hash: AuditHash::NONE };
}

/// `SEQ:HASH`, the hash in hexadecimal.
impl fmt::Display for AuditHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

impl FromStr for AuditHead {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (seq, hash) = text.split_once(':')?;
            let mut head = AuditHead { seq: AuditSeq(seq.parse().ok()?), hash: AuditHash::NONE };
            hex::decode_to_slice(hash, &mut head.hash.0).ok().map(|()| head)
        };
        read().ok_or_else(|| "a head is SEQ:HASH, the hash 64 hexadecimal digits".into())
    }
}

/// Where a chain is broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainBreak {
    /// The rows do not begin with a first row, nor behind what was pruned.
    #[error("the log begins with row {0}: rows before it were removed, and not by pruning")]
    CutAtStart(AuditSeq),
    /// A number is missing.
    #[error("row {found} follows row {after}: rows between them were removed")]
    Missing {
        /// The last row that was whole.
        after: AuditSeq,
        /// The next that is there.
        found: AuditSeq,
    },
    /// A row's hash is not that of its content.
    #[error("row {0} was changed: its hash is not that of what it says")]
    Changed(AuditSeq),
    /// A row does not carry the hash of the one before it.
    #[error("row {0} does not carry the hash of the row before it: one of the two was exchanged")]
    Unlinked(AuditSeq),
    /// Rows had been written behind the last.
    #[error("the log ends with row {last}, but row {given} was written: rows at its end were removed")]
    CutAtEnd {
        /// The last that is there.
        last: AuditSeq,
        /// The last number that was given.
        given: AuditSeq,
    },
    /// The remembered head lies behind the end.
    #[error("the log ends with row {last}, before the remembered head {head}: rows at its end were removed")]
    BeforeHead {
        /// The last that is there.
        last: AuditSeq,
        /// What was remembered.
        head: AuditHead,
    },
    /// The row of the remembered head is another.
    #[error("row {} is not the row of the remembered head: the log was written anew", .0.seq)]
    OtherHead(AuditHead),
}

/// A chain that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chained {
    /// Rows that were checked.
    pub rows: u64,
    /// What was pruned, up to this row.
    pub start: AuditHead,
    /// The last row.
    pub head: AuditHead,
    /// Whether the remembered head was met. `false`, too, where it lies in what was pruned.
    pub remembered: bool,
}

/// Checks a chain row by row.
pub struct ChainCheck {
    start: AuditHead,
    /// The last row that was whole.
    at: AuditHead,
    rows: u64,
    /// What the last row about a pruning says.
    pruned: Option<AuditHead>,
    remembered: Option<AuditHead>,
    met: bool,
}

impl ChainCheck {
    /// A chain whose rows up to `start` were pruned ([`AuditHead::NONE`]: none were), in which a remembered head must lie.
    pub fn new(start: AuditHead, remembered: Option<AuditHead>) -> Self {
        let met = remembered == Some(start);
        ChainCheck { start, at: start, rows: 0, pruned: None, remembered, met }
    }

    /// The next row.
    pub fn next(&mut self, entry: &AuditEntry) -> Result<(), ChainBreak> {
        let seq = entry.seq;
        match (self.rows, seq == self.at.seq.next()) {
            (0, false) => return Err(ChainBreak::CutAtStart(seq)),
            (_, false) => return Err(ChainBreak::Missing { after: self.at.seq, found: seq }),
            _ => {}
        }
        if entry.hash != entry.computed_hash() {
            return Err(ChainBreak::Changed(seq));
        }
        if entry.previous != self.at.hash {
            return Err(ChainBreak::Unlinked(seq));
        }
        if seq == AuditSeq::FIRST && entry.action != AuditAction::Begin.word() {
            return Err(ChainBreak::CutAtStart(seq));
        }
        if let Some(head) = self.remembered.filter(|head| head.seq == seq) {
            if head.hash != entry.hash {
                return Err(ChainBreak::OtherHead(head));
            }
            self.met = true;
        }
        self.pruned = entry.pruned().or(self.pruned);
        self.at = entry.head();
        self.rows += 1;
        Ok(())
    }

    /// There are no more rows, and `given` was the last number that a row got.
    pub fn end(self, given: AuditSeq) -> Result<Chained, ChainBreak> {
        let ChainCheck { start, at, rows, pruned, remembered, met } = self;
        if self.start != pruned.unwrap_or(AuditHead::NONE) {
            return Err(ChainBreak::CutAtStart(start.seq.next()));
        }
        if let Some(head) = remembered.filter(|head| head.seq > at.seq) {
            return Err(ChainBreak::BeforeHead { last: at.seq, head });
        }
        if at.seq < given || rows == 0 {
            return Err(ChainBreak::CutAtEnd { last: at.seq, given });
        }
        Ok(Chained { rows, start, head: at, remembered: met })
    }
}
