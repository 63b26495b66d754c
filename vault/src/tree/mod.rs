//! The erasable key tree: every pack key is a leaf, sealed in its parent, and so on up to the root key.
//!
//! [`state`] is the tree in memory and has the rules, with [`leasing`] and [`staging`]; here nodes are loaded into it. Its mutex is never held
//! across an await. One load of a position runs at a time: between the moment a loader finds a node absent and the
//! moment it brings the store's image, nobody else can have brought, changed and dropped that node, so the image cannot be an
//! old one.
//!
//! Cost: a leaf whose path is in memory takes one lock and no I/O; a cold one loads one node for each level that is
//! absent, usually the last. A commit seals one node (2 KiB at most, some microseconds), one more for every 64th check-in.

mod leasing;
pub(super) mod node;
mod parts;
pub(super) mod path;
mod staging;
mod state;

use std::sync::Arc;

use parking_lot::Mutex;

use sss_common::{Epoch, StoreId};

use super::secrets::SecretKey;
use super::{KeySource, Result, VaultError};
use crate::sealed::{KeyImage, KeyPosition, Leaf};
use node::KeyNode;
pub(super) use parts::ErasureImages;
use parts::{Allocation, Hold, Lookup};
use path::{LAST_LEAF, first_leaf, parent_index};
use state::State;

/// Nodes of the last level that stay in memory: 9 MiB at most, for the keys of 262,144 check-ins.
const CACHED_PARENTS: usize = 4096;

/// Locks that keep loads of one position apart; positions share them.
const TURNS: usize = 16;

/// Nodes of the last level that one erasure rewrites at most: a bound on what a commit that meets it carries (about 2 MiB).
pub(super) const ERASE_PARENTS_MAX: usize = 512;

/// The tree and where its sealed nodes are kept.
pub(super) struct KeyTree {
    state: Mutex<State>,
    source: Arc<dyn KeySource>,
    turns: [tokio::sync::Mutex<()>; TURNS],
}

/// A leaf that is not committed yet. Dropping it takes the leaf out, unless the store may have got it: then it stays,
/// because a request that was cancelled may have committed all the same.
pub(super) struct Lease {
    leaf: Leaf,
    tree: Arc<KeyTree>,
}

impl Lease {
    pub(super) fn leaf(&self) -> Leaf {
        self.leaf
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Nothing happens once it was committed or given up.
        self.tree.state.lock().give_back(self.leaf, false);
    }
}

impl KeyTree {
    /// A tree whose root was opened already, with the epoch of its key. New leaves begin at `next_leaf`.
    pub(super) fn new(
        store: StoreId,
        (epoch, root): (Epoch, KeyNode),
        next_leaf: Leaf,
        source: Arc<dyn KeySource>,
    ) -> Self {
        let state = Mutex::new(State::new(store, epoch, root, next_leaf, CACHED_PARENTS));
        KeyTree { state, source, turns: Default::default() }
    }

    /// A new leaf with a fresh key.
    pub(super) async fn begin(self: &Arc<Self>) -> Result<(Lease, SecretKey)> {
        loop {
            let allocation = self.state.lock().allocate()?;
            match allocation {
                Allocation::Leaf(leaf, key) => return Ok((Lease { leaf, tree: self.clone() }, key)),
                Allocation::Absent(position) => drop(self.load(position, true).await?),
            }
        }
    }

    /// The key under a leaf; `Erased` when there is none.
    pub(super) async fn key(&self, leaf: Leaf) -> Result<SecretKey> {
        loop {
            let lookup = self.state.lock().lookup(leaf);
            match lookup {
                Lookup::Key(key) => return Ok(key),
                Lookup::Gone => return Err(VaultError::Erased),
                Lookup::Absent(position) => {
                    if !self.load(position, false).await? {
                        return Err(VaultError::Erased);
                    }
                }
            }
        }
    }

    /// What must be committed together with a leaf.
    pub(super) fn images(&self, lease: &Lease) -> Result<Vec<KeyImage>> {
        self.state.lock().images(lease.leaf)?.ok_or(VaultError::Erased)
    }

    /// The images that were given last for this leaf are in the store.
    pub(super) fn committed(&self, lease: Lease) {
        self.state.lock().commit(lease.leaf);
    }

    /// The transaction with this leaf surely did not happen.
    pub(super) fn give_up(&self, lease: Lease) {
        self.state.lock().give_back(lease.leaf, true);
    }

    pub(super) fn next_leaf(&self) -> Leaf {
        self.state.lock().next_leaf
    }

    /// Gives out no leaf up to this one any more.
    pub(super) fn pass_over(&self, leaf: Leaf) {
        self.state.lock().pass_over(leaf);
    }

