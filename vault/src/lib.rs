//! Keys, sealing, signing, erasing: the only room that sees plaintext and keys. FORMAT.md fixes every byte.
//!
//! [`primitives`] says what the algorithms are, [`pack`] and [`record`] what they seal, [`tree`] where the keys
//! for that are kept and how one is erased, [`keyring`], [`server_key`] and [`retired`] what lies on disk, [`erasing`] how the
//! keyring and the tree are moved to a new root together, and [`rotation`] how they are moved to a new server key. [`check`]
//! says whether what is sealed verifies, and nothing of what it is; [`digests`] has the hashes that an `integrity` version
//! is held to; [`backup`] puts all of a store into one sealed file.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make, damage and time what they like"))]

pub mod backup;
pub mod check;
pub mod digests;
pub mod layout;
pub mod sealed;

mod erasing;
mod keyring;
mod pack;
mod primitives;
mod record;
mod retired;
mod rotation;
mod secrets;
mod server_key;
pub mod thief;
mod tree;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sss_common::limits::{BLOCK_SIZE, DOCUMENT_MAX};
use sss_common::record::VersionRecord;
use sss_common::{Epoch, PackId, StoreId};

use crate::sealed::{KeyImage, KeyPosition, Leaf};
pub use erasing::Erasing;
pub use pack::{Opener, Sealer};
pub use record::RecordBody;
pub use rotation::{Interrupted, Rotated, Rotating, fingerprint};
use sss_policy::{MayRead, MayWrite};

use keyring::Keyring;
use primitives::Cipher;
use retired::Retired;
use secrets::SecretKey;
use server_key::ServerKey;
use tree::KeyTree;

