//! Where metadata and sealed bytes are kept. This room sees sealed bytes only and decides nothing.
//!
//! [`MetaStore`] is a trait of transactions, not of tables: each method is one, and either all of it happens or
//! nothing. `memory` and `sqlite` implement it and run the same conformance suite (`conformance`).
//! [`BlobStore`] keeps packs. The durable order is the service's to keep: pack first, then the row.

pub mod blobs;
#[cfg(test)]
mod conformance;
#[cfg(any(test, feature = "twins"))]
pub mod memory;
pub mod model;
mod rules;
pub mod sqlite;
mod walk;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use sss_common::{Flag, Grantee, Name, NodeId, PackId, Timestamp, Uid, Version, XattrMode};

pub use model::*;
use sss_policy::Allowed;
use sss_vault::sealed::{KeyImage, KeyPosition};
pub use walk::{Kept, Totals, Versions};

/// Why a transaction did not happen.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing there, or no longer.
    #[error("not found")]
    NotFound,
    /// The name is taken.
    #[error("the name is taken")]
    Exists,
    /// The document's current version is another than the caller started from.
    #[error("the current version is {0}")]
    VersionMoved(Version),
    /// The folder has entries.
    #[error("the folder is not empty")]
    NotEmpty,
    /// It is a folder, and must not be.
    #[error("is a folder")]
    IsFolder,
    /// It is not a folder, and must be.
    #[error("is not a folder")]
    NotFolder,
    /// A folder would come to lie inside itself.
    #[error("a folder cannot be moved into itself")]
    Loop,
    /// Folders would be nested deeper than `limits::DEPTH_MAX`.
    #[error("too many folders inside one another")]
    TooDeep,
    /// A node's extended attributes would be larger than `limits::XATTR_TOTAL_MAX`.
    #[error("too many extended attributes")]
    TooLarge,
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// The data directory was made by a newer version of 3S.
    #[error("the metadata has schema {found}, this program knows up to {known}")]
    Newer {
        /// What the file says.
        found: u32,
        /// What this program can read.
        known: u32,
    },
    /// Stored data does not make sense.
    #[error("stored metadata is damaged: {0}")]
    Damaged(String),
    /// The database or the folder failed.
    #[error("storage failed: {0}")]
    Backend(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A transaction's outcome.
pub type Result<T> = std::result::Result<T, StoreError>;

/// The metadata. Every method is one transaction; a method that changes something returns once the change is
/// durable, except [`MetaStore::audit`], which may be gathered.
#[async_trait]
pub trait MetaStore: Send + Sync {
    // Users and sessions.

    /// Adds a user and an empty home, mode 0700; `Exists` when the uid is taken.
    async fn add_user(&self, user: NewUser) -> Result<()>;
    /// One user.
    async fn user(&self, uid: &Uid) -> Result<Option<User>>;
    /// All users in order.
    async fn users(&self) -> Result<Vec<User>>;
    /// Disables or enables; `NotFound` for an unknown uid. A disabled user's sessions end.
    async fn set_disabled(&self, uid: &Uid, disabled: bool) -> Result<()>;
    /// Stores a session and replaces the user's oldest live ones beyond `keep` (at least 1, the new one included).
    /// Returns the token hashes of those that it replaced, oldest first. `NotFound` for an unknown or disabled user,
    /// `Exists` for a token that is there. Rows of sessions that ended, or ran out, more than a day ago are dropped.
    async fn begin_session(&self, session: NewSession, keep: usize) -> Result<Vec<TokenHash>>;
    /// A session, live, run out or ended; those of a disabled user have ended.
    async fn session(&self, token: &TokenHash) -> Result<Option<Session>>;
    /// Ends a session by logout; one that is not there or has ended is passed over.
    async fn end_session(&self, token: &TokenHash, now: Timestamp) -> Result<()>;

    // Names, with the facts that a decision about `user` needs. `Facts::below` is filled in only where a decision may
    // depend on it: for folders whose levels give the user no live right at `now`.

    /// A user's home.
    async fn home(&self, owner: &Uid, user: &Uid, now: Timestamp) -> Result<Option<Seen>>;
    /// Any node.
    async fn node(&self, id: NodeId, user: &Uid, now: Timestamp) -> Result<Option<Seen>>;
    /// A name in a folder.
    async fn child(&self, parent: NodeId, name: &Name, user: &Uid, now: Timestamp) -> Result<Option<Seen>>;
    /// Up to `limit` children behind `after`, in the order of their names' bytes, whether visible or not.
    /// Fewer than `limit` means that these were the last. `NotFound`, `NotFolder`.
    async fn children(
        &self,
        folder: NodeId,
        after: Option<&Name>,
        limit: usize,
        user: &Uid,
        now: Timestamp,
    ) -> Result<Vec<Seen>>;
    /// The other users in whose homes `user` has a live right on anything (or owns anything), in order.
    async fn shared_homes(&self, user: &Uid, now: Timestamp) -> Result<Vec<Uid>>;
    /// `@owner/a/b`, for people and the audit log.
    async fn path(&self, id: NodeId) -> Result<Option<String>>;

    // Content.

    /// A version's sealed record; current or superseded, as long as it is kept.
    async fn version(&self, id: NodeId, version: Version) -> Result<Option<StoredVersion>>;
    /// The packs that are there among these.
    async fn packs(&self, ids: &[PackId]) -> Result<Vec<PackRow>>;

    // Changes to names and content. A folder's times change when its entries do. A proof that is not of the action
    // and node that the model says is `Damaged`: a bug of the caller, and nothing happens.

    /// A new node. `Exists` when the name is taken, `NotFound` or `NotFolder` for the parent, `TooDeep`.
    async fn create(&self, allowed: &Allowed, new: NewNode, audit: AuditRow) -> Result<Node>;
    /// Makes a version current. `VersionMoved` unless the current one is `commit.base`, and when what it consumes moved
    /// on; `NotFound`, `IsFolder`, `Exists` for a pack id that is taken. The pack must be durable.
    async fn commit(&self, allowed: &Allowed, commit: Commit, audit: AuditRow) -> Result<Node>;
    /// Moves a node. `NotFound` when it is not there any more or the new folder is in another home, `Exists` when the
    /// new name is taken by anything but `rename.replacing`; `NotFolder`, `IsFolder` and `NotEmpty` as rename(2) has
    /// them, `Loop`, `TooDeep`. When what was to be replaced is gone already, that is as good. Onto itself: nothing.
    async fn rename(&self, allowed: &Allowed, rename: Rename, audit: AuditRow) -> Result<Node>;
    /// Puts a document back under its former name and a copy of it under its present (backup) name.
    /// Returns the document and the copy. `NotFound` when it is not (or no longer) under the backup name, `Exists` when
    /// its former name is taken, `VersionMoved`, `IsFolder`, `TooDeep`.
    async fn swap(&self, allowed: &Allowed, swap: Swap, audit: AuditRow) -> Result<(Node, Node)>;
    /// Removes a node with its grants, attributes and versions; what only they used goes to the erasure and trash
    /// queues in the same transaction, which writes the deletion log too. `NotEmpty` for a folder with entries, `NotFound`
    /// when it is not (or no longer) under that parent and name.
    async fn remove(&self, allowed: &Allowed, remove: Remove, audit: AuditRow) -> Result<Deletion>;

    // Attributes and grants.

    /// Sets mode and times.
    async fn set_attr(&self, allowed: &Allowed, set: SetAttr) -> Result<Node>;
    /// Sets what new documents in a folder get, or the flag of a document that has no version yet; `VersionMoved` when
    /// it has one.
    async fn set_flag(&self, allowed: &Allowed, flag: Flag, audit: AuditRow) -> Result<Node>;
    /// The other `user.*` attributes in the order of their names; `NotFound`.
    async fn xattrs(&self, id: NodeId) -> Result<Vec<(String, Vec<u8>)>>;
    /// Sets one, of the node that `allowed` names. `Exists`, `NotFound` as the mode says; `TooLarge`.
    async fn set_xattr(&self, allowed: &Allowed, name: &str, value: &[u8], mode: XattrMode) -> Result<()>;
    /// Removes one; `NotFound`.
    async fn remove_xattr(&self, allowed: &Allowed, name: &str) -> Result<()>;
    /// The grants on a node that were not revoked or replaced, ended ones included: ALL first, then by uid. `NotFound`.
    async fn grants(&self, id: NodeId) -> Result<Vec<GrantRow>>;
    /// Sets a grant with the next sequence number. One to ALL revokes every earlier one on the node.
    async fn set_grant(&self, allowed: &Allowed, grant: NewGrant, audit: AuditRow) -> Result<()>;
    /// Marks a grant revoked; `NotFound` when there is none.
    async fn revoke_grant(&self, allowed: &Allowed, grantee: &Grantee, audit: AuditRow) -> Result<()>;

    // The key tree.

    /// A sealed node of the key tree.
    async fn key_node(&self, position: KeyPosition) -> Result<Option<KeyImage>>;
    /// The nodes of a level, from this index on, in order.
    async fn key_nodes(&self, level: u8, from: u64, limit: usize) -> Result<Vec<KeyImage>>;
    /// The largest leaf number ever committed.
    async fn last_leaf(&self) -> Result<Option<u64>>;
    /// The largest leaf number that is queued for erasure; it may never have been committed.
    async fn last_queued(&self) -> Result<Option<u64>>;

    // Reclaiming.

    /// Versions that were superseded at or before `before`, oldest first.
    async fn superseded(&self, before: Timestamp, limit: usize) -> Result<Vec<(NodeId, Version)>>;
    /// Drops superseded versions (never a current one: those are passed over); what only they used goes to the queues.
    async fn drop_versions(&self, versions: &[(NodeId, Version)]) -> Result<()>;
    /// Leaves whose keys are to be erased, in the order in which they came; never one that a version or a pack uses.
    async fn erasures(&self, limit: usize) -> Result<Vec<u64>>;
    /// Writes the key tree without these leaves and takes them off the queue; deletions that have none left on it are
    /// marked as erased.
    async fn erased(&self, leaves: &[u64], keys: Vec<KeyImage>, at: Erased) -> Result<()>;
    /// Those of these leaves that no version and no pack uses and that are not queued.
    async fn unused(&self, leaves: &[u64]) -> Result<Vec<u64>>;
    /// Queues those of these leaves that no version and no pack uses: what check-ins left that were given up.
    /// Comes behind every transaction that was begun before.
    async fn abandon(&self, leaves: &[u64]) -> Result<()>;
    /// Packs to be deleted from the blob store; none while anybody holds them.
    async fn trash(&self, limit: usize, now: Timestamp) -> Result<Vec<PackId>>;
    /// Takes packs off that queue.
    async fn trashed(&self, packs: &[PackId]) -> Result<()>;
    /// Whether a pack has a row, or waits in the trash for its time; the sweeper asks it about objects that may be orphans.
    async fn has_pack(&self, id: PackId) -> Result<bool>;
    /// Asks that packs stay in the blob store until then, also when nothing uses them any more; asking again under the
    /// same name moves the end.
    async fn hold(&self, name: &str, until: Timestamp) -> Result<()>;
    /// Ends a hold; one that is not there is passed over.
    async fn release(&self, name: &str) -> Result<()>;

    // The deletion log.

    /// What was logged for a document, link or folder that was removed.
    async fn deletion(&self, document: NodeId) -> Result<Option<Deletion>>;
    /// Up to `limit` entries behind `after`, in order.
    async fn deletions(&self, after: u64, limit: usize) -> Result<Vec<Deletion>>;
    /// Removes again what this entry of another state of the same store removed, wherever it lies now: `true` when it
    /// was there. A folder goes when it is empty; one with entries stays, and that is `false`. Its versions' keys and packs go to
    /// the queues, and the log has the entry, with the keys that there were, under its `seq` (the next one where that is
    /// taken). For restoring a backup.
    async fn remove_again(&self, deletion: &Deletion) -> Result<bool>;
    /// The last number that the log has given; 0 before the first.
    async fn last_deletion(&self) -> Result<u64>;
    /// From now on the log gives numbers behind this one: those up to it were given in another state of the same store.
    async fn skip_deletions(&self, last: u64) -> Result<()>;

    // Walking, for the scrub.

    /// How much there is.
    async fn totals(&self) -> Result<Totals>;
    /// Up to `limit` documents and links behind `after`, in the order of their ids. Fewer mean that these were the last.
    async fn documents(&self, after: Option<NodeId>, limit: usize) -> Result<Vec<NodeId>>;
    /// The current version and all that are kept; `None` for what is not there.
    async fn versions_of(&self, id: NodeId) -> Result<Option<Versions>>;
    /// Up to `limit` packs behind `after`, each with its leaf, in the order of their leaves, which is that of the
    /// check-ins. Fewer mean that these were the last.
    async fn packs_after(&self, after: Option<(u64, PackId)>, limit: usize) -> Result<Vec<(u64, PackId)>>;
    /// How many blocks a pack has, by its row.
    async fn pack_blocks(&self, id: PackId) -> Result<Option<u64>>;
    /// The versions that count as using a pack, in order.
    async fn users_of(&self, id: PackId) -> Result<Vec<(NodeId, Version)>>;

    // Audit.

    /// Appends to the audit log. May return before the rows are durable; order is kept.
    async fn audit(&self, rows: Vec<AuditRow>) -> Result<()>;
    /// Waits until everything that was acknowledged, audit rows included, is durable.
    async fn flush(&self) -> Result<()>;
}

/// Where packs are kept: sealed, immutable, each under its id.
#[async_trait]
pub trait BlobStore: Send + Sync {
    /// Begins a pack that becomes visible only when it is finished.
    async fn begin(&self, id: PackId) -> Result<Box<dyn BlobWriter>>;
    /// Bytes `offset..offset + length` of a pack; `NotFound` when it is not there or shorter.
    async fn read(&self, id: PackId, offset: u64, length: usize) -> Result<Bytes>;
    /// Deletes a pack; one that is not there is passed over.
    async fn delete(&self, id: PackId) -> Result<()>;
    /// All packs with when they were written, for the sweeper.
    async fn list(&self) -> Result<Vec<(PackId, Timestamp)>>;
    /// Bytes in all and bytes free, where the store can tell.
    async fn space(&self) -> Result<Option<Space>>;
}

/// A pack that is being written. Dropping it without `finish` leaves nothing that a reader could see.
#[async_trait]
pub trait BlobWriter: Send {
    /// Appends. Parts may be held back and written in the background; at most a few MiB are.
    async fn write(&mut self, part: Bytes) -> Result<()>;
    /// Returns when the pack is durable under its name.
    async fn finish(self: Box<Self>) -> Result<()>;
    /// Gives it up and removes what was written.
    async fn abort(self: Box<Self>) -> Result<()>;
}

/// The stores that a server runs on.
#[derive(Clone)]
pub struct Stores {
    /// Metadata.
    pub meta: Arc<dyn MetaStore>,
    /// Packs.
    pub blobs: Arc<dyn BlobStore>,
}
