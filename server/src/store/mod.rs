//! Where metadata and sealed bytes are kept. This room sees sealed bytes only and decides nothing.
//!
//! [`MetaStore`] bundles traits of transactions, not of tables, one for each concern: [`Users`], [`Names`],
//! [`Content`], [`Sharing`], [`Keys`], [`Reclaim`], [`Deletions`], [`Homes`], [`Walk`], [`Moments`] and [`Audit`]. `memory` and `sqlite`
//! implement them all and run the same conformance suite (`conformance`).
//! [`BlobStore`] keeps packs. The durable order is the service's to keep: pack first, then the row.

mod audience;
pub mod audit;
pub mod blobs;
#[cfg(test)]
mod conformance;
mod content;
mod deletions;
#[cfg(any(test, feature = "twins"))]
pub mod faulty;
mod homes;
mod keys;
#[cfg(any(test, feature = "twins"))]
pub mod memory;
pub mod model;
mod moments;
mod names;
mod reclaim;
mod rules;
mod sharing;
mod snapshot;
pub mod sqlite;
mod users;
mod walk;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use sss_common::{PackId, Timestamp, Uid, Version};
use sss_policy::Refusal;

pub use audience::Audience;
pub use audit::{Audit, AuditAction, AuditEntry, AuditHash, AuditHead, AuditOutcome, AuditRow, AuditSeq};
pub use content::Content;
pub use deletions::Deletions;
pub use homes::Homes;
pub use keys::Keys;
pub use model::*;
pub use moments::{Moments, SetBack};
pub use names::Names;
pub use reclaim::Reclaim;
pub use sharing::Sharing;
pub use snapshot::{Contents, MetaSnapshot};
pub use users::Users;
pub use walk::{Kept, Totals, Versions, Walk};

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
    /// The user was disabled.
    #[error("user {0} is disabled")]
    Disabled(Uid),
    /// The user must be disabled, and is not.
    #[error("user {0} is enabled")]
    Enabled(Uid),
    /// The right to it is not, or no longer, there.
    #[error("{0}")]
    Refused(Refusal),
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
    /// The audit log takes no row, and without its row nothing is done.
    #[error("the audit log cannot be written: {0}")]
    Unlogged(String),
    /// The database or the folder failed.
    #[error("storage failed: {0}")]
    Backend(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A transaction's outcome.
pub type Result<T> = std::result::Result<T, StoreError>;

/// The metadata: all its concerns on one database. Every method is one transaction, and either all of it happens or
/// nothing; one that changes something returns once the change is durable, except [`Audit::audit`], which gathers.
///
/// A method that takes a proof asks the policy again inside its transaction, on what is there then: `Refused` where the right ended
/// between the proof and the change, `Disabled` where its user was disabled. So a change never stands behind the
/// revocation that forbids it.
/// Who needs one concern asks for that trait.
pub trait MetaStore:
    Users + Names + Content + Sharing + Keys + Reclaim + Deletions + Homes + Walk + Moments + Audit
{
}

impl<S: Users + Names + Content + Sharing + Keys + Reclaim + Deletions + Homes + Walk + Moments + Audit>
    MetaStore for S
{
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
