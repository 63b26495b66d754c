//! Erasing: the keyring file and the key tree move to a new root key together, in two phases.
//!
//! ```text
//! 1. begin_erase    keyring: old and next root      durable before anything is sealed under next
//! 2. (the store)    the images, in one transaction  the tree as seen from next, without the leaves
//! 3. finish_erase   keyring: next only              the old root, and all that only it opens, is noise
//! ```
//!
//! After a crash the stored root node opens under one of the keyring's roots and says which half is left: under the old
//! one, phase 2 did not happen and next is dropped; under next, it did, and the old one is dropped.
//!
//! Reads, check-ins and commits go on all the while and wait for nothing: a commit that falls between 1 and 3
//! carries the erasure's images with its own (see `tree::state`). One erasure is under way at a time.
//! Cost: the keyring is replaced twice (four fsyncs each, off the async threads) and the store commits once,
//! however many leaves there are; each distinct node on their paths is sealed once.

use std::path::{Path, PathBuf};

use aws_lc_rs::rsa::PrivateDecryptingKey;
use tokio::sync::OwnedMutexGuard;

use sss_common::{Epoch, StoreId};

use super::keyring::{self, Keyring, WrappedRoot};
use super::primitives::{unwrap, wrap};
use super::secrets::SecretKey;
use super::server_key::ServerKey;
use super::tree::ErasureImages;
use super::tree::node::KeyNode;
use super::{Result, Vault, VaultError};
use crate::sealed::{KeyImage, Leaf};

/// The keyring and where it lies. Memory is never ahead of the disk.
pub(super) struct KeyringFile {
    path: PathBuf,
    keyring: Keyring,
}

impl KeyringFile {
    pub(super) fn new(path: PathBuf, keyring: Keyring) -> Self {
        KeyringFile { path, keyring }
    }

    /// The root keys as they are on disk.
    pub(super) fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    pub(super) fn replace(&mut self, keyring: Keyring) -> Result<()> {
        keyring::replace(&self.path, &keyring)?;
        self.keyring = keyring;
        Ok(())
    }
}

pub(super) type Guard = OwnedMutexGuard<KeyringFile>;

/// An erasure between its two halves: commit [`Erasing::images`] with [`Erasing::leaves`], then hand it
/// to [`Vault::finish_erase`]. If it is dropped instead, nothing is lost: the leaves are gone for this process, later
/// commits carry the images, and the next [`Vault::begin_erase`] gives the same leaves again until they are settled.
pub struct Erasing {
    images: ErasureImages,
    keyring: Guard,
}

impl Erasing {
    /// The leaves that it erases: the first of those that were asked for, as many as fit; or those of an earlier
    /// erasure whose end is not known. Take these, and no others, off the queue.
    pub fn leaves(&self) -> &[Leaf] {
        &self.images.leaves
    }

    /// The root key that the store is at with this erasure.
    pub fn epoch(&self) -> Epoch {
        self.images.epoch
    }

    /// What the same transaction must write.
    pub fn images(&self) -> Vec<KeyImage> {
        self.images.images.clone()
    }
}

impl Vault {
    /// Erases the first of these leaves, as many as fit in one go ([`Erasing::leaves`]): phase 1. From here on they
    /// cannot be opened by this process; forgotten they are after [`Vault::finish_erase`].
    pub async fn begin_erase(&self, leaves: &[Leaf]) -> Result<Erasing> {
        self.writes()?;
        let keyring = self.keyring.clone().lock_owned().await;
        if let Some(images) = self.tree.staged()? {
            return Ok(Erasing { images, keyring });
        }
        let keyring = self.drop_old(keyring).await?;
        let held = self.tree.hold(leaves).await?;
        let root = SecretKey::random()?;
        let epoch = keyring.keyring.current.epoch.next();
        let next = wrap_root(&self.server, &self.store, epoch, &root)?;
        let keyring = write(keyring, move |keyring| Keyring { next: Some(next), ..keyring }).await?;
        let images = self.tree.stage(epoch, &root, held)?;
        Ok(Erasing { images, keyring })
    }

