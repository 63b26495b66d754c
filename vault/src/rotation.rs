//! Rotating the server's key: a new RSA pair takes over, and packs are not touched.
//!
//! It is an erasure of no leaves whose next root is wrapped to the new key:
//!
//! ```text
//! 1. begin_rotation  keyring: old root (old key) and a fresh next one (new key); then server.key.new, server.pub.new
//! 2. (the store)     the next leaf's path, root node first, under fresh keys, in one transaction
//! 3. finish          old public key into retired.pub; server.pub, then server.key replaced; the old private key's bytes
//!                    written over; keyring: next only
//! ```
//!
//! The next root that `server.key` does not unwrap is what says that a rotation is under way, so it is written first and
//! dropped last: whatever stands beside `server.key` under a rotation's names while the keyring says so is the rotation's, and is
//! somebody else's while it does not (then a rotation refuses to begin). After a crash the stored root node says which
//! half is left, as for an erasure: under the old root, all is undone; under the next one, phase 3 is gone through
//! again, and each of its steps may have happened.
//!
//! The whole path of the next leaf gets fresh keys, and what check-ins that never were committed left behind it is taken
//! out, so that every later leaf comes under nodes whose keys are in no older image: the old key, with an old keyring and an
//! old copy of the database, leads to nothing that is checked in from now on.
//!
//! Cost: making the key (a second), some 25 fsyncs, one transaction of six nodes, however large the store is. It
//! blocks its thread: nothing else uses the vault meanwhile.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use aws_lc_rs::rsa::PrivateDecryptingKey;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use sss_common::Epoch;
use sss_common::durable::{self, Access};

use super::erasing::{Guard, Root, find_root, foreign_tree, settle, unwrap_root, wrap_root};
use super::keyring::{self, Keyring, WrappedRoot, beside, cannot, unusable};
use super::retired::{Retired, replace_public};
use super::secrets::SecretKey;
use super::server_key::{ServerKey, check_public, write_new};
use super::tree::ErasureImages;
use super::tree::node::KeyNode;
use super::{Result, Vault, VaultError, VaultPaths};
use crate::sealed::{KeyImage, Leaf};
use sss_failpoint as failpoint;

/// What start-up found of a rotation that a crash cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupted {
    /// It had not reached the store: the old key stays.
    Undone,
    /// It had: the new key is in use.
    Finished,
}

/// A rotation between its two halves: commit [`Rotating::images`], then [`Rotating::finish`] it. If it is dropped
/// instead, the next [`Vault::open`] undoes or finishes it.
pub struct Rotating {
    vault: Vault,
    new: ServerKey,
    next: WrappedRoot,
    images: ErasureImages,
    keyring: Guard,
}

/// The public keys of a rotation, as [`fingerprint`] has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The key that signed until now.
    pub old: String,
    /// The key that signs from now on.
    pub new: String,
}

/// SHA-256 of a public key's PEM, as `sha256sum server.pub` shows it.
pub fn fingerprint(pem: &str) -> String {
    hex::encode(Sha256::digest(pem))
}

impl Vault {
    /// Phase 1. The server must be stopped; a vault that was opened for nothing else, and that nobody uses afterwards.
    pub async fn begin_rotation(self) -> Result<Rotating> {
        self.writes()?;
        self.check_rotation()?;
        let files = Files::of(&self.paths);
        if self.tree.staged()?.is_some() {
            return Err(VaultError::Refused("a rotation while an erasure is under way"));
        }
        let mut keyring = self.drop_old(self.keyring.clone().lock_owned().await).await?;
        let held = self.tree.hold_next().await?;
        let (new, pem) = ServerKey::generate()?;
        let root = SecretKey::random()?;
        let epoch = keyring.keyring().current.epoch.next();
        let next = wrap_root(&new, &self.store, epoch, &root)?;
        let both = Keyring { next: Some(next.clone()), ..keyring.keyring().clone() };
        keyring.replace(both)?;
        failpoint::at("rotate.keyring");
        write_new(&files.key_new, pem.as_bytes(), Access::Secret)?;
        failpoint::at("rotate.pair");
        write_new(&files.public_new, new.public_pem().as_bytes(), Access::Public)?;
        failpoint::at("rotate.files");
        let images = self.tree.stage(epoch, &root, held)?;
        Ok(Rotating { vault: self, new, next, images, keyring })
    }

