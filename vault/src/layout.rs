//! Which blocks of a document lie where: extents, and their algebra. Pure.
//!
//! Cost: finding a block is a binary search; appending behind the last extent is constant; a run put in the middle moves
//! the extents behind it.

use std::collections::HashSet;

use sss_common::PackId;

/// Bytes of an encoded extent.
pub(super) const EXTENT_BYTES: usize = 40;

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

impl Extent {
    /// The block behind the run, in its pack.
    pub(super) fn end_in_pack(&self) -> u64 {
        self.at.saturating_add(self.count)
    }

    /// The block behind the run.
    fn end(&self) -> u64 {
        self.first.saturating_add(self.count)
    }

    /// The part of the run before this block, which lies inside it.
    fn until(self, block: u64) -> Extent {
        Extent { count: block - self.first, ..self }
    }

    /// The part of the run from this block on, which lies inside it.
    fn from(self, block: u64) -> Extent {
        let skipped = block - self.first;
        Extent { first: block, count: self.count - skipped, at: self.at + skipped, ..self }
    }

    /// Whether `next` goes on where this run ends, in the document and in the pack.
    fn is_continued_by(&self, next: &Extent) -> bool {
        self.pack == next.pack
            && self.first.checked_add(self.count) == Some(next.first)
            && self.at.checked_add(self.count) == Some(next.at)
    }

    /// Appends first, count, pack, at.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.first.to_be_bytes());
        out.extend_from_slice(&self.count.to_be_bytes());
        out.extend_from_slice(self.pack.as_bytes());
        out.extend_from_slice(&self.at.to_be_bytes());
    }

    /// The inverse of [`Extent::encode`].
    pub(super) fn decode(bytes: &[u8]) -> Option<Extent> {
        let number = |at: usize| Some(u64::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
        let pack = PackId(*bytes.get(16..)?.first_chunk()?);
        Some(Extent { first: number(0)?, count: number(8)?, pack, at: number(32)? })
    }
}

/// A document's extents, ordered by `first`, without overlap. What no extent covers reads as zeroes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    extents: Vec<Extent>,
}

impl Layout {
    /// A layout of extents that were read; `None` unless they are in order, apart and below `blocks`.
    pub(super) fn from_extents(extents: Vec<Extent>, blocks: u64) -> Option<Layout> {
        let apart = extents.windows(2).all(|pair| pair[0].end() <= pair[1].first);
        let layout = Layout { extents };
        (apart && layout.is_within(blocks)).then_some(layout)
    }

    /// Whether every extent has blocks, and all of them lie below `blocks`, in the document and in their packs.
    pub(super) fn is_within(&self, blocks: u64) -> bool {
        let below = |start: u64, count: u64| start.checked_add(count).is_some_and(|end| end <= blocks);
        self.extents.iter().all(|e| e.count > 0 && below(e.first, e.count) && below(e.at, e.count))
    }

    /// The extents in order.
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// Puts a run over what was there; neighbours that continue one another in the same pack become one.
    pub fn put(&mut self, run: Extent) {
        if run.count == 0 {
            return;
        }
        let end = run.end();
        // What the run touches, with one neighbour on each side that it may continue.
        let from = self.extents.partition_point(|e| e.end() < run.first);
        let to = self.extents.partition_point(|e| e.first <= end);
        let mut pieces: Vec<Extent> = Vec::with_capacity(3);
        let touched = &self.extents[from..to];
        let before = touched.first().filter(|e| e.first < run.first).map(|e| e.until(e.end().min(run.first)));
        let after = touched.last().filter(|e| e.end() > end).map(|e| e.from(e.first.max(end)));
        for piece in [before, Some(run), after].into_iter().flatten() {
            match pieces.last_mut().filter(|last| last.is_continued_by(&piece)) {
                Some(last) => last.count += piece.count,
                None => pieces.push(piece),
            }
        }
        self.extents.splice(from..to, pieces);
    }

    /// Forgets everything from this block on.
    pub fn truncate(&mut self, blocks: u64) {
        self.extents.truncate(self.extents.partition_point(|e| e.first < blocks));
        if let Some(last) = self.extents.last_mut().filter(|e| e.end() > blocks) {
            *last = last.until(blocks);
        }
    }

    /// Where a block lies: pack and block in it; `None` for a hole.
    pub fn find(&self, block: u64) -> Option<(PackId, u64)> {
        let candidate = self.extents.partition_point(|e| e.first <= block).checked_sub(1)?;
        let extent = self.extents.get(candidate).filter(|e| block < e.end())?;
        Some((extent.pack, extent.at + (block - extent.first)))
    }

    /// The packs in use, each once, in no particular order.
    pub fn packs(&self) -> Vec<PackId> {
        let mut seen = HashSet::new();
        self.extents.iter().map(|e| e.pack).filter(|pack| seen.insert(*pack)).collect()
    }
}

#[cfg(test)]
mod tests;
