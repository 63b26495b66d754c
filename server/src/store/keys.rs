//! The key tree's sealed nodes, and the numbers of its leaves.

use async_trait::async_trait;

use super::Result;
use sss_vault::sealed::{KeyImage, KeyPosition, Leaf};

/// The key tree's sealed nodes, and the numbers of its leaves. Every method is one transaction; see [`super::MetaStore`].
#[async_trait]
pub trait Keys: Send + Sync {
    /// A sealed node of the key tree.
    async fn key_node(&self, position: KeyPosition) -> Result<Option<KeyImage>>;
    /// The nodes of a level, from this index on, in order.
    async fn key_nodes(&self, level: u8, from: u64, limit: usize) -> Result<Vec<KeyImage>>;
    /// The largest leaf number ever committed.
    async fn last_leaf(&self) -> Result<Option<Leaf>>;
    /// The largest leaf number that is queued for erasure; it may never have been committed.
    async fn last_queued(&self) -> Result<Option<Leaf>>;
}
