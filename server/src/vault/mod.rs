//! Keys, sealing, signing, erasing: the only room that sees plaintext and keys. FORMAT.md fixes every byte.

pub mod layout;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use sss_common::record::{Hash, VersionRecord};
use sss_common::{NodeId, PackId};

use crate::policy::Allowed;
use crate::sealed::{KeyImage, KeyPosition};
use layout::Layout;

/// Why the vault could not do it.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Sealed bytes, a record or a signature do not verify. The text says what, never with content.
    #[error("{0} does not verify")]
    Integrity(&'static str),
    /// The key was erased, or never committed.
    #[error("the key is gone")]
    Erased,
    /// A keyring or key file cannot be used; the text says why and what to do.
    #[error("{0}")]
    Keys(String),
    /// The key tree could not be read from where it is kept.
    #[error("the key tree cannot be read: {0}")]
    Source(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// An outcome of the vault.
pub type Result<T> = std::result::Result<T, VaultError>;

/// Where the vault finds the sealed nodes of its key tree.
#[async_trait]
pub trait KeySource: Send + Sync {
    /// One node; `None` when it was never written.
    async fn load(
        &self,
        position: KeyPosition,
    ) -> std::result::Result<Option<KeyImage>, Box<dyn std::error::Error + Send + Sync>>;
}

/// What is sealed with a version: its public record and what only the server knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordBody {
    /// The public part.
    pub record: VersionRecord,
    /// Which blocks lie in which packs.
    pub layout: Layout,
    /// The Merkle leaves of an `integrity` version, one per block; empty for `confidentiality`.
    pub digests: Vec<Hash>,
    /// The server's signature of an `integrity` version.
    pub signature: Option<Vec<u8>>,
}

/// The keys in use.
pub struct Vault {
    source: Arc<dyn KeySource>,
}

impl Vault {
    /// The server's public key, SPKI PEM.
    pub fn public_key_pem(&self) -> &str {
        unimplemented!()
    }

    /// A fresh random key for a check-in, under a new leaf of the key tree. The leaf is in the store once the
    /// images of [`Vault::images`] are committed. A sealer that is dropped without that gives its leaf back.
    pub async fn begin(&self, allowed: &Allowed, document: NodeId, pack: PackId) -> Result<Sealer> {
        let _ = (allowed, document, pack, &self.source);
        unimplemented!()
    }

    /// The key tree's nodes that must be committed together with what `sealer` sealed.
    pub async fn images(&self, sealer: &Sealer) -> Result<Vec<KeyImage>> {
        let _ = sealer;
        unimplemented!()
    }

    /// The images are durable: the leaf stays.
    pub fn committed(&self, sealer: Sealer) {
        let _ = sealer;
    }

    /// The key under a leaf, for reading. `Erased` when there is none.
    pub async fn opener(&self, allowed: &Allowed, leaf: u64) -> Result<Opener> {
        let _ = (allowed, leaf);
        unimplemented!()
    }

    /// Signs with RSA-PSS, SHA-256 (about 3 ms of one core; call it off the async threads).
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let _ = message;
        unimplemented!()
    }

    /// Checks a record's signature with the server's public key.
    pub fn verify(&self, record: &VersionRecord, signature: &[u8]) -> bool {
        let _ = (record, signature);
        unimplemented!()
    }
}

/// Seals one check-in: its blocks in order, then its record.
pub struct Sealer(());

impl Sealer {
    /// The leaf that holds the key.
    pub fn leaf(&self) -> u64 {
        unimplemented!()
    }

    /// The pack's first bytes.
    pub fn header(&self) -> Bytes {
        unimplemented!()
    }

    /// Seals the pack's next block and appends it to `out`. Every block but the last has `BLOCK_SIZE` bytes.
    pub fn seal_block(&mut self, plaintext: &[u8], last: bool, out: &mut Vec<u8>) -> Result<()> {
        let _ = (plaintext, last, out);
        unimplemented!()
    }

    /// Blocks sealed so far.
    pub fn blocks(&self) -> u64 {
        unimplemented!()
    }

    /// Seals the version's record. `body.record.document` is the document it is for.
    pub fn seal_record(&self, body: &RecordBody) -> Result<Bytes> {
        let _ = body;
        unimplemented!()
    }
}

/// Opens what one check-in sealed.
pub struct Opener(());

impl Opener {
    /// Opens a record and checks that it is this document's.
    pub fn open_record(&self, document: NodeId, sealed: &[u8]) -> Result<RecordBody> {
        let _ = (document, sealed);
        unimplemented!()
    }

    /// Checks a pack's header.
    pub fn check_header(&self, document: NodeId, pack: PackId, header: &[u8]) -> Result<()> {
        let _ = (document, pack, header);
        unimplemented!()
    }

    /// Opens one block in place: `sealed` becomes the plaintext. `document` is the one the pack was sealed for,
    /// `last` whether the block is the pack's last.
    pub fn open_block(
        &self,
        document: NodeId,
        pack: PackId,
        index: u64,
        last: bool,
        sealed: &mut Vec<u8>,
    ) -> Result<()> {
        let _ = (document, pack, index, last, sealed);
        unimplemented!()
    }
}

/// Bytes of a pack's header.
pub const PACK_HEADER: usize = 48;

/// Bytes that sealing adds to a block.
pub const BLOCK_OVERHEAD: usize = 16;

/// Where a sealed block stands in its pack, and the most bytes it can have.
pub fn sealed_block(index: u64) -> (u64, usize) {
    let size = sss_common::limits::BLOCK_SIZE + BLOCK_OVERHEAD;
    (PACK_HEADER as u64 + index * size as u64, size)
}
