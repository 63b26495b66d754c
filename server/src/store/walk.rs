//! Walking over all that is kept, for the scrub, page by page.

use async_trait::async_trait;

use sss_common::{NodeId, PackId, Version};

use super::Result;
use sss_vault::sealed::Leaf;

/// Walking over all that is kept, for the scrub. Each page is a read of its own, and sees the last commit. Every method is one transaction; see [`super::MetaStore`].
#[async_trait]
pub trait Walk: Send + Sync {
    /// How much there is.
    async fn totals(&self) -> Result<Totals>;
    /// Up to `limit` documents and links behind `after`, in the order of their ids. Fewer mean that these were the last.
    async fn documents(&self, after: Option<NodeId>, limit: usize) -> Result<Vec<NodeId>>;
    /// The current version and all that are kept; `None` for what is not there.
    async fn versions_of(&self, id: NodeId) -> Result<Option<Versions>>;
    /// Up to `limit` packs behind `after`, each with its leaf, in the order of their leaves, which is that of the
    /// check-ins. Fewer mean that these were the last.
    async fn packs_after(&self, after: Option<(Leaf, PackId)>, limit: usize) -> Result<Vec<(Leaf, PackId)>>;
    /// How many blocks a pack has, by its row.
    async fn pack_blocks(&self, id: PackId) -> Result<Option<u64>>;
    /// The versions that count as using a pack, in order.
    async fn users_of(&self, id: PackId) -> Result<Vec<(NodeId, Version)>>;
}

/// How much there is to walk over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Versions that are kept.
    pub versions: u64,
    /// Packs that have a row.
    pub packs: u64,
    /// Their sealed bytes.
    pub bytes: u64,
}

/// A document's versions at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The current one; 0 when nothing was checked in yet.
    pub current: Version,
    /// Its plaintext's bytes.
    pub size: u64,
    /// Those that have a row, oldest first.
    pub kept: Vec<Kept>,
}

/// A version that has a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Which version.
    pub version: Version,
    /// The packs that count as used by it, in order.
    pub uses: Vec<PackId>,
}
