//! Which blocks of a document lie where: extents, and their algebra. Pure.

use sss_common::PackId;

/// A run of blocks of a document that lie one after another in a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The run's first block in the document.
    pub first: u64,
    /// How many; at least 1.
    pub count: u64,
    /// In which pack.
    pub pack: PackId,
    /// The run's first block in the pack.
    pub at: u64,
}

/// A document's extents, ordered by `first`, without overlap. What no extent covers reads as zeroes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    extents: Vec<Extent>,
}

impl Layout {
    /// The extents in order.
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// Puts a run over what was there; neighbours that continue one another in the same pack become one.
    pub fn put(&mut self, run: Extent) {
        let _ = run;
        unimplemented!()
    }

    /// Forgets everything from this block on.
    pub fn truncate(&mut self, blocks: u64) {
        let _ = blocks;
        unimplemented!()
    }

    /// Where a block lies: pack and block in it; `None` for a hole.
    pub fn find(&self, block: u64) -> Option<(PackId, u64)> {
        let _ = block;
        unimplemented!()
    }

    /// The packs in use, each once, in no particular order.
    pub fn packs(&self) -> Vec<PackId> {
        unimplemented!()
    }
}
