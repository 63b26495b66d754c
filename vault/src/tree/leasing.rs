//! New leaves: how one is given out, committed or given back.

use std::collections::BTreeSet;

use super::node::KeyNode;
use super::parts::{Allocation, Issue, Leased};
use super::path::{FAN_OUT, LAST_LEAF, LAST_LEVEL, first_leaf, leaf_slot, parent_index, path};
use super::state::State;
use crate::sealed::{KeyImage, KeyPosition, Leaf};
use crate::secrets::SecretKey;
use crate::{Result, VaultError};

/// Nodes with leaves that were given back are written along with other check-ins, so many at a time.
const STALE_BATCH: usize = 4;

/// More of them than this are not remembered: what was given back then is taken out of its sealed node by its erasure.
pub(super) const STALE_MAX: usize = 1024;

impl State {
    /// A new leaf with a fresh key, pinned until it is committed or given back. Numbers only go up, and one
    /// whose slot is taken (by a check-in that a crash cut short) is passed over.
    pub(super) fn allocate(&mut self) -> Result<Allocation> {
        loop {
            let leaf = self.next_leaf;
            if leaf > LAST_LEAF {
                return Err(VaultError::Refused("the key tree has no leaf left"));
            }
            if let Some(absent) = self.absent(leaf) {
                return Ok(Allocation::Absent(absent));
            }
            self.next_leaf = leaf.next();
            let key = SecretKey::random()?;
            let now = self.tick();
            let Some(node) = self.parents.get_mut(&parent_index(leaf)) else { continue };
            if node.has(leaf_slot(leaf)) {
                continue;
            }
            node.put(leaf_slot(leaf), &key);
            node.changed = now;
            node.pins += 1;
            self.leases.insert(leaf, Leased { since: now, issue: Issue::default() });
            return Ok(Allocation::Leaf(leaf, key));
        }
    }

    /// Gives out no leaf up to this one any more.
    pub(super) fn pass_over(&mut self, leaf: Leaf) {
        self.next_leaf = self.next_leaf.max(leaf.next());
    }

    /// What must be committed with a leaf: every pending node on its path, a staged erasure, and a few nodes with leaves
    /// that were given back. `None` if the leaf was erased meanwhile.
    pub(super) fn images(&mut self, leaf: Leaf) -> Result<Option<Vec<KeyImage>>> {
        let there = self.parents.peek(&parent_index(leaf)).is_some_and(|node| node.has(leaf_slot(leaf)));
        if !there {
            return Ok(None);
        }
        let stale = self.stale.keys().take(STALE_BATCH).copied().map(first_leaf);
        let wanted: BTreeSet<KeyPosition> = stale
            .chain([leaf])
            .flat_map(path)
            .filter(|position| self.node(*position).is_some_and(KeyNode::is_pending))
            .chain(self.staged.iter().flat_map(|staged| staged.nodes.iter().copied()))
            .collect();
        let (issue, images) = self.issue(wanted)?;
        if let Some(leased) = self.leases.get_mut(&leaf) {
            leased.issue = issue;
        }
        Ok(Some(images))
    }

    /// The images that the leaf's sealer was given last are in the store.
    pub(super) fn commit(&mut self, leaf: Leaf) {
        if let Some(leased) = self.leases.remove(&leaf) {
            self.unpin(leaf);
            self.settle(&leased.issue);
        }
    }

    /// Lets go of a leaf whose sealer is gone. Unless the store may have got it (images were given for it, and
    /// it is not `sure` that their transaction failed) the leaf is taken out. Its number is not used again, and where an
    /// image was made while the leaf was in its node, it counts as abandoned: a copy of that image may exist.
    pub(super) fn give_back(&mut self, leaf: Leaf, sure: bool) {
        let Some(leased) = self.leases.remove(&leaf) else { return };
        self.unpin(leaf);
        let now = self.tick();
        let index = parent_index(leaf);
        let doubtful = leased.issue.sequence > 0 && !sure;
        if let Some(node) = self.parents.get_mut(&index) {
            if !doubtful {
                node.clear(leaf_slot(leaf));
                node.changed = now;
            }
            if node.issued > leased.since {
                self.abandoned.insert(leaf);
            }
            if node.is_pending() {
                *self.stale.entry(index).or_default() |= doubtful;
            }
        }
        if self.stale.len() > STALE_MAX {
            self.forget_stale();
        }
    }

    /// Stops remembering one node whose only changes are leaves that were taken out.
    fn forget_stale(&mut self) {
        let staged = self.staged.as_ref().map(|staged| &staged.nodes);
        let is_staged =
            |index| staged.is_some_and(|nodes| nodes.contains(&KeyPosition { level: LAST_LEVEL, index }));
        let idle = |index: &u64| self.parents.peek(index).is_none_or(|node| node.pins == 0);
        let mut sure = self.stale.iter().filter(|(_, doubtful)| !**doubtful).map(|(index, _)| *index);
        let Some(index) = sure.find(|index| idle(index) && !is_staged(*index)) else { return };
        self.stale.remove(&index);
        // Out of memory it goes: the store's image, if there is one, has every leaf that was committed.
        self.parents.pop(&index);
    }

    /// Leaves that were given back and that a sealed image may hold, until [`State::taken_care_of`].
    pub(super) fn abandoned(&self) -> Vec<Leaf> {
        self.abandoned.iter().copied().collect()
    }

    /// Somebody else sees to these abandoned leaves.
    pub(super) fn taken_care_of(&mut self, leaves: &[Leaf]) {
        for leaf in leaves {
            self.abandoned.remove(leaf);
        }
    }

    /// The leaves under a node of the last level that no sealer holds; `None` when the node is not in memory.
    pub(super) fn idle_leaves(&self, index: u64) -> Option<Vec<Leaf>> {
        let node = self.parents.peek(&index)?;
        let leaves = (first_leaf(index).0..).take(FAN_OUT as usize).map(Leaf);
        Some(leaves.filter(|leaf| node.has(leaf_slot(*leaf)) && !self.leases.contains_key(leaf)).collect())
    }
}
