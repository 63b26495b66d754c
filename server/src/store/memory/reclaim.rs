//! The key tree, and what nothing uses any more.

use async_trait::async_trait;

use sss_common::{NodeId, PackId, Timestamp, Version};

use super::MemoryStore;
use crate::store::{Erased, Keys, Reclaim, Result};
use sss_vault::sealed::{KeyImage, KeyPosition, Leaf};

#[async_trait]
impl Keys for MemoryStore {
    async fn key_node(&self, position: KeyPosition) -> Result<Option<KeyImage>> {
        Ok(self.read(|state| state.keys.get(&position).cloned()))
    }

    async fn key_nodes(&self, level: u8, from: u64, limit: usize) -> Result<Vec<KeyImage>> {
        Ok(self.read(|state| {
            let nodes = state.keys.range(KeyPosition { level, index: from }..);
            let level = nodes.take_while(|(position, _)| position.level == level);
            level.take(limit).map(|(_, image)| image.clone()).collect()
        }))
    }

    async fn last_leaf(&self) -> Result<Option<Leaf>> {
        Ok(self.read(|state| state.last_leaf))
    }

    async fn last_queued(&self) -> Result<Option<Leaf>> {
        Ok(self.read(|state| state.erasures.iter().map(|(leaf, _)| *leaf).max()))
    }
}

#[async_trait]
impl Reclaim for MemoryStore {
    async fn superseded(&self, before: Timestamp, limit: usize) -> Result<Vec<(NodeId, Version)>> {
        Ok(self.read(|state| {
            let rows = state.versions.iter();
            let old = rows.filter_map(|((id, version), row)| Some((row.superseded?, *id, *version)));
            let mut old: Vec<_> = old.filter(|(at, ..)| *at <= before).collect();
            old.sort();
            old.into_iter().take(limit).map(|(_, id, version)| (id, version)).collect()
        }))
    }

    async fn drop_versions(&self, versions: &[(NodeId, Version)]) -> Result<()> {
        self.write(|state| {
            let superseded = |key: &&(NodeId, Version)| {
                state.versions.get(key).is_some_and(|row| row.superseded.is_some())
            };
            let old: Vec<_> = versions.iter().filter(superseded).copied().collect();
            state.forget_versions(&old, None);
            Ok(())
        })
    }

    async fn erasures(&self, limit: usize) -> Result<Vec<Leaf>> {
        Ok(self.read(|state| {
            let unused = state.erasures.iter().map(|(leaf, _)| *leaf).filter(|leaf| !state.is_used(*leaf));
            unused.take(limit).collect()
        }))
    }

    async fn erased(&self, leaves: &[Leaf], keys: Vec<KeyImage>, at: Erased) -> Result<()> {
        self.write(|state| {
            state.write_keys(keys);
            state.settle(leaves, at);
            Ok(())
        })
    }

    async fn unused(&self, leaves: &[Leaf]) -> Result<Vec<Leaf>> {
        Ok(self.read(|state| {
            let queued = |leaf: &Leaf| state.erasures.iter().any(|(queued, _)| queued == leaf);
            let unused = leaves.iter().copied().filter(|leaf| !state.is_used(*leaf) && !queued(leaf));
            unused.collect()
        }))
    }

    async fn abandon(&self, leaves: &[Leaf]) -> Result<()> {
        self.write(|state| {
            for leaf in leaves {
                state.queue(*leaf, None);
            }
            Ok(())
        })
    }

    async fn trash(&self, limit: usize, now: Timestamp) -> Result<Vec<PackId>> {
        Ok(self.read(|state| match state.holds.values().any(|until| *until > now) {
            true => Vec::new(),
            false => state.trash.iter().take(limit).copied().collect(),
        }))
    }

    async fn trashed(&self, packs: &[PackId]) -> Result<()> {
        self.write(|state| {
            state.trash.retain(|pack| !packs.contains(pack));
            Ok(())
        })
    }

    async fn has_pack(&self, id: PackId) -> Result<bool> {
        Ok(self.read(|state| state.packs.contains_key(&id) || state.trash.contains(&id)))
    }

    async fn hold(&self, name: &str, until: Timestamp) -> Result<()> {
        self.write(|state| {
            state.holds.insert(name.to_owned(), until);
            Ok(())
        })
    }

    async fn release(&self, name: &str) -> Result<()> {
        self.write(|state| {
            state.holds.remove(name);
            Ok(())
        })
    }
}
