//! Walking over all that is kept, for the scrub.

use std::ops::Bound;

use async_trait::async_trait;

use sss_common::{Kind, NodeId, PackId, Version};

use super::MemoryStore;
use super::state::State;
use crate::store::{Kept, Result, Totals, Versions, Walk};
use sss_vault::sealed::Leaf;

#[async_trait]
impl Walk for MemoryStore {
    async fn totals(&self) -> Result<Totals> {
        Ok(self.read(State::totals))
    }

    async fn documents(&self, after: Option<NodeId>, limit: usize) -> Result<Vec<NodeId>> {
        Ok(self.read(|state| state.documents(after, limit)))
    }

    async fn versions_of(&self, id: NodeId) -> Result<Option<Versions>> {
        Ok(self.read(|state| state.versions_of(id)))
    }

    async fn packs_after(&self, after: Option<(Leaf, PackId)>, limit: usize) -> Result<Vec<(Leaf, PackId)>> {
        Ok(self.read(|state| state.packs_after(after, limit)))
    }

    async fn pack_blocks(&self, id: PackId) -> Result<Option<u64>> {
        Ok(self.read(|state| state.packs.get(&id).map(|pack| pack.blocks)))
    }

    async fn users_of(&self, id: PackId) -> Result<Vec<(NodeId, Version)>> {
        Ok(self.read(|state| state.users_of(id)))
    }
}

impl State {
    pub(super) fn totals(&self) -> Totals {
        Totals {
            versions: self.versions.len() as u64,
            packs: self.packs.len() as u64,
            bytes: self.packs.values().map(|pack| pack.length).sum(),
        }
    }

    pub(super) fn documents(&self, after: Option<NodeId>, limit: usize) -> Vec<NodeId> {
        let behind = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let documents = self.nodes.range(behind).filter(|(_, node)| node.kind != Kind::Folder);
        documents.map(|(id, _)| *id).take(limit).collect()
    }

    pub(super) fn versions_of(&self, id: NodeId) -> Option<Versions> {
        let node = self.nodes.get(&id)?;
        let uses = |version| {
            let own = self.uses.iter().filter(move |used| (used.0, used.1) == (id, version));
            own.map(|used| used.2).collect()
        };
        let rows = self.versions.range((id, Version::NONE)..=(id, Version(u64::MAX)));
        let kept = rows.map(|((_, version), _)| Kept { version: *version, uses: uses(*version) }).collect();
        Some(Versions { current: node.version, size: node.size, kept })
    }

    pub(super) fn packs_after(&self, after: Option<(Leaf, PackId)>, limit: usize) -> Vec<(Leaf, PackId)> {
        let mut packs: Vec<_> = self.packs.values().map(|pack| (pack.leaf, pack.id)).collect();
        packs.retain(|pack| after.is_none_or(|after| *pack > after));
        packs.sort();
        packs.truncate(limit);
        packs
    }

    pub(super) fn users_of(&self, id: PackId) -> Vec<(NodeId, Version)> {
        self.uses.iter().filter(|used| used.2 == id).map(|used| (used.0, used.1)).collect()
    }
}
