//! The deletion log.

use async_trait::async_trait;

use sss_common::NodeId;

use super::{Deletion, DeletionSeq, Result};

/// The deletion log. Every method is one transaction; see [`super::MetaStore`].
#[async_trait]
pub trait Deletions: Send + Sync {
    /// What was logged for a document, link or folder that was removed.
    async fn deletion(&self, document: NodeId) -> Result<Option<Deletion>>;
    /// Up to `limit` entries behind `after`, in order.
    async fn deletions(&self, after: DeletionSeq, limit: usize) -> Result<Vec<Deletion>>;
    /// Removes again what this entry of another state of the same store removed, wherever it lies now: `true` when it
    /// was there. A folder goes when it is empty; one with entries stays, and that is `false`. Its versions' keys and packs go to
    /// the queues, and the log has the entry, with the keys that there were, under its `seq` (the next one where that is
    /// taken). For restoring a backup.
    async fn remove_again(&self, deletion: &Deletion) -> Result<bool>;
    /// The last number that the log has given; [`DeletionSeq::NONE`] before the first.
    async fn last_deletion(&self) -> Result<DeletionSeq>;
    /// From now on the log gives numbers behind this one: those up to it were given in another state of the same store.
    async fn skip_deletions(&self, last: DeletionSeq) -> Result<()>;
}
