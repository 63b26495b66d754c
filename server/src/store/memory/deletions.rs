//! The deletion log.

use async_trait::async_trait;

use sss_common::{Kind, NodeId};

use super::MemoryStore;
use super::state::State;
use crate::store::rules::RemovedBy;
use crate::store::{Deletion, DeletionSeq, Deletions, Erased, Result};
use sss_vault::sealed::Leaf;

#[async_trait]
impl Deletions for MemoryStore {
    async fn deletion(&self, document: NodeId) -> Result<Option<Deletion>> {
        Ok(self.read(|state| state.deletions.iter().find(|entry| entry.document == document).cloned()))
    }

    async fn deletions(&self, after: DeletionSeq, limit: usize) -> Result<Vec<Deletion>> {
        Ok(self.read(|state| {
            let behind = state.deletions.iter().filter(|entry| entry.seq > after);
            behind.take(limit).cloned().collect()
        }))
    }

    async fn remove_again(&self, deletion: &Deletion) -> Result<bool> {
        self.write(|state| Ok(state.remove_again(deletion)))
    }

    async fn last_deletion(&self) -> Result<DeletionSeq> {
        Ok(self.read(|state| state.last_deletion))
    }

    async fn skip_deletions(&self, last: DeletionSeq) -> Result<()> {
        self.write(|state| {
            state.last_deletion = state.last_deletion.max(last);
            Ok(())
        })
    }
}

impl State {
    /// Removes a node that has no entries, and writes that down. `None` when it is not there.
    pub(super) fn remove_logged(&mut self, id: NodeId, by: &RemovedBy) -> Option<Deletion> {
        self.remove_as(id, by, self.last_deletion.next())
    }

    /// The same under a number of its own, where that is free.
    fn remove_as(&mut self, id: NodeId, by: &RemovedBy, seq: DeletionSeq) -> Option<Deletion> {
        let home = self.nodes.get(&id)?.home.clone();
        let path = self.path(id).unwrap_or_default();
        let versions = self.versions.keys().filter(|(node, _)| *node == id).map(|key| key.1).collect();
        let (keys, shared) = self.remove_node(id, Some(id));
        let place = self.deletions.binary_search_by_key(&seq, |entry| entry.seq);
        let (seq, place) = match place {
            Ok(_) => (self.last_deletion.next(), self.deletions.len()),
            Err(free) => (seq, free),
        };
        self.last_deletion = self.last_deletion.max(seq);
        let deletion = Deletion {
            seq,
            document: id,
            home,
            user: by.user.clone(),
            path,
            time: by.time,
            versions,
            keys,
            shared,
            erased: None,
        };
        self.deletions.insert(place, deletion.clone());
        Some(deletion)
    }

    /// Takes leaves off the queue and marks the deletions that have none left on it.
    pub(super) fn settle(&mut self, leaves: &[Leaf], at: Erased) {
        let (gone, left) = self.erasures.drain(..).partition(|(leaf, _)| leaves.contains(leaf));
        self.erasures = left;
        let gone: Vec<(Leaf, Option<NodeId>)> = gone;
        for entry in &mut self.deletions {
            let of_it = |queued: &(Leaf, Option<NodeId>)| queued.1 == Some(entry.document);
            if gone.iter().any(of_it) && !self.erasures.iter().any(of_it) {
                entry.erased = Some(at);
            }
        }
    }

    pub(super) fn remove_again(&mut self, deletion: &Deletion) -> bool {
        let Some(node) = self.nodes.get(&deletion.document).cloned() else { return false };
        let Some(parent) = node.parent else { return false };
        if node.kind == Kind::Folder && self.children(node.id).next().is_some() {
            return false;
        }
        let by = RemovedBy { user: deletion.user.clone(), time: deletion.time };
        self.remove_as(node.id, &by, deletion.seq);
        self.touch(parent, deletion.time.nanos());
        true
    }
}