    /// An error, before anything was changed, if a file is in a rotation's way or no more keys can be retired.
    pub fn check_rotation(&self) -> Result<()> {
        let files = Files::of(&self.paths);
        files.refuse_strangers()?;
        self.retired.check_room(&files.retired)
    }

    /// What the opening of this vault found of a rotation that was cut short.
    pub fn interrupted_rotation(&self) -> Option<Interrupted> {
        self.interrupted
    }

    /// The key in use and the one before it; `None` if there was none before.
    pub fn last_rotation(&self) -> Option<Rotated> {
        let old = fingerprint(self.retired.pems().next()?);
        Some(Rotated { old, new: fingerprint(self.public_key_pem()) })
    }
}

impl Rotating {
    /// The root key that the store is at with this rotation.
    pub fn epoch(&self) -> Epoch {
        self.images.epoch
    }

    /// What one transaction must write.
    pub fn images(&self) -> Vec<KeyImage> {
        self.images.images.clone()
    }

    /// The images are durable: the new key takes over, and the old one and its root are forgotten.
    pub fn finish(self) -> Result<Rotated> {
        let Rotating { vault, new, next, keyring, .. } = self;
        let old = vault.public_key_pem();
        let rotated = Rotated { old: fingerprint(old), new: fingerprint(new.public_pem()) };
        Files::of(&vault.paths).take_over(Some(old), &new, keyring.keyring(), next)?;
        Ok(rotated)
    }
}

/// A store's keys, open.
pub(super) struct Opened {
    pub(super) server: ServerKey,
    pub(super) retired: Retired,
    /// With one root.
    pub(super) keyring: Keyring,
    pub(super) root: KeyNode,
    pub(super) interrupted: Option<Interrupted>,
}

/// Opens the keyring with the server's key, finds the root key that the store is at, and finishes an erasure or a
/// rotation accordingly.
pub(super) fn recover(
    paths: &VaultPaths,
    keyring: Keyring,
    image: Option<&KeyImage>,
    last_leaf: Option<Leaf>,
) -> Result<Opened> {
    let files = Files::of(paths);
    let Found { server, current, root, half } = files.find(&keyring, image, last_leaf)?;
    let (keyring, interrupted) = match half {
        Half::Neither => {
            server.check_public(&files.public)?;
            (settle(&files.keyring, &keyring, current)?, None)
        }
        Half::First => {
            server.check_public(&files.public)?;
            files.discard_new(&keyring)?;
            (settle(&files.keyring, &keyring, current)?, Some(Interrupted::Undone))
        }
        Half::Second { old } => {
            let keyring = files.take_over(old.as_deref(), &server, &keyring, current)?;
            (keyring, Some(Interrupted::Finished))
        }
    };
    let retired = Retired::read(&files.retired)?;
    Ok(Opened { server, retired, keyring, root, interrupted })
}

/// As [`recover`], but finishes nothing and writes nothing.
pub(super) fn look(
    paths: &VaultPaths,
    keyring: Keyring,
    image: Option<&KeyImage>,
    last_leaf: Option<Leaf>,
) -> Result<Opened> {
    let files = Files::of(paths);
    let Found { server, current, root, half } = files.find(&keyring, image, last_leaf)?;
    let mut retired = Retired::read(&files.retired)?;
    match half {
        Half::Neither => server.check_public(&files.public)?,
        Half::Second { old: Some(old) } => retired.take(&old)?,
        Half::First | Half::Second { old: None } => {}
    }
    let keyring = Keyring { store: keyring.store, current, next: None };
    Ok(Opened { server, retired, keyring, root, interrupted: None })
}

/// The keys that the store is at, and how far a rotation came.
struct Found {
    server: ServerKey,
    current: WrappedRoot,
    root: KeyNode,
    half: Half,
}

