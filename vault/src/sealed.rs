//! Sealed bytes that the vault makes and the store keeps: neither room needs to know the other.

use std::fmt;

use bytes::Bytes;

/// The number of a leaf of the key tree, which holds the key of one check-in. Numbers go up from 0 on, and each is given out
/// once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Leaf(pub u64);

impl Leaf {
    /// A new store's first.
    pub const FIRST: Leaf = Leaf(0);

    /// The number behind this one; behind the largest there is none, and it stays.
    pub fn next(self) -> Leaf {
        Leaf(self.0.saturating_add(1))
    }
}

impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a node stands in the key tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPosition {
    /// 0 is the root.
    pub level: u8,
    /// From the left, 0 first.
    pub index: u64,
}

/// A sealed node of the key tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyImage {
    /// Which node.
    pub position: KeyPosition,
    /// Larger is newer: a store never lets an image replace a newer one.
    pub sequence: u64,
    /// The sealed bytes.
    pub sealed: Bytes,
}
