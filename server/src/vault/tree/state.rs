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

use super::node::Node;
use super::path::{FAN_OUT, LAST_LEVEL, LEAVES, ROOT, on_path, parent, path, slot};
use crate::sealed::{KeyImage, KeyPosition};
use crate::vault::secrets::SecretKey;
use crate::vault::{Result, VaultError};

/// Nodes with leaves that were given back are written along with other check-ins, so many at a time.
const STALE_BATCH: usize = 4;

/// More of them than this are not remembered: what was given back then stays in its sealed node, reachable by nothing.
pub(super) const STALE_MAX: usize = 1024;

/// What a set of images contained.
#[derive(Clone, Default)]
pub(super) struct Issue {
    sequence: u64,
    positions: Vec<KeyPosition>,
    erasure: Option<u64>,
}

/// What an erasure's transaction writes.
pub(in crate::vault) struct ErasureImages {
    pub(in crate::vault) epoch: u64,
    pub(in crate::vault) leaves: Vec<u64>,
    pub(in crate::vault) images: Vec<KeyImage>,
    pub(super) issue: Issue,
}

/// An erasure that the store is not known to have.
struct Staged {
    id: u64,
    epoch: u64,
    nodes: BTreeSet<KeyPosition>,
    leaves: Vec<u64>,
}

/// What came of asking for a new leaf.
pub(super) enum Allocation {
    /// This one, with its key.
    Leaf(u64, SecretKey),
    /// A node must be loaded first.
    Absent(KeyPosition),
}

/// What came of looking a leaf's key up.
pub(super) enum Lookup {
    /// Its key.
    Key(SecretKey),
    /// There is none.
    Gone,
    /// A node must be loaded first.
    Absent(KeyPosition),
}

/// What came of keeping a leaf's path in memory.
pub(super) enum Hold {
    /// It is in memory until it is released.
    Held,
    /// The tree never had such a leaf.
    NoPath,
    /// A node must be loaded first.
    Absent(KeyPosition),
}

pub(super) struct State {
    store: [u8; 16],
    /// All but the last level; stay once they were loaded (one for 4,096 leaves).
    interior: HashMap<KeyPosition, Node>,
    /// The last level, by index; idle ones go when there are more than `capacity`.
    parents: LruCache<u64, Node>,
    capacity: usize,
    clock: u64,
    next_leaf: u64,
    /// Leaves of live sealers, with the images they were given last.
    leases: HashMap<u64, Issue>,
    /// Nodes of the last level whose changes nobody is about to commit, with whether the store may have got one
    /// of their leaves.
    stale: BTreeMap<u64, bool>,
    staged: Option<Staged>,
    /// Which root key the store is known to be at.
    epoch: u64,
}

impl State {
    /// A tree with its root. A root that was never stored is pending.
    pub(super) fn new(store: [u8; 16], epoch: u64, mut root: Node, next_leaf: u64, capacity: usize) -> Self {
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
            staged: None,
            epoch,
        }
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn node(&self, position: KeyPosition) -> Option<&Node> {
        match position.level {
            LAST_LEVEL => self.parents.peek(&position.index),
            _ => self.interior.get(&position),
        }
    }

    fn node_mut(&mut self, position: KeyPosition) -> Option<&mut Node> {
        match position.level {
            LAST_LEVEL => self.parents.get_mut(&position.index),
            _ => self.interior.get_mut(&position),
        }
    }

    pub(super) fn contains(&self, position: KeyPosition) -> bool {
        self.node(position).is_some()
    }