    /// Those of these leaves whose path does not verify.
    pub(super) async fn unreadable(&self, leaves: &[Leaf]) -> Result<Vec<Leaf>> {
        let mut unreadable = Vec::new();
        for &leaf in leaves {
            match self.hold_one(leaf).await {
                Ok(true) => self.state.lock().release(&[leaf]),
                Ok(false) => {}
                Err(VaultError::Integrity(_)) => unreadable.push(leaf),
                Err(other) => return Err(other),
            }
        }
        Ok(unreadable)
    }

    /// Leaves that were given back and that a sealed image may hold.
    pub(super) fn abandoned(&self) -> Vec<Leaf> {
        self.state.lock().abandoned()
    }

    /// Somebody else sees to these abandoned leaves.
    pub(super) fn taken_care_of(&self, leaves: &[Leaf]) {
        self.state.lock().taken_care_of(leaves);
    }

    /// The leaves under a node of the last level that no sealer holds.
    pub(super) async fn idle_leaves(&self, index: u64) -> Result<Vec<Leaf>> {
        let first = first_leaf(index);
        loop {
            let (leaves, lookup) = {
                let mut state = self.state.lock();
                (state.idle_leaves(index), state.lookup(first))
            };
            match (leaves, lookup) {
                (Some(leaves), _) => return Ok(leaves),
                (None, Lookup::Absent(position)) if self.load(position, false).await? => {}
                (None, _) => return Ok(Vec::new()),
            }
        }
    }

    /// Brings the paths of the first of these leaves into memory, as many as one erasure may rewrite.
    pub(super) async fn hold(self: &Arc<Self>, leaves: &[Leaf]) -> Result<Held> {
        let mut held = Held { tree: self.clone(), paths: Vec::new(), leaves: Vec::new() };
        let mut parents = std::collections::HashSet::new();
        for &leaf in leaves {
            parents.insert(parent_index(leaf));
            if parents.len() > ERASE_PARENTS_MAX {
                break;
            }
            if self.hold_one(leaf).await? {
                held.paths.push(leaf);
            }
            held.leaves.push(leaf);
        }
        Ok(held)
    }

    /// Brings the path of the next leaf into memory, making what is missing of it, and forgets what lies behind: keys of
    /// check-ins that never were committed. For a tree that was just opened and has no live sealers.
    pub(super) async fn hold_next(self: &Arc<Self>) -> Result<Held> {
        let mut held = Held { tree: self.clone(), paths: Vec::new(), leaves: Vec::new() };
        let next = self.state.lock().next_leaf.min(LAST_LEAF);
        loop {
            let absent = self.state.lock().absent(next);
            let Some(position) = absent else { break };
            self.load(position, true).await?;
        }
        if self.hold_one(next).await? {
            held.paths.push(next);
            self.state.lock().forget_beyond(next);
        }
        Ok(held)
    }

    async fn hold_one(&self, leaf: Leaf) -> Result<bool> {
        loop {
            let hold = self.state.lock().hold(leaf);
            match hold {
                Hold::Held => return Ok(true),
                Hold::NoPath => return Ok(false),
                Hold::Absent(position) => {
                    if !self.load(position, false).await? {
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// Erases the leaves that are held, gives every node on the paths that are held a fresh key, the root this one, and
    /// says what its transaction must write.
    pub(super) fn stage(&self, epoch: Epoch, root: &SecretKey, mut held: Held) -> Result<ErasureImages> {
        let leaves = std::mem::take(&mut held.leaves);
        self.state.lock().stage(epoch, root, &held.paths, leaves)?;
        self.staged()?.ok_or(VaultError::Refused("an erasure that was not staged"))
    }

    /// An erasure that was staged and is not known to be in the store.
    pub(super) fn staged(&self) -> Result<Option<ErasureImages>> {
        self.state.lock().staged_images()
    }

    /// Which root key the store is known to be at.
    pub(super) fn epoch(&self) -> Epoch {
        self.state.lock().epoch()
    }

    /// The erasure is in the store.
    pub(super) fn settle(&self, erasure: &ErasureImages) {
        self.state.lock().settle(&erasure.issue);
    }

    /// Brings a node into memory. Returns whether there is one.
    async fn load(&self, position: KeyPosition, grow: bool) -> Result<bool> {
        let turn = position.index as usize ^ usize::from(position.level);
        let _turn = self.turns[turn % TURNS].lock().await;
        if self.state.lock().contains(position) {
            return Ok(true);
        }
        let image = self.source.load(position).await.map_err(VaultError::Source)?;
        if image.as_ref().is_some_and(|image| image.position != position) {
            return Err(VaultError::Integrity("a node of the key tree"));
        }
        self.state.lock().adopt(position, image.as_ref(), grow)
    }
}

/// Paths that stay in memory until an erasure is staged.
pub(super) struct Held {
    tree: Arc<KeyTree>,
    /// Leaves whose parents are in memory and pinned.
    paths: Vec<Leaf>,
    /// All that were asked for and fit.
    leaves: Vec<Leaf>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.tree.state.lock().release(&self.paths);
    }
}

#[cfg(test)]
mod tests;
