//! Small types of the tree in memory: what its state holds, and what its rules answer.

use std::collections::BTreeSet;

use sss_common::Epoch;

use crate::sealed::{KeyImage, KeyPosition, Leaf};
use crate::secrets::SecretKey;

/// What a set of images contained.
#[derive(Clone, Default)]
pub(super) struct Issue {
    pub(super) sequence: u64,
    pub(super) positions: Vec<KeyPosition>,
    pub(super) erasure: Option<u64>,
}

/// A leaf of a live sealer.
pub(super) struct Leased {
    /// When it was given out, on the tree's clock.
    pub(super) since: u64,
    /// The images that were given for it last.
    pub(super) issue: Issue,
}

/// An erasure that the store is not known to have.
pub(super) struct Staged {
    pub(super) id: u64,
    pub(super) epoch: Epoch,
    pub(super) nodes: BTreeSet<KeyPosition>,
    pub(super) leaves: Vec<Leaf>,
}

/// What an erasure's transaction writes.
pub(crate) struct ErasureImages {
    pub(crate) epoch: Epoch,
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) images: Vec<KeyImage>,
    pub(super) issue: Issue,
}

/// What came of asking for a new leaf.
pub(super) enum Allocation {
    /// This one, with its key.
    Leaf(Leaf, SecretKey),
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
