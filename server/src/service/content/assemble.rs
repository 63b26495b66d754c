//! From the bytes of a check-in to sealed blocks.
//!
//! Bytes are gathered into blocks of 64 KiB. A block that is complete is sealed as soon as the next one begins; one that
//! came in part is completed from the base version first. The document's size is known only at the end, so what a
//! sealed block holds behind the end of its document is cut off by whoever reads it, and a document that grows gets the
//! block in which it ended before sealed anew, with zeroes behind its old end.
//!
//! Costs: one copy of each byte into its block, one into the pack's buffer (where it is sealed in place), parts of 1 MiB
//! handed to the blob store while the rest still arrives; a pack of up to 65 KiB never touches the blob store.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use sss_common::limits::{BLOCK_SIZE, RANGES_MAX};
use sss_common::record::{BlockHash, block_hash};
use sss_common::{Code, Flag, NodeId, PackId};

use super::digests::turn;
use super::versions::VersionContent;
use super::{Content, Contents};
use crate::service::{Failure, Outcome};
use crate::store::{BlobStore, BlobWriter, PackRow};
use sss_policy::MayWrite;
use sss_vault::Sealer;
use sss_vault::digests::zero_hash;
use sss_vault::layout::{Extent, Layout};

/// Largest pack that is kept in its metadata row: one whole block and its overhead.
const INLINE_MAX: usize = 65 * 1024;

/// Bytes that are handed to the blob store at a time.
const PART: usize = 1024 * 1024;

const BLOCK: u64 = BLOCK_SIZE as u64;

/// A check-in's content on its way into a pack.
pub(in crate::service) struct Assembler<'p> {
    proof: &'p dyn MayWrite,
    base: Option<Arc<Content>>,
    pack: Pack,
    layout: Layout,
    current: Option<Gathering>,
    pending: Option<(u64, Vec<u8>)>,
    reach: u64,
    hashes: Option<Hashes>,
}

/// What a check-in made.
pub(in crate::service) struct Assembled {
    pub(in crate::service) sealer: Sealer,
    pub(in crate::service) content: VersionContent,
}

/// A block of which bytes have arrived.
struct Gathering {
    block: u64,
    data: Vec<u8>,
    covered: Vec<(usize, usize)>,
}

/// The digests of an `integrity` document's new blocks. Its last block's plaintext is kept until the size is known.
#[derive(Default)]
struct Hashes {
    of: BTreeMap<u64, BlockHash>,
    last: Option<(u64, Vec<u8>)>,
}

impl<'p> Assembler<'p> {
    /// Begins a pack for the document that the proof names, under a fresh key.
    pub(in crate::service) async fn begin(
        contents: &Contents,
        proof: &'p dyn MayWrite,
        base: Option<Arc<Content>>,
        flag: Flag,
    ) -> Outcome<Self> {
        let id = PackId::random();
        let sealer = contents.vault.begin(proof, id).await?;
        Ok(Assembler {
            proof,
            layout: base.as_ref().map(|base| base.body.layout.clone()).unwrap_or_default(),
            base,
            pack: Pack::new(id, proof.node(), sealer, contents.blobs.clone()),
            current: None,
            pending: None,
            reach: 0,
            hashes: (flag == Flag::Integrity).then(Hashes::default),
        })
    }

    /// Bytes at an offset.
    pub(in crate::service) async fn data(&mut self, mut offset: u64, mut bytes: Bytes) -> Outcome<()> {
        self.reach = self.reach.max(offset + bytes.len() as u64);
        while !bytes.is_empty() {
            let (block, at) = (offset / BLOCK, usize::try_from(offset % BLOCK).unwrap_or_default());
            let part = bytes.split_to(bytes.len().min(BLOCK_SIZE - at));
            offset += part.len() as u64;
            if self.current.as_ref().is_some_and(|current| current.block != block) {
                self.close_block().await?;
            }
            let gathering = self.current.get_or_insert_with(|| Gathering::new(block));
            gathering.put(at, &part);
            if gathering.covered.len() > RANGES_MAX {
                let words = format!("more than {RANGES_MAX} separate ranges in one block of 64 KiB");
                return Err(Failure::new(Code::BadRequest, words));
            }
        }
        Ok(())
    }

