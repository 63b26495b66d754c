//! Erasures: which paths are held, and how they are given fresh keys.

use std::collections::BTreeSet;

use sss_common::Epoch;

use super::parts::{ErasureImages, Hold, Lookup, Staged};
use super::path::{FAN_OUT, LAST_LEAF, ROOT, leaf_slot, parent, parent_index, path};
use super::state::State;
use crate::sealed::{KeyPosition, Leaf};
use crate::secrets::SecretKey;
use crate::{Result, VaultError};

impl State {
    /// Keeps a leaf's path in memory for [`State::stage`], whether or not the leaf itself is still there.
    pub(super) fn hold(&mut self, leaf: Leaf) -> Hold {
        match self.lookup(leaf) {
            Lookup::Absent(position) => return Hold::Absent(position),
            Lookup::Gone | Lookup::Key(_) => {}
        }
        match self.parents.get_mut(&parent_index(leaf)).filter(|_| leaf <= LAST_LEAF) {
            None => Hold::NoPath,
            Some(node) => {
                node.pins += 1;
                Hold::Held
            }
        }
    }

    /// Lets go of what [`State::hold`] kept.
    pub(super) fn release(&mut self, held: &[Leaf]) {
        held.iter().for_each(|leaf| self.unpin(*leaf));
        self.shrink();
    }

    /// Takes out the keys of what lies behind a leaf's path, which must be held: no leaf there was ever committed, and none is
    /// given out yet. Later ones then come under keys that no earlier image has.
    pub(super) fn forget_beyond(&mut self, leaf: Leaf) {
        let now = self.tick();
        for (above, own) in path(leaf).filter_map(parent) {
            if let Some(above) = self.node_mut(above) {
                (own + 1..FAN_OUT as usize).for_each(|slot| above.clear(slot));
                above.changed = now;
            }
        }
    }

    /// Takes the leaves out and gives every node on the paths to `held` a fresh key, the root this one. All of `leaves`
    /// count as erased; those whose paths exist are among `held`.
    pub(super) fn stage(
        &mut self,
        epoch: Epoch,
        root: &SecretKey,
        held: &[Leaf],
        leaves: Vec<Leaf>,
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
        let gone: BTreeSet<Leaf> = leaves.iter().copied().collect();
        // A number that is erased is not given out again, whoever had it.
        if let Some(last) = gone.last().filter(|leaf| **leaf <= LAST_LEAF) {
            self.pass_over(*last);
        }
        for leaf in held.iter().filter(|leaf| gone.contains(leaf)) {
            if let Some(node) = self.parents.get_mut(&parent_index(*leaf)) {
                node.clear(leaf_slot(*leaf));
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
}
