//! A draft's block: bytes that are written, shared or spooled.

use std::sync::Arc;

use bytes::Bytes;

use super::body::Source;
use super::ranges::Ranges;
use super::spool::Slot;

/// One block.
pub(super) struct Block {
    /// Its bytes up to the last written one.
    pub(super) data: Data,
    /// Which of them were written.
    pub(super) dirty: Ranges,
    /// The change that changed it last.
    pub(super) seq: u64,
    /// What the pool counts for it.
    pub(super) held: usize,
}

/// Where a block's bytes are.
pub(super) enum Data {
    /// In a buffer that can be written.
    Own(Vec<u8>),
    /// In a buffer that a writer handed over or a check-in is reading.
    Shared(Bytes),
    /// Sealed in the spool file.
    Spooled(Arc<Slot>),
}

impl Data {
    /// Bytes of memory that it takes.
    pub(super) fn in_memory(&self) -> usize {
        match self {
            Data::Own(bytes) => bytes.capacity(),
            Data::Shared(bytes) => bytes.len(),
            Data::Spooled(_) => 0,
        }
    }

    /// Bytes that were written.
    pub(super) fn read(&self, from: usize, to: usize) -> std::io::Result<Bytes> {
        Ok(match self {
            Data::Own(bytes) => Bytes::copy_from_slice(&bytes[from..to]),
            Data::Shared(bytes) => bytes.slice(from..to),
            Data::Spooled(slot) => slot.open()?.slice(from..to),
        })
    }

    /// The bytes, to be written.
    pub(super) fn own(&mut self) -> std::io::Result<&mut Vec<u8>> {
        let own = match self {
            Data::Own(bytes) => std::mem::take(bytes),
            Data::Shared(bytes) => Vec::from(std::mem::take(bytes)),
            Data::Spooled(slot) => Vec::from(slot.open()?),
        };
        *self = Data::Own(own);
        match self {
            Data::Own(bytes) => Ok(bytes),
            Data::Shared(_) | Data::Spooled(_) => unreachable!("it was just made its own"),
        }
    }

    /// A part of the bytes for a check-in, without a copy.
    pub(super) fn share(&mut self, from: usize, to: usize) -> Source {
        if let Data::Own(bytes) = self {
            *self = Data::Shared(std::mem::take(bytes).into());
        }
        match self {
            Data::Shared(bytes) => Source::Bytes(bytes.slice(from..to)),
            Data::Spooled(slot) => Source::Spooled(slot.clone(), from, to),
            Data::Own(_) => unreachable!("it was just shared"),
        }
    }
}