    /// The document has this many bytes, and that was all.
    pub(in crate::service) async fn finish(mut self, size: u64) -> Outcome<Assembled> {
        if self.reach > size {
            return Err(Failure::new(Code::BadRequest, "bytes were sent behind the document's end"));
        }
        self.close_block().await?;
        self.take_over(size).await?;
        self.extend_old_end(size).await?;
        if let Some((block, mut data)) = self.pending.take() {
            data.truncate(length_of(block, size));
            self.seal(block, &data, true).await?;
        }
        self.layout.truncate(size.div_ceil(BLOCK));
        let digests = self.digests(size).await?;
        let (sealer, pack) = self.pack.finish().await?;
        Ok(Assembled { sealer, content: VersionContent { size, layout: self.layout, digests, pack } })
    }

    /// The protection that the document gets.
    pub(in crate::service) fn flag(&self) -> Flag {
        if self.hashes.is_some() { Flag::Integrity } else { Flag::Confidentiality }
    }

    /// Gives the check-in up.
    pub(in crate::service) async fn abort(self) {
        self.pack.abort().await;
    }

    async fn close_block(&mut self) -> Outcome<()> {
        let Some(gathering) = self.current.take() else { return Ok(()) };
        let block = gathering.block;
        let data = if gathering.is_whole() {
            gathering.data
        } else if self.is_in_this_pack(block) {
            return Err(Failure::new(Code::BadRequest, "a block that is sent again must be sent whole"));
        } else {
            gathering.over(self.base_block(block).await?)
        };
        self.push(block, data).await
    }

    /// A document that grows past an old end inside a block: zeroes follow the old end, whatever was sealed there.
    async fn extend_old_end(&mut self, size: u64) -> Outcome<()> {
        let old = self.base.as_ref().map_or(0, |base| base.size());
        let block = old / BLOCK;
        if size <= old
            || old.is_multiple_of(BLOCK)
            || self.is_in_this_pack(block)
            || self.layout.find(block).is_none()
        {
            return Ok(());
        }
        let mut data = self.base_block(block).await?;
        data.resize(BLOCK_SIZE, 0);
        self.push(block, data).await
    }

    /// A document that many small check-ins have scattered is brought together: what is left of the base goes into this
    /// pack too. The check-in that finds it scattered pays for it, once.
    async fn take_over(&mut self, size: u64) -> Outcome<()> {
        let Some(base) = self.base.clone().filter(|base| base.is_scattered()) else { return Ok(()) };
        for block in 0..size.min(base.size()).div_ceil(BLOCK) {
            if self.is_in_this_pack(block) || self.layout.find(block).is_none() {
                continue;
            }
            let mut data = self.base_block(block).await?;
            data.resize(BLOCK_SIZE, 0);
            self.push(block, data).await?;
        }
        Ok(())
    }

    async fn push(&mut self, block: u64, data: Vec<u8>) -> Outcome<()> {
        if let Some(hashes) = &mut self.hashes {
            hashes.note(block, &data);
        }
        if let Some((block, data)) = self.pending.replace((block, data)) {
            self.seal(block, &data, false).await?;
        }
        Ok(())
    }

    async fn seal(&mut self, block: u64, data: &[u8], last: bool) -> Outcome<()> {
        let at = self.pack.add(data, last).await?;
        self.layout.put(Extent { first: block, count: 1, pack: self.pack.id, at });
        Ok(())
    }

    fn is_in_this_pack(&self, block: u64) -> bool {
        self.pending.as_ref().is_some_and(|(pending, _)| *pending == block)
            || self.layout.find(block).is_some_and(|(pack, _)| pack == self.pack.id)
    }

    async fn base_block(&mut self, block: u64) -> Outcome<Vec<u8>> {
        match &self.base {
            Some(base) => base.block(self.proof, block).await,
            None => Ok(Vec::new()),
        }
    }

    /// The digest of every block: new ones as they were sealed, old ones from the base's record.
    async fn digests(&mut self, size: u64) -> Outcome<Vec<BlockHash>> {
        let Some(mut hashes) = self.hashes.take() else { return Ok(Vec::new()) };
        let old = self.base.as_ref().map(|base| (base.size(), base.body.digests.clone()));
        let mut digests = Vec::new();
        for block in 0..size.div_ceil(BLOCK) {
            turn(block).await;
            let length = length_of(block, size);
            let kept = old.as_ref().filter(|(old, _)| length_of(block, *old) == length);
            let kept = kept.and_then(|(_, digests)| digests.get(usize::try_from(block).ok()?));
            digests.push(match (hashes.take(block, length), kept) {
                (Some(hash), _) => hash,
                (None, Some(hash)) => *hash,
                (None, None) if self.layout.find(block).is_none() => zero_hash(length),
                (None, None) => {
                    let mut data = self.base_block(block).await?;
                    data.resize(length, 0);
                    block_hash(&data)
                }
            });
        }
        Ok(digests)
    }
}

