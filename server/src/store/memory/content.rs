//! Versions and packs.

use async_trait::async_trait;

use sss_common::{NodeId, PackId, Version};

use super::MemoryStore;
use crate::store::rules;
use crate::store::{AuditRow, Commit, Content, Node, PackRow, Result, StoredVersion, Swap};
use sss_policy::Allowed;

#[async_trait]
impl Content for MemoryStore {
    async fn version(&self, id: NodeId, version: Version) -> Result<Option<StoredVersion>> {
        Ok(self.read(|state| state.versions.get(&(id, version)).cloned()))
    }

    async fn packs(&self, ids: &[PackId]) -> Result<Vec<PackRow>> {
        Ok(self.read(|state| ids.iter().filter_map(|id| state.packs.get(id).cloned()).collect()))
    }

    async fn commit(&self, allowed: &Allowed, commit: Commit, audit: AuditRow) -> Result<Node> {
        rules::write(allowed, commit.node)?;
        self.write_audited(audit, |state| state.commit(allowed, commit))
    }

    async fn swap(&self, allowed: &Allowed, swap: Swap, audit: AuditRow) -> Result<(Node, Node)> {
        rules::own(allowed, swap.document)?;
        self.write_audited(audit, |state| state.swap(allowed, swap))
    }
}
