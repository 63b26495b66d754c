//! Whether what is sealed verifies. Who asks here has no proof (see [`sss_policy::Allowed`]), so no plaintext and no
//! key leaves: an answer is "fine" or a [`VaultError`], and of a record only where its blocks lie.
//!
//! Costs: a record is opened once, and for an `integrity` version its signature is verified (some 50 microseconds) and
//! its digests are hashed to the root. A block is copied once, opened in place in a buffer that is wiped, and hashed if a
//! version's digest is expected of it.

use sss_common::limits::BLOCK_SIZE;
use sss_common::record::{BlockHash, block_hash};
use sss_common::{Flag, NodeId, PackId, Version};
use zeroize::Zeroizing;

use super::digests::{root_of, zero_hash};
use super::pack::Opener;
use super::primitives::Cipher;
use super::record::RecordBody;
use super::{BLOCK_OVERHEAD, Result, Vault, VaultError};
use crate::sealed::Leaf;

/// What a version's record says of where its blocks lie, and nothing of what is in them.
pub struct Outline {
    body: RecordBody,
}

impl Outline {
    /// Bytes of plaintext.
    pub fn size(&self) -> u64 {
        self.body.record.size
    }

    /// The packs in use, each once.
    pub fn packs(&self) -> Vec<PackId> {
        self.body.layout.packs()
    }

    /// Whether the version reads this block of a pack.
    pub fn reads(&self, pack: PackId, block: u64) -> bool {
        let extents = self.body.layout.extents().iter();
        extents.filter(|run| run.pack == pack).any(|run| (run.at..run.end_in_pack()).contains(&block))
    }

    /// How many blocks the pack must have at least for what the version reads of it.
    pub fn reach(&self, pack: PackId) -> u64 {
        let extents = self.body.layout.extents().iter().filter(|run| run.pack == pack);
        extents.map(|run| run.end_in_pack()).max().unwrap_or(0)
    }
}

impl Vault {
    /// Opens a version's record and holds it to all that it can be held to without its blocks.
    pub async fn check_record(
        &self,
        document: NodeId,
        version: Version,
        leaf: Leaf,
        sealed: &[u8],
    ) -> Result<Outline> {
        let mut outline = self.outline(document, leaf, sealed).await?;
        self.verify_record(version, &mut outline.body).await?;
        check_holes(&outline.body)?;
        Ok(outline)
    }

    /// Opens a record to see where the version's blocks lie; [`Vault::check_record`] judges it.
    pub async fn outline(&self, document: NodeId, leaf: Leaf, sealed: &[u8]) -> Result<Outline> {
        let opener = self.opener_unproven(leaf).await?;
        Ok(Outline { body: opener.open_record(document, sealed)? })
    }

    /// What an opened record claims: that it is this version's and, under `integrity`, that the server signed it and its
    /// digests make its root. Leaves the body as it is.
    pub async fn verify_record(&self, version: Version, body: &mut RecordBody) -> Result<()> {
        if body.record.version != version {
            return Err(VaultError::Integrity("a version's record"));
        }
        if body.record.flag == Flag::Confidentiality {
            return Ok(());
        }
        let signed = body.signature.as_ref().is_some_and(|signature| self.verify(&body.record, signature));
        let (digests, root) = root_of(std::mem::take(&mut body.digests)).await?;
        body.digests = digests;
        let rooted = root == body.record.root;
        if signed && rooted { Ok(()) } else { Err(VaultError::Integrity("a version's signature")) }
    }

    /// For checking a pack, block by block.
    pub async fn check_pack(&self, document: NodeId, pack: PackId, leaf: Leaf) -> Result<PackCheck> {
        let plain = Zeroizing::new(Vec::with_capacity(BLOCK_SIZE + BLOCK_OVERHEAD));
        let opener = self.opener_unproven(leaf).await?;
        Ok(PackCheck { opener, document, pack, expected: Vec::new(), plain })
    }

    /// Stays in this file.
    async fn opener_unproven(&self, leaf: Leaf) -> Result<Opener> {
        Ok(Opener::new(Cipher::new(&self.tree.key(leaf).await?)?))
    }
}

/// An `integrity` version has a digest for each block, and a hole's is that of zeroes.
fn check_holes(body: &RecordBody) -> Result<()> {
    if body.record.flag == Flag::Confidentiality {
        return Ok(());
    }
    const BAD: VaultError = VaultError::Integrity("a version's digests");
    if body.digests.len() as u64 != body.blocks() {
        return Err(BAD);
    }
    let holes = (0..).zip(&body.digests).filter(|(block, _)| body.layout.find(*block).is_none());
    let fine = |(block, digest): (u64, &BlockHash)| *digest == zero_hash(body.block_length(block));
    if holes.into_iter().all(fine) { Ok(()) } else { Err(BAD) }
}

/// Checks one pack's header and blocks.
pub struct PackCheck {
    opener: Opener,
    document: NodeId,
    pack: PackId,
    /// In order, each once.
    expected: Vec<Expected>,
    plain: Zeroizing<Vec<u8>>,
}

/// What an `integrity` version's record says of a block.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Expected {
    /// Which block of the pack.
    at: u64,
    /// As many of its bytes belong to the version.
    length: usize,
    digest: BlockHash,
}

impl PackCheck {
    /// Holds the blocks that this version reads to its digests as well. Versions that share a pack mostly expect the
    /// same of it, which is kept once (48 bytes a block).
    pub fn expect(&mut self, outline: &Outline) {
        let body = &outline.body;
        for run in body.layout.extents().iter().filter(|run| run.pack == self.pack) {
            for n in 0..run.count {
                let digest = usize::try_from(run.first + n).ok().and_then(|block| body.digests.get(block));
                let Some(digest) = digest else { break };
                let length = body.block_length(run.first + n);
                self.expected.push(Expected { at: run.at + n, length, digest: *digest });
            }
        }
        self.expected.sort_unstable();
        self.expected.dedup();
    }

    /// Checks the pack's first bytes.
    pub fn header(&self, found: &[u8]) -> Result<()> {
        self.opener.check_header(self.document, self.pack, found)
    }

    /// Opens one block and forgets it.
    pub fn block(&mut self, index: u64, last: bool, sealed: &[u8]) -> Result<()> {
        // All the room was made at the beginning: growing would leave plaintext behind.
        if sealed.len() > BLOCK_SIZE + BLOCK_OVERHEAD {
            return Err(VaultError::Integrity("a block"));
        }
        self.plain.clear();
        self.plain.extend_from_slice(sealed);
        self.opener.open_block(self.document, self.pack, index, last, &mut self.plain)?;
        let from = self.expected.partition_point(|expected| expected.at < index);
        for expected in self.expected[from..].iter().take_while(|expected| expected.at == index) {
            let length = self.plain.len().max(expected.length);
            self.plain.resize(length, 0);
            if block_hash(&self.plain[..expected.length]) != expected.digest {
                return Err(VaultError::Integrity("a block's digest"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
