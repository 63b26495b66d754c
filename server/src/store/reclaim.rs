//! What nothing uses any more, and the queues that it goes to.

use async_trait::async_trait;

use sss_common::{NodeId, PackId, Timestamp, Version};

use super::{Erased, Result};
use sss_vault::sealed::{KeyImage, Leaf};

/// What nothing uses any more, and the queues that it goes to. Every method is one transaction; see [`super::MetaStore`].
#[async_trait]
pub trait Reclaim: Send + Sync {
    /// Versions that were superseded at or before `before`, oldest first.
    async fn superseded(&self, before: Timestamp, limit: usize) -> Result<Vec<(NodeId, Version)>>;
    /// Drops superseded versions (never a current one: those are passed over); what only they used goes to the queues.
    async fn drop_versions(&self, versions: &[(NodeId, Version)]) -> Result<()>;
    /// Leaves whose keys are to be erased, in the order in which they came; never one that a version or a pack uses.
    async fn erasures(&self, limit: usize) -> Result<Vec<Leaf>>;
    /// Writes the key tree without these leaves and takes them off the queue; deletions that have none left on it are
    /// marked as erased.
    async fn erased(&self, leaves: &[Leaf], keys: Vec<KeyImage>, at: Erased) -> Result<()>;
    /// Those of these leaves that no version and no pack uses and that are not queued.
    async fn unused(&self, leaves: &[Leaf]) -> Result<Vec<Leaf>>;
    /// Queues those of these leaves that no version and no pack uses: what check-ins left that were given up.
    /// Comes behind every transaction that was begun before.
    async fn abandon(&self, leaves: &[Leaf]) -> Result<()>;
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
}
