//! A check-in's sealed bytes: the pack's header and blocks. The record is [`super::record`]'s.
//!
//! Cost of a block: sealing copies the plaintext once, into `out`, and seals it there; opening works in place. No
//! allocation in either, if `out` has room.

use bytes::Bytes;
use sss_common::limits::BLOCK_SIZE;
use sss_common::{NodeId, PackId};

use super::primitives::{AES_256_GCM_SIV_ID, Cipher, block_nonce};
use super::record::{self, RecordBody};
use super::tree::Lease;
use super::{BLOCK_OVERHEAD, PACK_HEADER, Result, VaultError};
use crate::sealed::Leaf;

const MAGIC: &[u8; 4] = b"3SPK";
const VERSION: u8 = 1;
const BLOCK_LOG2: u8 = BLOCK_SIZE.trailing_zeros() as u8;
const AAD: usize = PACK_HEADER + 8 + 1;

/// Seals one check-in: its blocks in order, then its record.
pub struct Sealer {
    lease: Lease,
    pack: PackSealer,
}

impl Sealer {
    pub(super) fn new(lease: Lease, cipher: Cipher, document: NodeId, pack: PackId) -> Self {
        Sealer { lease, pack: PackSealer::new(cipher, document, pack) }
    }

    pub(super) fn lease(&self) -> &Lease {
        &self.lease
    }

    pub(super) fn into_lease(self) -> Lease {
        self.lease
    }

    /// The leaf that holds the key.
    pub fn leaf(&self) -> Leaf {
        self.lease.leaf()
    }

    /// The pack's first bytes.
    pub fn header(&self) -> Bytes {
        Bytes::copy_from_slice(&self.pack.header)
    }

    /// Seals the pack's next block and appends it to `out`. Every block but the last has `BLOCK_SIZE` bytes.
    pub fn seal_block(&mut self, plaintext: &[u8], last: bool, out: &mut Vec<u8>) -> Result<()> {
        self.pack.seal_block(plaintext, last, out)
    }

    /// Blocks sealed so far.
    pub fn blocks(&self) -> u64 {
        self.pack.blocks
    }

    /// Seals the version's record. `body.record.document` is the document it is for.
    pub fn seal_record(&self, body: &RecordBody) -> Result<Bytes> {
        record::seal(&self.pack.cipher, body)
    }
}

/// Opens what one check-in sealed.
pub struct Opener(Cipher);

impl Opener {
    pub(super) fn new(cipher: Cipher) -> Self {
        Opener(cipher)
    }

    /// Opens a record and checks that it is this document's.
    pub fn open_record(&self, document: NodeId, sealed: &[u8]) -> Result<RecordBody> {
        record::open(&self.0, document, sealed)
    }

    /// Checks a pack's header.
    pub fn check_header(&self, document: NodeId, pack: PackId, found: &[u8]) -> Result<()> {
        if found == header(document, pack) { Ok(()) } else { Err(VaultError::Integrity("a pack's header")) }
    }

    /// Opens one block in place: `sealed` becomes the plaintext. `document` is the one the pack was sealed for,
    /// `last` whether the block is the pack's last. After an error `sealed` is empty.
    pub fn open_block(
        &self,
        document: NodeId,
        pack: PackId,
        index: u64,
        last: bool,
        sealed: &mut Vec<u8>,
    ) -> Result<()> {
        let full = BLOCK_SIZE + BLOCK_OVERHEAD;
        let fits =
            if last { (BLOCK_OVERHEAD + 1..=full).contains(&sealed.len()) } else { sealed.len() == full };
        let aad = aad(&header(document, pack), index, last);
        let plain = if fits { self.0.open(block_nonce(index), &aad, sealed) } else { None };
        sealed.truncate(plain.unwrap_or(0));
        plain.map(|_| ()).ok_or(VaultError::Integrity("a block"))
    }
}

/// The sealing of a pack, apart from where its key is kept.
pub(super) struct PackSealer {
    cipher: Cipher,
    header: [u8; PACK_HEADER],
    blocks: u64,
    closed: bool,
}

impl PackSealer {
    pub(super) fn new(cipher: Cipher, document: NodeId, pack: PackId) -> Self {
        PackSealer { cipher, header: header(document, pack), blocks: 0, closed: false }
    }

    pub(super) fn seal_block(&mut self, plaintext: &[u8], last: bool, out: &mut Vec<u8>) -> Result<()> {
        let fits =
            if last { (1..=BLOCK_SIZE).contains(&plaintext.len()) } else { plaintext.len() == BLOCK_SIZE };
        if self.closed || !fits {
            return Err(VaultError::Refused("a block of a wrong length, or after the last one"));
        }
        let from = out.len();
        out.reserve(plaintext.len() + BLOCK_OVERHEAD);
        out.extend_from_slice(plaintext);
        let aad = aad(&self.header, self.blocks, last);
        self.cipher.seal(block_nonce(self.blocks), &aad, out, from)?;
        self.blocks += 1;
        self.closed = last;
        Ok(())
    }
}

/// A pack's header. Nothing in it varies but the two ids, so a reader compares instead of parsing.
pub(super) fn header(document: NodeId, pack: PackId) -> [u8; PACK_HEADER] {
    let mut header = [0; PACK_HEADER];
    header[..4].copy_from_slice(MAGIC);
    header[4..8].copy_from_slice(&[VERSION, AES_256_GCM_SIV_ID, BLOCK_LOG2, 0]);
    header[8..24].copy_from_slice(document.as_bytes());
    header[24..40].copy_from_slice(pack.as_bytes());
    header
}

fn aad(header: &[u8; PACK_HEADER], index: u64, last: bool) -> [u8; AAD] {
    let mut aad = [0; AAD];
    aad[..PACK_HEADER].copy_from_slice(header);
    aad[PACK_HEADER..AAD - 1].copy_from_slice(&index.to_be_bytes());
    aad[AAD - 1] = last.into();
    aad
}

#[cfg(test)]
mod tests;