/// Which half of a rotation is there.
enum Half {
    /// There was none.
    Neither,
    /// The store has not got it.
    First,
    /// It has; `old` is the old public key, as long as `server.key` is still the old one.
    Second { old: Option<String> },
}

/// The files of a rotation.
struct Files {
    key: PathBuf,
    key_new: PathBuf,
    /// A second name of the old key while the first one passes to the new, so that its bytes can still be written over.
    key_old: PathBuf,
    public: PathBuf,
    public_new: PathBuf,
    retired: PathBuf,
    keyring: PathBuf,
}

impl Files {
    fn of(paths: &VaultPaths) -> Self {
        Files {
            key: paths.server_key.clone(),
            key_new: beside(&paths.server_key),
            key_old: paths.server_key.with_file_name("server.key.old"),
            public: paths.server_pub.clone(),
            public_new: beside(&paths.server_pub),
            retired: retired(paths),
            keyring: paths.keyring.clone(),
        }
    }

    /// Opens the keyring with the server's key, or with the one that a rotation was about to put in its place.
    fn find(&self, keyring: &Keyring, image: Option<&KeyImage>, last_leaf: Option<Leaf>) -> Result<Found> {
        let (server, unwrapping) = ServerKey::read(&self.key)?;
        let store = &keyring.store;
        let current = unwrap_root(&unwrapping, store, &keyring.current);
        let next = keyring.next.as_ref().map(|next| unwrap_root(&unwrapping, store, next));
        let (roots, half) = match (current, next) {
            (Some(current), Some(None)) => {
                return self.find_halfway(server, keyring, current, image, last_leaf);
            }
            (Some(current), next) => {
                (std::iter::once(current).chain(next.flatten()).collect(), Half::Neither)
            }
            (None, Some(Some(next))) => (vec![next], Half::Second { old: None }),
            (None, _) => {
                let other = "the keyring was made for another server key";
                let way_on = "use the keyring and the server.key that belong to the same store";
                return Err(unusable(&self.keyring, other, way_on));
            }
        };
        let found = find_root(roots, store, image, last_leaf);
        let (current, root) = found.ok_or_else(|| foreign_tree(&self.keyring))?;
        Ok(Found { server, current, root, half })
    }

    /// The same while `server.key` is still the old one.
    fn find_halfway(
        &self,
        old: ServerKey,
        keyring: &Keyring,
        current: Root,
        image: Option<&KeyImage>,
        last_leaf: Option<Leaf>,
    ) -> Result<Found> {
        let was = current.0.epoch;
        let (new, next) = self.new_pair(keyring).unzip();
        let roots = std::iter::once(current).chain(next).collect();
        match (find_root(roots, &keyring.store, image, last_leaf), new) {
            (Some((current, root)), _) if current.epoch == was => {
                Ok(Found { server: old, current, root, half: Half::First })
            }
            (Some((current, root)), Some(new)) => {
                let old = Some(old.public_pem().to_owned());
                Ok(Found { server: new, current, root, half: Half::Second { old } })
            }
            (None, None) => {
                let what =
                    "a rotation of the server's key is under way, and the new key is missing or another";
                let way_on = "put back the server.key.new that `3s-server rotate-key` wrote, or use the keyring that belongs to \
                              this data directory, as it was last written";
                Err(unusable(&self.key_new, what, way_on))
            }
            _ => Err(foreign_tree(&self.keyring)),
        }
    }

    /// An error where a file is in the way: while the keyring speaks of no rotation it is not ours.
    fn refuse_strangers(&self) -> Result<()> {
        let retired_new = beside(&self.retired);
        let ours = [&self.key_new, &self.key_old, &self.public_new, &retired_new];
        let Some(there) = ours.into_iter().find(|path| path.symlink_metadata().is_ok()) else {
            return Ok(());
        };
        let what = "is in the way, and is not from a rotation of this store";
        let way_on = "nothing was changed; move it elsewhere, or delete it if you know that it is of no use, and try again";
        Err(unusable(there, what, way_on))
    }

