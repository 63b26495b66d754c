//! Drafts that outlive their mount: kept sealed in the user's state folder until they are on the server, or discarded.
//!
//! What a draft that is not on the server can be, and how that changes:
//!
//! | state | becomes | when |
//! |---|---|---|
//! | unsaved: in the memory or the spool of a mount | on the server | a `close`, a retry, or the mount's end checks it in, as itself or as a conflict copy |
//! | unsaved | spared: a file in this room's folder, whose lock the mount holds | a `close` or `fsync` was refused |
//! | spared | on the server, and the file is removed | as unsaved |
//! | spared | kept | the mount's process ends, however: nobody holds the lock any more |
//! | unsaved | kept: a file in this room's folder | the mount ends and the server is away for longer than the mount tries, or refuses |
//! | unsaved | lost | the mount ends, and the file cannot be written: `close` and the mount's error say so; or its process is killed before a `close` was refused |
//! | kept | kept | the next mount could not make the copy, `3s recover --to` copied it out, or nobody came |
//! | kept | on the server | the next mount of that user at that server made a conflict copy of it, and the server acknowledged that |
//! | kept | discarded | `3s recover --discard` |
//!
//! Invariants: a draft is marked as kept only once its file is durable, and the file is removed only once the copy's content
//! is acknowledged: at every moment the bytes are in at least one place. A file has its name only when it is whole. Whoever
//! takes a file to the server or discards it holds its lock, so no two mounts make a copy of one draft. Everything in a file
//! is sealed under a key of its own that only the user's key opens, except the [`Label`]: which user of which server it is
//! for, and where the key that opens it lay.
//!
//! [`mod@file`] is the format, [`store`] the folder.

pub mod file;
pub mod store;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use sss_common::wire::fs::Attr;
use sss_common::{FileTime, Name, NodeId, Timestamp};
use std::path::PathBuf;

pub use file::{Part, Unreadable, Writer};
pub use store::{Kept, Store};

/// What a file says in the clear: whose it is, and where the key that opens it lay. It is authenticated with the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// UID@HOST:PORT
    pub target: String,
    /// The ID_DIR of the mount.
    pub identity: PathBuf,
}

/// What a kept draft is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Its document's name.
    pub name: Name,
    /// Its document's folder in the mount, from `/` on; `/` itself for the root.
    pub folder_path: String,
    /// That folder's node, where the mount knew it.
    pub folder: Option<NodeId>,
    /// The version that the draft was written over, and whose node it is.
    pub base: Attr,
    /// The draft's size in bytes.
    pub size: u64,
    /// When its content changed last.
    pub mtime_ns: FileTime,
    /// New permission bits (`0o7777`), if the draft sets them.
    pub mode: Option<u32>,
    /// When it was kept, by the client's clock.
    pub kept_at: Timestamp,
    /// Why it could not be checked in.
    pub why: String,
}

impl Header {
    /// The document's path in the mount.
    pub fn path(&self) -> String {
        format!("{}/{}", self.folder_path.trim_end_matches('/'), self.name)
    }
}
