//! What was written and is not checked in yet.
//!
//! A draft is the base version's first `base_len` bytes, zeroes behind them up to `size`, and over both the
//! bytes that were written, block by block. So a user who may only check in can write any part without
//! reading anything, and a truncation costs nothing. Only where a block is in more pieces than a check-in may bring
//! (`RANGES_MAX`) must what shows between them be sent too: [`Draft::crowded`] says where, [`Draft::fill`] takes it in.
//!
//! Copies: a write that covers a block keeps the writer's buffer; one that covers a part is copied into the
//! block. Checking in copies nothing: it shares the blocks' buffers.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use sss_common::limits::{BLOCK_SIZE, DOCUMENT_MAX, RANGES_MAX};
use sss_common::{Clock, FileTime};

use super::block::{Block, Data};
use super::body::{Piece, Snapshot, Source};
use super::error::{Error, Result};
use super::ranges::Ranges;
use super::spool::Pool;

/// Unsaved changes on top of a version.
pub struct Draft {
    pool: Arc<Pool>,
    clock: Arc<dyn Clock>,
    size: u64,
    base_size: u64,
    /// How much of the base still shows.
    base_len: u64,
    /// The smallest size since the last snapshot.
    low: u64,
    blocks: BTreeMap<u64, Block>,
    /// Counts changes; a block remembers the one that changed it last.
    seq: u64,
    /// The last change that the server has.
    saved: u64,
    mtime_ns: Option<FileTime>,
    mode: Option<u32>,
}

/// A part of what a read asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Segment {
    /// Bytes that were written here.
    Data(Bytes),
    /// From the base version: offset and length, in bytes.
    Base(u64, usize),
    /// A hole: its length in bytes.
    Zero(usize),
}

impl Draft {
    /// No changes to a version of `base_size` bytes.
    pub fn new(pool: Arc<Pool>, clock: Arc<dyn Clock>, base_size: u64) -> Self {
        Draft {
            pool,
            clock,
            size: base_size,
            base_size,
            base_len: base_size,
            low: base_size,
            blocks: BTreeMap::new(),
            seq: 0,
            saved: 0,
            mtime_ns: None,
            mode: None,
        }
    }

    /// The document's size with the changes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// When the content changed last, if it did.
    pub fn mtime_ns(&self) -> Option<FileTime> {
        self.mtime_ns
    }

    /// New permission bits, if there are any.
    pub fn mode(&self) -> Option<u32> {
        self.mode
    }

    /// Whether there is anything to check in.
    pub fn is_changed(&self) -> bool {
        self.seq > self.saved
    }

    /// Counts changes.
    pub fn changes(&self) -> u64 {
        self.seq
    }

    /// Marks the draft as something to check in though nothing was written: a document that was just created.
    pub fn touch(&mut self) {
        self.seq += 1;
        self.mtime_ns = Some(self.clock.now_ns());
    }

    /// Sets the time that the check-in will carry.
    pub fn set_mtime(&mut self, mtime_ns: FileTime) {
        self.seq += 1;
        self.mtime_ns = Some(mtime_ns);
    }

    /// Sets the permission bits that the check-in will carry.
    pub fn set_mode(&mut self, mode: u32) {
        self.seq += 1;
        self.mode = Some(mode);
    }

    /// Writes. The draft may move blocks into the spool file to make room first.
    pub fn write(&mut self, offset: u64, bytes: &Bytes) -> Result<()> {
        let end = offset.checked_add(bytes.len() as u64).filter(|end| *end <= DOCUMENT_MAX);
        let end = end.ok_or(Error::TooLarge)?;
        if bytes.is_empty() {
            return Ok(());
        }
        self.make_room()?;
        self.touch();
        let mut at = offset;
        while at < end {
            let (index, from) = place(at);
            let to = (from as u64 + (end - at)).min(BLOCK_SIZE as u64) as usize;
            let start = (at - offset) as usize;
            self.write_block(index, from, bytes.slice(start..start + to - from))?;
            at += (to - from) as u64;
        }
        self.size = self.size.max(end);
        Ok(())
    }

