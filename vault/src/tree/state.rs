//! The tree in memory: synchronous, without I/O, the authority on every node it holds.
//!
//! One clock numbers changes and images: an image numbered `s` contains every change before `s`. A node is *pending*
//! until the store is known to have an image of it that is later than its last change, and pending nodes stay in memory.
//! Whoever commits a leaf commits every pending node on its path, so in the store a node is never without the
//! key to it above. And since an image contains all that its node held, of other check-ins in flight
//! too, and the store keeps the latest, commits may arrive in any order.
//!
//! An erasure gives the nodes on its paths fresh keys; they form one group that makes sense only as a whole. From
//! the moment it is staged until it is known to be in the store, every commit carries the whole group: whichever transaction
//! comes first moves the store to the new root, and none can leave a node there that the stored root does not reach.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lru::LruCache;

use sss_common::{Epoch, StoreId};

use super::node::KeyNode;
use super::parts::{Issue, Leased, Lookup, Staged};
use super::path::{LAST_LEAF, LAST_LEVEL, ROOT, leaf_slot, parent, parent_index, path};
use crate::sealed::{KeyImage, KeyPosition, Leaf};
use crate::secrets::SecretKey;
use crate::{Result, VaultError};

/// The tree in memory. Its rules stand in three files: here what is in memory and in the store, in
/// [`super::leasing`] new leaves, in [`super::staging`] erasures; both build on this one.
pub(super) struct State {
    store: StoreId,
    /// All but the last level; stay once they were loaded (one for 4,096 leaves).
    interior: HashMap<KeyPosition, KeyNode>,
    /// The last level, by index; idle ones go when there are more than `capacity`.
    pub(super) parents: LruCache<u64, KeyNode>,
    capacity: usize,
    clock: u64,
    pub(super) next_leaf: Leaf,
    /// Leaves of live sealers.
    pub(super) leases: HashMap<Leaf, Leased>,
    /// Nodes of the last level whose changes nobody is about to commit, with whether the store may have got one
    /// of their leaves.
    pub(super) stale: BTreeMap<u64, bool>,
    /// Leaves that were given back and that a sealed image may hold.
    pub(super) abandoned: BTreeSet<Leaf>,
    pub(super) staged: Option<Staged>,
    /// Which root key the store is known to be at.
    epoch: Epoch,
}

impl State {
    /// A tree with its root. A root that was never stored is pending.
    pub(super) fn new(
        store: StoreId,
        epoch: Epoch,
        mut root: KeyNode,
        next_leaf: Leaf,
        capacity: usize,
    ) -> Self {
        let clock = root.committed + 1;
        if root.committed == 0 {
            root.changed = clock;
        }
        State {
            store,
            interior: HashMap::from([(ROOT, root)]),
            parents: LruCache::unbounded(),
            capacity,
            clock,
            next_leaf,
            leases: HashMap::new(),
            stale: BTreeMap::new(),
            abandoned: BTreeSet::new(),
            staged: None,
            epoch,
        }
    }

    pub(super) fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    pub(super) fn node(&self, position: KeyPosition) -> Option<&KeyNode> {
        match position.level {
            LAST_LEVEL => self.parents.peek(&position.index),
            _ => self.interior.get(&position),
        }
    }

    pub(super) fn node_mut(&mut self, position: KeyPosition) -> Option<&mut KeyNode> {
        match position.level {
            LAST_LEVEL => self.parents.get_mut(&position.index),
            _ => self.interior.get_mut(&position),
        }
    }

    pub(super) fn contains(&self, position: KeyPosition) -> bool {
        self.node(position).is_some()
    }

    /// The first node on the way to a leaf that is not in memory.
    pub(super) fn absent(&self, leaf: Leaf) -> Option<KeyPosition> {
        path(leaf).find(|position| !self.contains(*position))
    }