/// Why the vault could not do it.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Sealed bytes, a record or a signature do not verify. The text says what, never with content.
    #[error("{0} does not verify")]
    Integrity(&'static str),
    /// The key was erased, or never committed.
    #[error("the key is gone")]
    Erased,
    /// A keyring or key file cannot be used; the text says why and, in a second line, what to do.
    #[error("{0}")]
    Keys(String),
    /// The key tree could not be read from where it is kept.
    #[error("the key tree cannot be read: {0}")]
    Source(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The caller asked for what the vault does not do: a block after the last one, a count past its limit; or a primitive
    /// failed that cannot. A bug, not an input.
    #[error("the vault refuses: {0}")]
    Refused(&'static str),
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

/// The files that a vault lives from.
#[derive(Clone, Debug)]
pub struct VaultPaths {
    /// The private key, PKCS#8 PEM.
    pub server_key: PathBuf,
    /// Its public half, SPKI PEM.
    pub server_pub: PathBuf,
    /// The keyring, perhaps on another medium.
    pub keyring: PathBuf,
}

/// The keys in use.
pub struct Vault {
    store: StoreId,
    paths: VaultPaths,
    server: Arc<ServerKey>,
    /// The keys that `server` follows.
    retired: Retired,
    interrupted: Option<Interrupted>,
    tree: Arc<KeyTree>,
    /// Held while an erasure is under way.
    keyring: Arc<tokio::sync::Mutex<erasing::KeyringFile>>,
    /// Opened beside another process that has the store: it seals, signs and erases nothing.
    only_reads: bool,
}

impl Vault {
    /// Makes a new store's key pair and keyring. Refuses where a file is, and writes over nothing.
    pub fn create(paths: &VaultPaths) -> Result<()> {
        let mut store = StoreId([0; 16]);
        aws_lc_rs::rand::fill(&mut store.0)
            .map_err(|_| VaultError::Refused("the random generator failed"))?;
        if paths.keyring.exists() {
            let exists = std::io::ErrorKind::AlreadyExists.into();
            return Err(keyring::cannot_create(&paths.keyring, &exists));
        }
        // Another store's would make its keys this one's.
        let retired = rotation::retired(paths);
        if retired.exists() {
            let exists = std::io::ErrorKind::AlreadyExists.into();
            return Err(keyring::cannot_create(&retired, &exists));
        }
        let server = ServerKey::create(&paths.server_key, &paths.server_pub)?;
        let current = erasing::wrap_root(&server, &store, Epoch::FIRST, &SecretKey::random()?)?;
        keyring::create(&paths.keyring, &Keyring { store, current, next: None })
    }

    /// Opens a store's keys, and finishes an erasure or a rotation that a crash cut short. `last_leaf` is the largest
    /// leaf that was ever committed. Two private RSA operations at most (three after a crash), one node loaded.
    pub async fn open(
        paths: VaultPaths,
        source: Arc<dyn KeySource>,
        last_leaf: Option<Leaf>,
    ) -> Result<Vault> {
        let keyring = keyring::read(&paths.keyring)?;
        let image = source.load(tree::path::ROOT).await.map_err(VaultError::Source)?;
        let opened = rotation::recover(&paths, keyring, image.as_ref(), last_leaf)?;
        if let Err(error) = keyring::forget_old(&paths.keyring) {
            tracing::warn!(%error, "what a crash left of an old keyring is not written over yet");
        }
        let next_leaf = last_leaf.map_or(Leaf::FIRST, Leaf::next);
        Ok(Vault::of(paths, opened, next_leaf, source))
    }

    /// Opens a store's keys only to read, also while a server runs on it: nothing is written, and the vault refuses to
    /// begin, to erase and to sign. It sees the tree as it was: what it loads after a later erasure may not open any
    /// more, so a caller that meets a failure opens anew and looks again (see [`Vault::epoch`]).
    /// Costs as [`Vault::open`]; a keyring that is just being replaced is read again. A rotation that was cut short is left as
    /// it is.
    pub async fn open_to_read(
        paths: &VaultPaths,
        source: Arc<dyn KeySource>,
        last_leaf: Option<Leaf>,
    ) -> Result<Vault> {
        let look = async || {
            let keyring = keyring::read(&paths.keyring)?;
            let image = source.load(tree::path::ROOT).await.map_err(VaultError::Source)?;
            rotation::look(paths, keyring, image.as_ref(), last_leaf)
        };
        let mut looks = 1;
        let opened = loop {
            match look().await {
                // Keyring and root node are read one after the other, and a keyring that is replaced is written over:
                // what does not fit may fit a moment later.
                Err(VaultError::Keys(_)) if looks < LOOKS => tokio::time::sleep(LOOK_PAUSE).await,
                other => break other?,
            }
            looks += 1;
        };
        let vault = Vault::of(paths.clone(), opened, Leaf::FIRST, source);
        Ok(Vault { only_reads: true, ..vault })
    }

    fn of(paths: VaultPaths, opened: rotation::Opened, next_leaf: Leaf, source: Arc<dyn KeySource>) -> Vault {
        let rotation::Opened { server, retired, keyring, root, interrupted } = opened;
        let store = keyring.store;
        Vault {
            store,
            retired,
            server: Arc::new(server),
            interrupted,
            tree: Arc::new(KeyTree::new(store, (keyring.current.epoch, root), next_leaf, source)),
            keyring: Arc::new(tokio::sync::Mutex::new(erasing::KeyringFile::new(
                paths.keyring.clone(),
                keyring,
            ))),
            paths,
            only_reads: false,
        }
    }

    /// Which store these keys are for.
    pub fn store_id(&self) -> StoreId {
        self.store
    }

    /// Which root key the store was at when it was opened, or is at since an erasure of this vault. Counts up.
    pub fn epoch(&self) -> Epoch {
        self.tree.epoch()
    }

    /// The server's public key, SPKI PEM.
    pub fn public_key_pem(&self) -> &str {
        self.server.public_pem()
    }

    /// The server's public key and then those before it, newest first, as PEM blocks.
    pub fn public_keys_pem(&self) -> String {
        std::iter::once(self.public_key_pem()).chain(self.retired.pems()).collect()
    }

    /// A fresh random key for a check-in, under a new leaf of the key tree. The leaf is in the store once the
    /// images of [`Vault::images`] are committed. A sealer that is dropped before it asked for images gives its leaf
    /// back; one that is dropped later leaves it, because its transaction may have happened (see [`Vault::give_up`]).
    /// What is sealed is for the document that the proof names.
    pub async fn begin(&self, proof: &dyn MayWrite, pack: PackId) -> Result<Sealer> {
        self.writes()?;
        let (lease, key) = self.tree.begin().await?;
        Ok(Sealer::new(lease, Cipher::new(&key)?, proof.node(), pack))
    }

    /// The key tree's nodes that must be committed together with what `sealer` sealed. Ask anew for every attempt: only
    /// the images that were given last may be committed.
    pub async fn images(&self, sealer: &Sealer) -> Result<Vec<KeyImage>> {
        self.tree.images(sealer.lease())
    }

    /// The images are durable: the leaf stays.
    pub fn committed(&self, sealer: Sealer) {
        self.tree.committed(sealer.into_lease());
    }

    /// The transaction surely did not happen (the version had moved on): the leaf's key is taken out again.
    pub fn give_up(&self, sealer: Sealer) {
        self.tree.give_up(sealer.into_lease());
    }

    /// Gives out no leaf up to this one any more: it is queued for erasure, and may never have been committed.
    pub fn pass_over(&self, leaf: Leaf) {
        self.tree.pass_over(leaf);
    }

    /// The number of the next check-in's leaf, unless that is taken.
    pub fn next_leaf(&self) -> Leaf {
        self.tree.next_leaf()
    }

    /// Leaves of check-ins that were given up, whose keys a copy of the key tree may hold. Hand those that no row uses to
    /// [`Vault::begin_erase`], and say so with [`Vault::taken_care_of`].
    pub fn abandoned(&self) -> Vec<Leaf> {
        self.tree.abandoned()
    }

    /// Those of these leaves that cannot be erased because a node on their way does not verify.
    pub async fn unreadable(&self, leaves: &[Leaf]) -> Result<Vec<Leaf>> {
        self.tree.unreadable(leaves).await
    }

    /// These abandoned leaves are queued for erasure, or in use after all.
    pub fn taken_care_of(&self, leaves: &[Leaf]) {
        self.tree.taken_care_of(leaves);
    }

    /// The leaves whose keys are in this node of the tree's last level, except those of check-ins under way. One that no
    /// row uses was left by a crash.
    pub async fn leaves_under(&self, node: KeyPosition) -> Result<Vec<Leaf>> {
        if node.level != tree::path::LAST_LEVEL {
            return Err(VaultError::Refused("leaves are under the last level"));
        }
        self.tree.idle_leaves(node.index).await
    }

    /// The key under a leaf, for reading. `Erased` when there is none. That the leaf is one of the document's, or of a pack
    /// that it uses, is the caller's to know: the proof says only that somebody may read.
    pub async fn opener(&self, _proof: &dyn MayRead, leaf: Leaf) -> Result<Opener> {
        let key = self.tree.key(leaf).await?;
        Ok(Opener::new(Cipher::new(&key)?))
    }

    /// Signs with RSA-PSS, SHA-256 (about 3 ms of one core; call it off the async threads).
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        self.writes()?;
        self.server.sign(message)
    }

    /// The same for a statement of what the keyring holds no more: a vault that only reads knows that too.
    pub fn attest(&self, statement: &[u8]) -> Result<Vec<u8>> {
        self.server.sign(statement)
    }

    /// Checks a record's signature with the server's public key, then with those that it had before.
    pub fn verify(&self, record: &VersionRecord, signature: &[u8]) -> bool {
        let record = record.encode();
        self.server.verify(&record, signature) || self.retired.verify(&record, signature)
    }

    fn writes(&self) -> Result<()> {
        if self.only_reads { Err(VaultError::Refused("it was opened only to read")) } else { Ok(()) }
    }
}

/// Writes a keyring's bytes over and removes it, so that its medium forgets it as far as that can do it: for a copy, or one
/// that must not be kept.
pub fn discard_keyring(path: &Path) -> Result<()> {
    keyring::discard(path).map_err(|error| keyring::cannot(path, "cannot be removed", &error))
}

/// Bytes of a pack's header.
pub const PACK_HEADER: usize = 48;

/// Bytes that sealing adds to a block.
pub const BLOCK_OVERHEAD: usize = 16;

/// How often [`Vault::open_to_read`] looks at a keyring and a root node that do not fit, and the pause between: longer
/// together than a keyring takes to be replaced.
const LOOKS: u32 = 5;
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// Blocks that a document can have.
const BLOCKS_MAX: u64 = DOCUMENT_MAX / BLOCK_SIZE as u64;

/// A key tree node's first bytes, which stand in the clear.
pub const KEY_NODE_MAGIC: [u8; 8] = tree::node::HEADER;

/// Bytes that a sealed node can have: without any key, and with all of them.
pub const KEY_NODE_LENGTHS: std::ops::RangeInclusive<usize> = tree::node::LENGTHS;

/// The level of the key tree whose nodes hold the leaves.
pub const LEAF_PARENTS: u8 = tree::path::LAST_LEVEL;

/// Where a sealed block stands in its pack, and the most bytes it can have.
pub fn sealed_block(index: u64) -> (u64, usize) {
    let size = BLOCK_SIZE + BLOCK_OVERHEAD;
    (PACK_HEADER as u64 + index * size as u64, size)
}

#[cfg(test)]
mod tests;