    fn write_block(&mut self, index: u64, from: usize, bytes: Bytes) -> Result<()> {
        let to = from + bytes.len();
        if bytes.len() == BLOCK_SIZE {
            self.forget(index);
            self.pool.grew(BLOCK_SIZE);
            let dirty = Ranges::of(0, BLOCK_SIZE);
            self.blocks
                .insert(index, Block { data: Data::Shared(bytes), dirty, seq: self.seq, held: BLOCK_SIZE });
            return Ok(());
        }
        let seq = self.seq;
        let block = self.blocks.entry(index).or_insert_with(|| Block {
            data: Data::Own(Vec::new()),
            dirty: Ranges::default(),
            seq,
            held: 0,
        });
        let data = block.data.own().map_err(spool_error)?;
        if data.len() < to {
            // Appending in small steps: room doubles, up to the block.
            let room = to.max((data.capacity() * 2).min(BLOCK_SIZE));
            data.reserve_exact(room - data.len());
            data.resize(to, 0);
        }
        data[from..to].copy_from_slice(&bytes);
        block.dirty.insert(from, to);
        block.seq = seq;
        self.pool.shrank(block.held);
        block.held = block.data.in_memory();
        self.pool.grew(block.held);
        Ok(())
    }

    /// Where the base must be read before a check-in can be sent: in a block that is in too many pieces, the bytes of
    /// the base between them. The first and the one behind the last of one such block.
    pub fn crowded(&self) -> Option<(u64, u64)> {
        self.blocks.iter().find_map(|(&index, block)| {
            let start = index * BLOCK_SIZE as u64;
            let shown = self.base_shown(start);
            (block.dirty.count() > RANGES_MAX && !block.dirty.covers(0, shown))
                .then_some((start, start + shown as u64))
        })
    }

    /// Whether writing here would leave a block over the base in so many pieces that it cannot be sent without
    /// reading the base.
    pub fn would_crowd(&self, offset: u64, length: usize) -> bool {
        let end = offset.saturating_add(length as u64);
        let borders = [offset, end.saturating_sub(1)].map(|at| place(at).0);
        borders.iter().any(|index| {
            let start = index * BLOCK_SIZE as u64;
            let from = offset.saturating_sub(start) as usize;
            let to = (end - start).min(BLOCK_SIZE as u64) as usize;
            let pieces = self.blocks.get(index).map_or(1, |block| block.dirty.count_with(from, to));
            self.base_shown(start) > 0 && pieces > RANGES_MAX
        })
    }

    /// Takes in what the base has from `start` on, the start of a block, where nothing was written. The document reads
    /// as before.
    pub fn fill(&mut self, start: u64, base: &[u8]) -> Result<()> {
        let shown = self.base_shown(start).min(base.len());
        let Some(block) = self.blocks.get_mut(&place(start).0) else { return Ok(()) };
        let data = block.data.own().map_err(spool_error)?;
        data.resize(data.len().max(shown), 0);
        for (dirty, from, to) in block.dirty.split(0, shown) {
            if !dirty {
                data[from..to].copy_from_slice(&base[from..to]);
            }
        }
        block.dirty.insert(0, shown);
        self.pool.shrank(block.held);
        block.held = block.data.in_memory();
        self.pool.grew(block.held);
        Ok(())
    }

    /// How many bytes of the block that begins at `start` the base has and the draft shows where nothing was written.
    fn base_shown(&self, start: u64) -> usize {
        self.base_len.saturating_sub(start).min(BLOCK_SIZE as u64) as usize
    }

    /// Whether nothing was written to `from..to` and the base does not show there either.
    pub fn is_hole(&self, from: u64, to: u64) -> bool {
        let blocks = place(from).0..to.div_ceil(BLOCK_SIZE as u64);
        from >= self.base_len && self.blocks.range(blocks).next().is_none()
    }