    /// The new key, if it is the one that the keyring's next root was wrapped to.
    fn new_pair(&self, keyring: &Keyring) -> Option<(ServerKey, Root)> {
        let (new, unwrapping): (ServerKey, PrivateDecryptingKey) = ServerKey::read(&self.key_new).ok()?;
        let next = unwrap_root(&unwrapping, &keyring.store, keyring.next.as_ref()?)?;
        Some((new, next))
    }

    /// Undoes phase 1.
    fn discard_new(&self, keyring: &Keyring) -> Result<()> {
        // A whole key that the keyring does not know was put there by somebody.
        if self.new_pair(keyring).is_some() || ServerKey::read(&self.key_new).is_err() {
            let failed = |e: std::io::Error| cannot(&self.key_new, "cannot be removed", &e);
            if is_remnant(&self.key_new, PRIVATE_HEAD).map_err(failed)? {
                keyring::discard(&self.key_new).map_err(failed)?;
            }
        }
        let failed = |e: std::io::Error| cannot(&self.public_new, "cannot be removed", &e);
        if is_remnant(&self.public_new, PUBLIC_HEAD).map_err(failed)? {
            std::fs::remove_file(&self.public_new).map_err(failed)?;
        }
        durable::sync_folder_of(&self.key).map_err(|e| failed(e.cause))
    }

    /// Phase 3; every step may have happened before. `old` is the old public key while `server.key` is the old one; without
    /// it, both the retiring and the renaming of `server.key` are done. Returns the keyring as it is then.
    fn take_over(
        &self,
        old: Option<&str>,
        new: &ServerKey,
        keyring: &Keyring,
        next: WrappedRoot,
    ) -> Result<Keyring> {
        // What is neither the old public key nor the new one is not written over.
        let retired = Retired::read(&self.retired)?;
        let known: Vec<&str> =
            std::iter::once(new.public_pem()).chain(old.or(retired.pems().next())).collect();
        check_public(&self.public, &known)?;
        if let Some(old) = old {
            Retired::add(&self.retired, old)?;
            failpoint::at("rotate.retired");
        }
        // Also removes the file beside it.
        replace_public(&self.public, new.public_pem())?;
        failpoint::at("rotate.public");
        let failed = |e: std::io::Error| cannot(&self.key, "cannot be replaced", &e);
        if old.is_some() {
            // Not every file system has second names; there a crash in the next moment leaves the old bytes unlinked.
            let bytes = std::fs::OpenOptions::new().write(true).open(&self.key).map_err(failed)?;
            let named = std::fs::hard_link(&self.key, &self.key_old).is_ok();
            durable::rename(&self.key_new, &self.key)
                .and_then(durable::Placed::settle)
                .map_err(|e| failed(e.cause))?;
            if !named {
                keyring::write_over(bytes).map_err(failed)?;
            }
            failpoint::at("rotate.private");
        }
        keyring::discard(&self.key_old).map_err(failed)?;
        durable::sync_folder_of(&self.key).map_err(|e| failed(e.cause))?;
        failpoint::at("rotate.forgotten");
        let settled = settle(&self.keyring, keyring, next)?;
        failpoint::at("rotate.done");
        Ok(settled)
    }
}

const PRIVATE_HEAD: &[u8] = b"-----BEGIN PRIVATE KEY-----\n";
const PUBLIC_HEAD: &[u8] = b"-----BEGIN PUBLIC KEY-----\n";

/// Whether a file is there and can be what a crash left of a key: its beginning, or bytes that were written over.
fn is_remnant(path: &Path, head: &[u8]) -> std::io::Result<bool> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e),
    };
    let blank = bytes.iter().all(|byte| *byte == 0) || bytes.iter().all(|byte| *byte == 0xff);
    Ok(blank || bytes.iter().zip(head).all(|(byte, expected)| byte == expected))
}

/// Where the retired keys lie.
pub(super) fn retired(paths: &VaultPaths) -> PathBuf {
    paths.server_pub.with_file_name("retired.pub")
}
