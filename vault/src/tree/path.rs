//! Positions in the tree: 64 slots to a node, six levels of nodes, leaves below them.

use crate::sealed::{KeyPosition, Leaf};

/// Slots of a node.
pub(crate) const FAN_OUT: u64 = 64;

/// Levels of nodes; the last one's slots hold the leaves.
pub(crate) const LEVELS: u8 = 6;

/// The last leaf: the tree has room for 64^6.
pub(crate) const LAST_LEAF: Leaf = Leaf(FAN_OUT.pow(LEVELS as u32) - 1);

/// The level whose slots hold the leaves.
pub(crate) const LAST_LEVEL: u8 = LEVELS - 1;

/// Where it begins.
pub(crate) const ROOT: KeyPosition = KeyPosition { level: 0, index: 0 };

/// The node of a level that the path to a leaf goes through.
pub(super) fn on_path(leaf: Leaf, level: u8) -> KeyPosition {
    KeyPosition { level, index: leaf.0 / FAN_OUT.pow(u32::from(LEVELS - level)) }
}

/// The nodes on the way to a leaf, root first.
pub(crate) fn path(leaf: Leaf) -> impl DoubleEndedIterator<Item = KeyPosition> {
    (0..LEVELS).map(move |level| on_path(leaf, level))
}

/// The node of the last level that holds a leaf's key, by its index.
pub(super) fn parent_index(leaf: Leaf) -> u64 {
    on_path(leaf, LAST_LEVEL).index
}

/// The slot in it.
pub(super) fn leaf_slot(leaf: Leaf) -> usize {
    slot(leaf.0)
}

/// The first leaf whose key a node of the last level holds.
pub(super) fn first_leaf(parent_index: u64) -> Leaf {
    Leaf(parent_index.saturating_mul(FAN_OUT))
}

/// The node above, and the slot in it that holds this node's key; `None` for the root.
pub(super) fn parent(position: KeyPosition) -> Option<(KeyPosition, usize)> {
    let level = position.level.checked_sub(1)?;
    Some((KeyPosition { level, index: position.index / FAN_OUT }, slot(position.index)))
}

/// The slot, in the node above, of the node or leaf with this index.
fn slot(index: u64) -> usize {
    (index % FAN_OUT) as usize
}