    /// Makes the document `size` bytes long.
    pub fn truncate(&mut self, size: u64) -> Result<()> {
        if size > DOCUMENT_MAX {
            return Err(Error::TooLarge);
        }
        self.touch();
        let (index, at) = place(size);
        let behind: Vec<u64> =
            self.blocks.range(index + u64::from(at > 0)..).map(|(&index, _)| index).collect();
        behind.into_iter().for_each(|index| self.forget(index));
        if at > 0
            && let Some(block) = self.blocks.get_mut(&index)
        {
            block.dirty.cut(at);
            block.seq = self.seq;
            if block.dirty.is_empty() {
                self.forget(index);
            }
        }
        self.size = size;
        self.base_len = self.base_len.min(size);
        self.low = self.low.min(size);
        Ok(())
    }

    /// How `offset..offset + length` is put together; stops at the end of the document.
    pub fn plan(&self, offset: u64, length: usize) -> Result<Vec<Segment>> {
        let end = offset.saturating_add(length as u64).min(self.size);
        let mut segments = Vec::new();
        let mut at = offset;
        while at < end {
            let (index, from) = place(at);
            let to = (from as u64 + (end - at)).min(BLOCK_SIZE as u64) as usize;
            let start = index * BLOCK_SIZE as u64;
            match self.blocks.get(&index) {
                None => self.plan_clean(start + from as u64, start + to as u64, &mut segments),
                Some(block) => {
                    for (dirty, from, to) in block.dirty.split(from, to) {
                        match dirty {
                            true => {
                                segments.push(Segment::Data(block.data.read(from, to).map_err(spool_error)?))
                            }
                            false => self.plan_clean(start + from as u64, start + to as u64, &mut segments),
                        }
                    }
                }
            }
            at += (to - from) as u64;
        }
        Ok(segments)
    }

    fn plan_clean(&self, from: u64, to: u64, segments: &mut Vec<Segment>) {
        let middle = self.base_len.clamp(from, to);
        if from < middle {
            match segments.last_mut() {
                Some(Segment::Base(start, length)) if *start + *length as u64 == from => {
                    *length += (middle - from) as usize;
                }
                _ => segments.push(Segment::Base(from, (middle - from) as usize)),
            }
        }
        if middle < to {
            match segments.last_mut() {
                Some(Segment::Zero(length)) => *length += (to - middle) as usize,
                _ => segments.push(Segment::Zero((to - middle) as usize)),
            }
        }
    }

    /// Everything that a check-in has to send, except blocks that `sent` says the server already has as they
    /// are. Shares the blocks' buffers.
    pub fn snapshot(&mut self, sent: impl Fn(u64, u64) -> bool) -> Snapshot {
        let mut pieces = Vec::new();
        // What the base still has and the draft does not show must be overwritten with zeroes.
        let zero_to = self.base_size.min(self.size);
        let mut zero_from = self.base_len;
        for (&index, block) in &mut self.blocks {
            let start = index * BLOCK_SIZE as u64;
            push_zeroes(&mut pieces, zero_from, start.min(zero_to));
            let used = BLOCK_SIZE.min((self.size - start) as usize);
            // In too many pieces, holes are sent as well.
            let zero_to = if block.dirty.count() > RANGES_MAX { self.size } else { zero_to };
            if !sent(index, block.seq) {
                for (dirty, from, to) in block.dirty.split(0, used) {
                    match dirty {
                        true => pieces
                            .push(Piece { offset: start + from as u64, source: block.data.share(from, to) }),
                        false => push_zeroes(
                            &mut pieces,
                            (start + from as u64).max(zero_from),
                            (start + to as u64).min(zero_to),
                        ),
                    }
                }
            }
            zero_from = zero_from.max(start + BLOCK_SIZE as u64);
        }
        push_zeroes(&mut pieces, zero_from, zero_to);
        self.low = self.size;
        Snapshot {
            pieces,
            size: self.size,
            mtime_ns: *self.mtime_ns.get_or_insert_with(|| self.clock.now_ns()),
            mode: self.mode,
            seq: self.seq,
            hold: false,
        }
    }