    /// Takes in what the store has at a position whose parent is in memory. `grow` makes a node where there is none.
    /// Returns whether the position has a node now.
    pub(super) fn adopt(
        &mut self,
        position: KeyPosition,
        image: Option<&KeyImage>,
        grow: bool,
    ) -> Result<bool> {
        if self.contains(position) {
            return Ok(true);
        }
        let Some((above, slot)) = parent(position) else { return Ok(true) };
        if let Some(image) = image {
            self.clock = self.clock.max(image.sequence);
        }
        let known = self.node(above).and_then(|node| node.expose_slot(slot));
        let node = match (known, image) {
            (Some(key), Some(image)) => KeyNode::open(&key, &self.store, image)?,
            _ if !grow => return Ok(false),
            (Some(key), None) => self.fresh(&key),
            (None, _) => {
                let key = SecretKey::random()?;
                let now = self.tick();
                let above = self.node_mut(above).ok_or(VaultError::Refused("a node without its parent"))?;
                above.put(slot, &key);
                above.changed = now;
                self.fresh(&key)
            }
        };
        match position.level {
            LAST_LEVEL => {
                // Room first: a node that was just brought must not be the one that goes.
                self.evict(self.capacity.saturating_sub(1));
                self.parents.put(position.index, node);
            }
            _ => drop(self.interior.insert(position, node)),
        }
        Ok(true)
    }

    fn fresh(&mut self, key: &SecretKey) -> KeyNode {
        let mut node = KeyNode::new(key);
        node.changed = self.tick();
        node
    }

    /// Lets idle nodes of the last level go while there are more than there is room for.
    pub(super) fn shrink(&mut self) {
        self.evict(self.capacity);
    }

    /// Lets idle nodes of the last level go while there are more than `room`; looks at a few at a time.
    fn evict(&mut self, room: usize) {
        for _ in 0..8 {
            if self.parents.len() <= room {
                return;
            }
            match self.parents.peek_lru().map(|(index, node)| (*index, node.is_idle())) {
                Some((_, true)) => drop(self.parents.pop_lru()),
                Some((index, false)) => {
                    self.parents.promote(&index);
                }
                None => return,
            }
        }
    }

    /// The key under a leaf.
    pub(super) fn lookup(&mut self, leaf: Leaf) -> Lookup {
        if leaf > LAST_LEAF {
            return Lookup::Gone;
        }
        if let Some(absent) = self.absent(leaf) {
            // Where the parent has no key for it there is nothing to load.
            let known = parent(absent).is_some_and(|(above, s)| self.node(above).is_some_and(|n| n.has(s)));
            return if known { Lookup::Absent(absent) } else { Lookup::Gone };
        }
        let key = self.parents.get(&parent_index(leaf)).and_then(|node| node.expose_slot(leaf_slot(leaf)));
        key.map_or(Lookup::Gone, Lookup::Key)
    }

    pub(super) fn issue(&mut self, wanted: BTreeSet<KeyPosition>) -> Result<(Issue, Vec<KeyImage>)> {
        let sequence = self.tick();
        let mut images = Vec::with_capacity(wanted.len());
        for position in &wanted {
            let store = self.store;
            let node = self.node_mut(*position).ok_or(VaultError::Refused("a pending node left memory"))?;
            images.push(node.image(&store, *position, sequence)?);
            node.issued = sequence;
        }
        let erasure = self.staged.as_ref().map(|staged| staged.id);
        Ok((Issue { sequence, positions: wanted.into_iter().collect(), erasure }, images))
    }

    /// The store has these images, or later ones.
    pub(super) fn settle(&mut self, issue: &Issue) {
        for position in &issue.positions {
            if let Some(node) = self.node_mut(*position) {
                node.committed = node.committed.max(issue.sequence);
                let pending = node.is_pending();
                if position.level == LAST_LEVEL && !pending {
                    self.stale.remove(&position.index);
                }
            }
        }
        if let Some(staged) = self.staged.take_if(|staged| issue.erasure == Some(staged.id)) {
            self.epoch = staged.epoch;
        }
        self.shrink();
    }

    pub(super) fn unpin(&mut self, leaf: Leaf) {
        if let Some(node) = self.parents.peek_mut(&parent_index(leaf)) {
            node.pins = node.pins.saturating_sub(1);
        }
    }

    /// Which root key the store is known to be at.
    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Nodes of the last level in memory.
    #[cfg(test)]
    pub(super) fn cached(&self) -> usize {
        self.parents.len()
    }
}
