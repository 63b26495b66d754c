//! What a walk over the metadata gives, page by page.

use sss_common::{PackId, Version};

/// How much there is to walk over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Versions that are kept.
    pub versions: u64,
    /// Packs that have a row.
    pub packs: u64,
    /// Their sealed bytes.
    pub bytes: u64,
}

/// A document's versions at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The current one; 0 when nothing was checked in yet.
    pub current: Version,
    /// Its plaintext's bytes.
    pub size: u64,
    /// Those that have a row, oldest first.
    pub kept: Vec<Kept>,
}

/// A version that has a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Which version.
    pub version: Version,
    /// The packs that count as used by it, in order.
    pub uses: Vec<PackId>,
}
