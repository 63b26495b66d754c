//! The keyring file: the wrapped root key, the one thing of a store that must be forgettable. FORMAT.md has its bytes.
//!
//! A keyring that cannot be used is an error that says so and is never written over. Cost of a replacement: four
//! fsyncs (the new file, the folder, and twice the old one's bytes: on file systems that write in place they are gone
//! from the medium too; on others forgetting is the medium's business).

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use sss_common::durable::{self, Access, InPlace, NewFile};
use sss_common::{Epoch, StoreId};

use super::primitives::RSA_OAEP_SHA256_ID;
use super::{Result, VaultError};
use sss_failpoint as failpoint;

const MAGIC: &[u8; 4] = b"3SKR";
const VERSION: u8 = 1;
const CHECKSUM: usize = 32;

/// Longest wrapped key: RSA of 8192 bits.
const WRAPPED_MAX: usize = 1024;

/// Longest keyring; a longer file is none.
const FILE_MAX: u64 = 4096;

/// Of a file that is to be forgotten so many bytes are written over; keyrings and private keys are shorter.
const WRITE_OVER_MAX: u64 = 64 * 1024;

/// A root key, wrapped to the server's public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WrappedRoot {
    /// Counts the root keys that the store has had.
    pub(super) epoch: Epoch,
    /// RSA-OAEP under [`label`].
    pub(super) wrapped: Vec<u8>,
}

/// The keyring's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keyring {
    /// Which store it belongs to.
    pub(super) store: StoreId,
    /// The root key in force.
    pub(super) current: WrappedRoot,
    /// The root key that an erasure under way is moving to.
    pub(super) next: Option<WrappedRoot>,
}

/// What a wrapped root key is bound to.
pub(super) fn label(store: &StoreId, epoch: Epoch) -> Vec<u8> {
    [&MAGIC[..], &[VERSION, RSA_OAEP_SHA256_ID, 0, 0], store.as_bytes(), &epoch.0.to_be_bytes()].concat()
}

/// Why bytes are no keyring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("this is not a keyring")]
    Foreign,
    #[error("the keyring has format {0}, made by a newer 3s-server")]
    Newer(u8),
    #[error("the keyring is damaged or half-written")]
    Damaged,
}

impl Unreadable {
    fn way_on(self) -> &'static str {
        match self {
            Unreadable::Foreign => "name the right file with --keyring FILE, or put it back in this place",
            Unreadable::Newer(_) => "run the 3s-server that last used this store, or a newer one",
            Unreadable::Damaged => {
                "put back an intact copy of the latest keyring; a store whose init was cut short has no data: remove it \
                 and run `3s-server init` again"
            }
        }
    }
}

impl Keyring {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[VERSION, RSA_OAEP_SHA256_ID, self.next.is_some().into(), 0]);
        out.extend_from_slice(self.store.as_bytes());
        for root in std::iter::once(&self.current).chain(&self.next) {
            out.extend_from_slice(&root.epoch.0.to_be_bytes());
            // A wrapped key is as long as the RSA modulus.
            out.extend_from_slice(&u16::try_from(root.wrapped.len()).unwrap_or(u16::MAX).to_be_bytes());
            out.extend_from_slice(&root.wrapped);
        }
        let checksum = Sha256::digest(&out);
        out.extend_from_slice(&checksum);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> std::result::Result<Self, Unreadable> {
        let Some((MAGIC, rest)) = bytes.split_first_chunk() else { return Err(Unreadable::Foreign) };
        match rest.first() {
            Some(&VERSION) => {}
            Some(&newer) if newer > VERSION => return Err(Unreadable::Newer(newer)),
            _ => return Err(Unreadable::Damaged),
        }
        let (body, checksum) = bytes.split_last_chunk::<CHECKSUM>().ok_or(Unreadable::Damaged)?;
        if Sha256::digest(body)[..] != checksum[..] {
            return Err(Unreadable::Damaged);
        }
        Self::decode_body(body).ok_or(Unreadable::Damaged)
    }

    fn decode_body(body: &[u8]) -> Option<Self> {
        let (header, rest) = body.split_first_chunk::<8>()?;
        let [_, _, _, _, _, RSA_OAEP_SHA256_ID, next @ 0..=1, 0] = *header else { return None };
        let (store, mut rest) = rest.split_first_chunk::<16>()?;
        let current = take_root(&mut rest)?;
        let next = if next == 1 { Some(take_root(&mut rest)?) } else { None };
        rest.is_empty().then_some(Keyring { store: StoreId(*store), current, next })
    }
}

fn take_root(rest: &mut &[u8]) -> Option<WrappedRoot> {
    let (epoch, tail) = rest.split_first_chunk::<8>()?;
    let (length, tail) = tail.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (wrapped, tail) = tail.split_at_checked(length).filter(|_| (1..=WRAPPED_MAX).contains(&length))?;
    *rest = tail;
    Some(WrappedRoot { epoch: Epoch(u64::from_be_bytes(*epoch)), wrapped: wrapped.to_vec() })
}

/// Reads a keyring.
pub(super) fn read(path: &Path) -> Result<Keyring> {
    let bytes = match std::fs::metadata(path) {
        Ok(meta) if meta.len() > FILE_MAX => Err(Unreadable::Foreign),
        Ok(_) => Ok(std::fs::read(path).map_err(|e| cannot(path, "cannot be read", &e))?),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Err(unusable(
                path,
                "the keyring is missing",
                "put it back, or name it with --keyring FILE; without it nothing in this store can be opened",
            ));
        }
        Err(e) => return Err(cannot(path, "cannot be read", &e)),
    };
    let keyring = bytes.and_then(|bytes| Keyring::decode(&bytes));
    keyring.map_err(|why| unusable(path, &why.to_string(), why.way_on()))
}

