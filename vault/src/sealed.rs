//! Sealed bytes that the vault makes and the store keeps: neither room needs to know the other.

use bytes::Bytes;

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