    /// The document as the draft shows it: written pieces, and what must be read from the base between them. No check-in:
    /// a later [`Draft::committed`] is about the snapshots alone.
    pub fn parts(&mut self) -> (Vec<Part>, Snapshot) {
        let low = self.low;
        let mut snapshot = self.snapshot(|_, _| false);
        self.low = low;
        let mut parts = Vec::new();
        let mut at = 0;
        for piece in std::mem::take(&mut snapshot.pieces) {
            if at < piece.offset.min(self.base_len) {
                parts.push(Part::Base(at, piece.offset.min(self.base_len)));
            }
            at = piece.end();
            parts.push(Part::Piece(piece));
        }
        if at < self.base_len {
            parts.push(Part::Base(at, self.base_len));
        }
        (parts, snapshot)
    }

    /// Consecutive blocks from `first` on that are wholly written, at most `limit`.
    pub fn full_run(&mut self, first: u64, limit: usize) -> Vec<(u64, Source)> {
        let mut run = Vec::new();
        for (&index, block) in self.blocks.range_mut(first..) {
            let next = first + run.len() as u64;
            if index != next || run.len() == limit || !block.dirty.covers(0, BLOCK_SIZE) {
                break;
            }
            run.push((block.seq, block.data.share(0, BLOCK_SIZE)));
        }
        run
    }

    /// The server has `snapshot` as its current version: what did not change since is clean.
    pub fn committed(&mut self, seq: u64, size: u64) {
        let done: Vec<u64> =
            self.blocks.iter().filter(|(_, block)| block.seq <= seq).map(|(&index, _)| index).collect();
        done.into_iter().for_each(|index| self.forget(index));
        self.saved = seq;
        self.base_size = size;
        self.base_len = size.min(self.low);
        if !self.is_changed() {
            self.mtime_ns = None;
            self.mode = None;
        }
    }

    /// Moves blocks into the spool file until the pool has room or this draft has nothing more to move.
    fn make_room(&mut self) -> Result<()> {
        if !self.pool.is_full() {
            return Ok(());
        }
        for block in self.blocks.values_mut() {
            // A block that is still being filled would come back at once.
            if block.held == 0 || !block.dirty.covers(0, BLOCK_SIZE) {
                continue;
            }
            let slot =
                self.pool.seal(&block.data.read(0, BLOCK_SIZE).map_err(spool_error)?).map_err(spool_error)?;
            block.data = Data::Spooled(Arc::new(slot));
            self.pool.shrank(std::mem::take(&mut block.held));
            if !self.pool.is_full() {
                break;
            }
        }
        Ok(())
    }

    fn forget(&mut self, index: u64) {
        if let Some(block) = self.blocks.remove(&index) {
            self.pool.shrank(block.held);
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let held = self.blocks.values().map(|block| block.held).sum();
        self.pool.shrank(held);
    }
}

/// A part of a whole document, see [`Draft::parts`].
pub enum Part {
    /// Written, or a hole over the base.
    Piece(Piece),
    /// From the base: first byte and the one behind the last.
    Base(u64, u64),
}

fn spool_error(error: std::io::Error) -> Error {
    Error::Spool(error.to_string())
}

fn push_zeroes(pieces: &mut Vec<Piece>, mut from: u64, to: u64) {
    while from < to {
        let length = (BLOCK_SIZE as u64 - from % BLOCK_SIZE as u64).min(to - from) as usize;
        pieces.push(Piece { offset: from, source: Source::Zero(length) });
        from += length as u64;
    }
}

fn place(offset: u64) -> (u64, usize) {
    (offset / BLOCK_SIZE as u64, (offset % BLOCK_SIZE as u64) as usize)
}
