//! Versions of documents, and the packs that hold them.

use async_trait::async_trait;

use sss_common::{NodeId, PackId, Version};

use super::{AuditRow, Commit, Node, PackRow, Result, StoredVersion, Swap};
use sss_policy::{Allowed, MayWrite, Own};

/// Versions of documents, and the packs that hold them. Every method is one transaction; see [`super::MetaStore`].
///
/// Each change is to the document that its proof names.
#[async_trait]
pub trait Content: Send + Sync {
    /// A version's sealed record; current or superseded, as long as it is kept.
    async fn version(&self, id: NodeId, version: Version) -> Result<Option<StoredVersion>>;
    /// The packs that are there among these.
    async fn packs(&self, ids: &[PackId]) -> Result<Vec<PackRow>>;
    /// Makes a version current. `VersionMoved` unless the current one is `commit.base`, and when what it consumes moved
    /// on; `NotFound`, `IsFolder`, `Exists` for a pack id that is taken. The pack must be durable.
    async fn commit(&self, proof: &dyn MayWrite, commit: Commit, audit: AuditRow) -> Result<Node>;
    /// Puts a document back under its former name and a copy of it under its present (backup) name.
    /// Returns the document and the copy. `NotFound` when it is not (or no longer) under the backup name, `Exists` when
    /// its former name is taken, `VersionMoved`, `IsFolder`, `TooDeep`.
    async fn swap(&self, proof: &Allowed<Own>, swap: Swap, audit: AuditRow) -> Result<(Node, Node)>;
}