    /// The erasure's transaction is durable: the keyring drops the old root. When this returns, the leaves are forgotten,
    /// as far as the keyring's medium forgets. After an error the next erasure tries again.
    pub async fn finish_erase(&self, erasing: Erasing) -> Result<()> {
        self.tree.settle(&erasing.images);
        self.drop_old(erasing.keyring).await.map(drop)
    }

    /// The root key that the keyring holds, by its epoch: what was erased at this one or before is forgotten. The next root
    /// of an erasure under way does not count.
    pub async fn forgotten_before(&self) -> Epoch {
        self.keyring.lock().await.keyring.current.epoch
    }

    /// Phase 3 of an erasure whose end failed, if there is one: nothing when the keyring holds one root.
    pub async fn forget_old(&self) -> Result<()> {
        self.writes()?;
        let keyring = self.keyring.clone().lock_owned().await;
        self.drop_old(keyring).await.map(drop)
    }

    /// Phase 3, if the store is at the keyring's next root: a check-in may have carried an erasure there whose own
    /// end nobody told. A next root that the store is not at was never used (phase 1 broke off) and may be replaced.
    pub(super) async fn drop_old(&self, keyring: Guard) -> Result<Guard> {
        let at = self.tree.epoch();
        match keyring.keyring.next.clone().filter(|next| next.epoch == at) {
            Some(current) => write(keyring, |keyring| Keyring { current, next: None, ..keyring }).await,
            None => Ok(keyring),
        }
    }
}

/// Replaces the file off the async threads. The lock goes along: a caller that gives up leaves no second writer behind.
async fn write(
    mut keyring: Guard,
    change: impl FnOnce(Keyring) -> Keyring + Send + 'static,
) -> Result<Guard> {
    let written = tokio::task::spawn_blocking(move || {
        let changed = change(keyring.keyring.clone());
        keyring.replace(changed).map(|()| keyring)
    });
    written.await.map_err(|_| VaultError::Refused("the keyring's writer was stopped"))?
}

/// Wraps a root key to the server's public key, bound to its store and epoch.
pub(super) fn wrap_root(
    server: &ServerKey,
    store: &StoreId,
    epoch: Epoch,
    root: &SecretKey,
) -> Result<WrappedRoot> {
    let wrapped = wrap(server.wrapping(), &keyring::label(store, epoch), root)?;
    Ok(WrappedRoot { epoch, wrapped })
}

/// A root key of the keyring, unwrapped.
pub(super) type Root = (WrappedRoot, SecretKey);

/// Unwraps a root key; `None` if it was wrapped to another server key.
pub(super) fn unwrap_root(with: &PrivateDecryptingKey, store: &StoreId, root: &WrappedRoot) -> Option<Root> {
    let key = unwrap(with, &keyring::label(store, root.epoch), &root.wrapped)?;
    Some((root.clone(), key))
}

/// Finds out which of these roots the store is at. Returns it with the tree's root node.
pub(super) fn find_root(
    roots: Vec<Root>,
    store: &StoreId,
    image: Option<&KeyImage>,
    last_leaf: Option<Leaf>,
) -> Option<(WrappedRoot, KeyNode)> {
    match image {
        // Nothing was ever stored, or it is gone.
        None if last_leaf.is_none() => {
            roots.into_iter().next().map(|(wrapped, key)| (wrapped, KeyNode::new(&key)))
        }
        None => None,
        Some(image) => roots
            .into_iter()
            .find_map(|(wrapped, key)| Some((wrapped, KeyNode::open(&key, store, image).ok()?))),
    }
}

/// The store is at none of the keyring's roots.
pub(super) fn foreign_tree(path: &Path) -> VaultError {
    let what = "the keyring does not open this store's key tree";
    let way_on = "use the keyring that belongs to this data directory, as it was last written: a database restored from \
                  before the last deletion cannot be opened, by design";
    keyring::unusable(path, what, way_on)
}

/// Finishes an erasure: the keyring keeps the root that the store is at. Nothing is written if it has no other.
pub(super) fn settle(path: &Path, keyring: &Keyring, current: WrappedRoot) -> Result<Keyring> {
    let settled = Keyring { store: keyring.store, current, next: None };
    if settled != *keyring {
        keyring::replace(path, &settled)?;
    }
    Ok(settled)
}