    /// The first node on the way to a leaf that is not in memory.
    fn absent(&self, leaf: u64) -> Option<KeyPosition> {
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
            (Some(key), Some(image)) => Node::open(&key, &self.store, image)?,
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

    fn fresh(&mut self, key: &SecretKey) -> Node {
        let mut node = Node::new(key);
        node.changed = self.tick();
        node
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

    /// A new leaf with a fresh key, pinned until it is committed or given back. Numbers only go up, and one
    /// whose slot is taken (by a check-in that a crash cut short) is passed over.
    pub(super) fn allocate(&mut self) -> Result<Allocation> {
        loop {
            let leaf = self.next_leaf;
            if leaf >= LEAVES {
                return Err(VaultError::Refused("the key tree has no leaf left"));
            }
            if let Some(absent) = self.absent(leaf) {
                return Ok(Allocation::Absent(absent));
            }
            self.next_leaf += 1;
            let key = SecretKey::random()?;
            let now = self.tick();
            let Some(node) = self.parents.get_mut(&(leaf / FAN_OUT)) else { continue };
            if node.has(slot(leaf)) {
                continue;
            }
            node.put(slot(leaf), &key);
            node.changed = now;
            node.pins += 1;
            self.leases.insert(leaf, Issue::default());
            return Ok(Allocation::Leaf(leaf, key));
        }
    }

    /// The key under a leaf.
    pub(super) fn lookup(&mut self, leaf: u64) -> Lookup {
        if leaf >= LEAVES {
            return Lookup::Gone;
        }
        if let Some(absent) = self.absent(leaf) {
            // Where the parent has no key for it there is nothing to load.
            let known = parent(absent).is_some_and(|(above, s)| self.node(above).is_some_and(|n| n.has(s)));
            return if known { Lookup::Absent(absent) } else { Lookup::Gone };
        }
        let key = self.parents.get(&(leaf / FAN_OUT)).and_then(|node| node.expose_slot(slot(leaf)));
        key.map_or(Lookup::Gone, Lookup::Key)
    }

    /// What must be committed with a leaf: every pending node on its path, a staged erasure, and a few nodes with leaves
    /// that were given back. `None` if the leaf was erased meanwhile.
    pub(super) fn images(&mut self, leaf: u64) -> Result<Option<Vec<KeyImage>>> {
        let there = self.parents.peek(&(leaf / FAN_OUT)).is_some_and(|node| node.has(slot(leaf)));
        if !there {
            return Ok(None);
        }
        let stale = self.stale.keys().take(STALE_BATCH).map(|index| index * FAN_OUT);
        let wanted: BTreeSet<KeyPosition> = stale
            .chain([leaf])
            .flat_map(path)
            .filter(|position| self.node(*position).is_some_and(Node::is_pending))
            .chain(self.staged.iter().flat_map(|staged| staged.nodes.iter().copied()))
            .collect();
        let (issue, images) = self.issue(wanted)?;
        self.leases.insert(leaf, issue);
        Ok(Some(images))
    }

    fn issue(&mut self, wanted: BTreeSet<KeyPosition>) -> Result<(Issue, Vec<KeyImage>)> {
        let sequence = self.tick();
        let sealed = wanted.iter().map(|position| {
            let node = self.node(*position).ok_or(VaultError::Refused("a pending node left memory"))?;
            node.image(&self.store, *position, sequence)
        });
        let images = sealed.collect::<Result<Vec<_>>>()?;
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
        self.evict(self.capacity);
    }

    /// The images that the leaf's sealer was given last are in the store.
    pub(super) fn commit(&mut self, leaf: u64) {
        if let Some(issue) = self.leases.remove(&leaf) {
            self.unpin(leaf);
            self.settle(&issue);
        }
    }

    /// Lets go of a leaf whose sealer is gone. Unless the store may have got it (images were given for it, and
    /// it is not `sure` that their transaction failed) the leaf is taken out. Its number is not used again.
    pub(super) fn give_back(&mut self, leaf: u64, sure: bool) {
        let Some(issue) = self.leases.remove(&leaf) else { return };
        self.unpin(leaf);
        let now = self.tick();
        let index = leaf / FAN_OUT;
        let doubtful = issue.sequence > 0 && !sure;
        if let Some(node) = self.parents.get_mut(&index) {
            if !doubtful {
                node.clear(slot(leaf));
                node.changed = now;
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
            |index| staged.is_some_and(|nodes| nodes.contains(&on_path(index * FAN_OUT, LAST_LEVEL)));
        let idle = |index: &u64| self.parents.peek(index).is_none_or(|node| node.pins == 0);
        let mut sure = self.stale.iter().filter(|(_, doubtful)| !**doubtful).map(|(index, _)| *index);
        let Some(index) = sure.find(|index| idle(index) && !is_staged(*index)) else { return };
        self.stale.remove(&index);
        // Out of memory it goes: the store's image, if there is one, has every leaf that was committed.
        self.parents.pop(&index);
    }

    fn unpin(&mut self, leaf: u64) {
        if let Some(node) = self.parents.peek_mut(&(leaf / FAN_OUT)) {
            node.pins = node.pins.saturating_sub(1);
        }
    }

    /// Keeps a leaf's path in memory for [`State::stage`], whether or not the leaf itself is still there.
    pub(super) fn hold(&mut self, leaf: u64) -> Hold {
        match self.lookup(leaf) {
            Lookup::Absent(position) => return Hold::Absent(position),
            Lookup::Gone | Lookup::Key(_) => {}
        }
        match self.parents.get_mut(&(leaf / FAN_OUT)).filter(|_| leaf < LEAVES) {
            None => Hold::NoPath,
            Some(node) => {
                node.pins += 1;
                Hold::Held
            }
        }
    }

    /// Lets go of what [`State::hold`] kept.
    pub(super) fn release(&mut self, held: &[u64]) {
        held.iter().for_each(|leaf| self.unpin(*leaf));
        self.evict(self.capacity);
    }

    /// Takes the leaves out and gives every node on their paths a fresh key, the root this one. `held` are those of
    /// `leaves` whose paths exist; all of `leaves` count as erased.
    pub(super) fn stage(
        &mut self,
        epoch: u64,
        root: &SecretKey,
        held: &[u64],
        leaves: Vec<u64>,
    ) -> Result<()> {
        if self.staged.is_some() {
            return Err(VaultError::Refused("an erasure while another is under way"));
        }
        let mut nodes: BTreeSet<KeyPosition> = held.iter().copied().flat_map(path).collect();
        nodes.insert(ROOT);
        // All keys first: nothing is changed if one cannot be made.
        let fresh: Vec<SecretKey> =
            nodes.iter().skip(1).map(|_| SecretKey::random()).collect::<Result<_>>()?;
        let now = self.tick();
        for leaf in held {
            if let Some(node) = self.parents.get_mut(&(leaf / FAN_OUT)) {
                node.clear(slot(*leaf));
            }
        }
        for (position, key) in nodes.iter().zip(std::iter::once(root).chain(&fresh)) {
            if let Some((above, slot)) = parent(*position)
                && let Some(above) = self.node_mut(above)
            {
                above.put(slot, key);
            }
            if let Some(node) = self.node_mut(*position) {
                node.rekey(key);
                node.changed = now;
            }
        }
        self.staged = Some(Staged { id: now, epoch, nodes, leaves });
        Ok(())
    }

    /// The staged erasure's images as of now; `None` if there is none.
    pub(super) fn staged_images(&mut self) -> Result<Option<ErasureImages>> {
        let Some(staged) = &self.staged else { return Ok(None) };
        let (epoch, leaves, nodes) = (staged.epoch, staged.leaves.clone(), staged.nodes.clone());
        let (issue, images) = self.issue(nodes)?;
        Ok(Some(ErasureImages { epoch, leaves, images, issue }))
    }

    /// Which root key the store is known to be at.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Nodes of the last level in memory.
    #[cfg(test)]
    pub(super) fn cached(&self) -> usize {
        self.parents.len()
    }
}