impl Gathering {
    fn new(block: u64) -> Self {
        Gathering { block, data: vec![0; BLOCK_SIZE], covered: Vec::new() }
    }

    fn put(&mut self, at: usize, part: &[u8]) {
        self.data[at..at + part.len()].copy_from_slice(part);
        let (mut from, mut to) = (at, at + part.len());
        self.covered.retain(|&(a, b)| {
            let apart = b < from || to < a;
            if !apart {
                (from, to) = (from.min(a), to.max(b));
            }
            apart
        });
        self.covered.push((from, to));
    }

    fn is_whole(&self) -> bool {
        self.covered == [(0, BLOCK_SIZE)]
    }

    /// The block as it was, with what has arrived over it.
    fn over(self, mut base: Vec<u8>) -> Vec<u8> {
        base.resize(BLOCK_SIZE, 0);
        for (from, to) in self.covered {
            base[from..to].copy_from_slice(&self.data[from..to]);
        }
        base
    }
}

impl Hashes {
    fn note(&mut self, block: u64, data: &[u8]) {
        self.of.insert(block, block_hash(data));
        if self.last.as_ref().is_none_or(|(last, _)| *last <= block) {
            self.last = Some((block, data.to_vec()));
        }
    }

    fn take(&mut self, block: u64, length: usize) -> Option<BlockHash> {
        match &self.last {
            Some((last, data)) if *last == block => data.get(..length).map(block_hash),
            _ => self.of.remove(&block),
        }
    }
}

fn length_of(block: u64, size: u64) -> usize {
    let left = size.saturating_sub(block.saturating_mul(BLOCK));
    usize::try_from(left.min(BLOCK)).unwrap_or(BLOCK_SIZE)
}

/// The pack being written: in memory while it is small, then in the blob store.
struct Pack {
    id: PackId,
    document: NodeId,
    sealer: Sealer,
    blobs: Arc<dyn BlobStore>,
    buffer: Vec<u8>,
    written: u64,
    writer: Option<Box<dyn BlobWriter>>,
}

impl Pack {
    fn new(id: PackId, document: NodeId, sealer: Sealer, blobs: Arc<dyn BlobStore>) -> Self {
        let buffer = sealer.header().to_vec();
        Pack { id, document, sealer, blobs, buffer, written: 0, writer: None }
    }

    /// Seals a block behind the others and says where it stands.
    async fn add(&mut self, plaintext: &[u8], last: bool) -> Outcome<u64> {
        let at = self.sealer.blocks();
        self.sealer.seal_block(plaintext, last, &mut self.buffer)?;
        if self.writer.is_none() && self.buffer.len() > INLINE_MAX {
            self.writer = Some(self.blobs.begin(self.id).await?);
        }
        if self.buffer.len() >= PART {
            self.write_out().await?;
        }
        Ok(at)
    }

    async fn write_out(&mut self) -> Outcome<()> {
        if let Some(writer) = &mut self.writer {
            let part = std::mem::replace(&mut self.buffer, Vec::with_capacity(PART + 2 * BLOCK_SIZE));
            self.written += part.len() as u64;
            writer.write(part.into()).await?;
        }
        Ok(())
    }

    /// Durable when this returns, unless it is small enough for its row. `None`: there was no block.
    async fn finish(mut self) -> Outcome<(Sealer, Option<PackRow>)> {
        if self.sealer.blocks() == 0 {
            return Ok((self.sealer, None));
        }
        self.write_out().await?;
        let (length, inline) = match self.writer {
            Some(writer) => {
                writer.finish().await?;
                (self.written, None)
            }
            None => (self.buffer.len() as u64, Some(Bytes::from(self.buffer))),
        };
        let (leaf, blocks) = (self.sealer.leaf(), self.sealer.blocks());
        let row = PackRow { id: self.id, document: self.document, leaf, length, blocks, inline };
        Ok((self.sealer, Some(row)))
    }

    async fn abort(self) {
        if let Some(writer) = self.writer
            && let Err(error) = writer.abort().await
        {
            tracing::warn!(%error, "an abandoned upload was not cleaned up; the sweeper will");
        }
    }
}