/// Writes a store's first keyring; refuses where a file is.
pub(super) fn create(path: &Path, keyring: &Keyring) -> Result<()> {
    InPlace::create(path, &keyring.encode(), Access::Secret).map_err(|e| cannot_create(path, &e.cause))
}

/// Replaces a keyring: when it returns, the new one is durable and the old one's bytes are written over. After a
/// crash the path holds the one or the other, whole.
pub(super) fn replace(path: &Path, keyring: &Keyring) -> Result<()> {
    let failed = |e: std::io::Error| cannot(path, "cannot be written", &e);
    let not_durable = |e: durable::Failed| failed(e.cause);
    let new = beside(path);
    discard(&new).and_then(|()| forget_old(path)).map_err(failed)?;
    let old = OpenOptions::new().write(true).open(path).map_err(failed)?;
    // A second name, so that a crash behind the rename leaves something to be found and written over. Where the file system
    // has none, such a crash leaves the old bytes in its free space.
    let named = std::fs::hard_link(path, old_name(path)).is_ok();
    // What a crash leaves of it is written over by the next replacement.
    let mut file = NewFile::named(&new, path, Access::Secret).map_err(not_durable)?;
    keep_owner(file.file(), path);
    file.write(&keyring.encode()).map_err(not_durable)?;
    let written = file.sync().map_err(not_durable)?;
    failpoint::at("keyring.written");
    let renamed = written.replace().map_err(not_durable)?;
    failpoint::at("keyring.renamed");
    renamed.settle().map_err(not_durable)?;
    failpoint::at("keyring.durable");
    let forgotten = if named { discard(&old_name(path)) } else { write_over(old) };
    forgotten.map_err(failed)
}

/// Sees to the old keyring of a replacement that a crash or an error cut short: writes its bytes over. Before the rename it
/// is the keyring in force by its second name, which just goes.
pub(super) fn forget_old(path: &Path) -> std::io::Result<()> {
    let old = old_name(path);
    let place = |path: &Path| std::fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()));
    match (place(&old), place(path)) {
        (Err(error), _) if error.kind() == ErrorKind::NotFound => Ok(()),
        (Ok(old_place), Ok(current)) if old_place == current => std::fs::remove_file(&old),
        (Ok(_), Ok(_)) => discard(&old),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

fn old_name(path: &Path) -> PathBuf {
    with_end(path, ".old")
}

/// What takes a file's place belongs to whom the file did, also when root runs the command; who may not give it away
/// need not.
pub(super) fn keep_owner(new: &File, like: &Path) {
    use rustix::fs::{Gid, Uid, fchown};
    if let Ok(meta) = std::fs::metadata(like) {
        let _ = fchown(new, Some(Uid::from_raw(meta.uid())), Some(Gid::from_raw(meta.gid())));
    }
}

/// Writes over a secret file that is no longer needed and removes it: what a replacement left that a crash cut short, a
/// copy, a private key that was replaced. One that is not there is passed over; of a link, or what else is no file, the name goes
/// and nothing more: its target was never ours.
pub(super) fn discard(path: &Path) -> std::io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(there) if there.is_file() => {}
        Ok(_) => return std::fs::remove_file(path),
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    }
    // Neither follows a link that has just come there, nor waits for who reads a pipe.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().write(true).custom_flags(flags).open(path)?;
    write_over(file).and_then(|()| std::fs::remove_file(path))
}

/// Best effort: see the module's head. The pattern, then zeroes, so that the medium has two chances.
pub(super) fn write_over(mut file: File) -> std::io::Result<()> {
    use std::io::Seek;
    if failpoint::is_skipped("overwriting") {
        return Ok(());
    }
    let length = usize::try_from(file.metadata()?.len().min(WRITE_OVER_MAX)).unwrap_or(0);
    for byte in [0xff, 0] {
        file.rewind()?;
        file.write_all(&vec![byte; length])?;
        file.sync_data()?;
    }
    Ok(())
}

/// Where what replaces a file is written.
pub(super) fn beside(path: &Path) -> PathBuf {
    with_end(path, ".new")
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(end);
    path.with_file_name(name)
}

/// An error of two lines: what is wrong with which file, and the way on.
pub(super) fn unusable(path: &Path, what: &str, way_on: &str) -> VaultError {
    VaultError::Keys(format!("{}: {what}\n  {way_on}", path.display()))
}

/// The operating system's refusal.
pub(super) fn cannot(path: &Path, what: &str, error: &std::io::Error) -> VaultError {
    let way_on =
        "see that the file and its folder belong to the user that runs 3s-server, and that the disk has room";
    unusable(path, &format!("{what}: {error}"), way_on)
}

/// The same for a file that must be new.
pub(super) fn cannot_create(path: &Path, error: &std::io::Error) -> VaultError {
    if error.kind() == ErrorKind::AlreadyExists {
        unusable(path, "exists already", "choose an empty data directory; `init` writes over nothing")
    } else {
        cannot(path, "cannot be created", error)
    }
}

#[cfg(test)]
mod tests;
