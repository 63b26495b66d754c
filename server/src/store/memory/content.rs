//! Versions and packs.

use async_trait::async_trait;

use sss_common::{NodeId, PackId, Version};

use super::MemoryStore;
use crate::store::rules::Claim;
use crate::store::{AuditRow, Commit, Content, Node, PackRow, Result, StoredVersion, Swap};
use sss_policy::{Allowed, MayWrite, Own};

#[async_trait]
impl Content for MemoryStore {
    async fn version(&self, id: NodeId, version: Version) -> Result<Option<StoredVersion>> {
        Ok(self.read(|state| state.versions.get(&(id, version)).cloned()))
    }

    async fn packs(&self, ids: &[PackId]) -> Result<Vec<PackRow>> {
        Ok(self.read(|state| ids.iter().filter_map(|id| state.packs.get(id).cloned()).collect()))
    }

    async fn commit(&self, proof: &dyn MayWrite, commit: Commit, audit: AuditRow) -> Result<Node> {
        let (claim, by_owner) = (Claim::of_writer(proof), proof.proves_ownership());
        self.write_audited(audit, |state| {
            match &commit.create {
                Some(creation) => state.confirm(&Claim::of(&creation.folder), commit.now)?,
                None => state.confirm(&claim, commit.now)?,
            }
            if let Some((source, _)) = &commit.consumes {
                state.confirm(&Claim::of(source), commit.now)?;
            }
            state.commit(claim.node, commit, by_owner)
        })
    }

    async fn swap(&self, proof: &Allowed<Own>, swap: Swap, audit: AuditRow) -> Result<(Node, Node)> {
        let (claim, now) = (Claim::of(proof), audit.time);
        self.write_audited_by(&claim, audit, |state| {
            state.confirm(&Claim::of(&swap.folder), now)?;
            state.swap(claim.node, swap)
        })
    }
}
