//! Where drafts live: in memory up to a budget, then sealed in a spool file.
//!
//! The file is unlinked as soon as it is open and its blocks are sealed with AES-256-GCM (NIST SP 800-38D)
//! under a key that is made for this mount, is held in memory only and wiped with it. The nonce is a counter
//! that never repeats under that key; the slot's number is authenticated, so a block that was moved inside
//! the file does not open. What a crashed client leaves behind is therefore noise, and what a full memory
//! swaps out is not covered here.
//!
//! Writing a block: one seal, one `pwrite` into the page cache, no fsync (nothing outlives the mount).

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use bytes::Bytes;
use parking_lot::Mutex;
use rand::RngCore;
use sss_common::limits::BLOCK_SIZE;
use zeroize::Zeroizing;

/// Room for all drafts of a mount.
pub struct Pool {
    budget: usize,
    used: AtomicUsize,
    folder: PathBuf,
    spool: Mutex<Option<Arc<Spool>>>,
}

impl Pool {
    /// At most about `budget` bytes in memory; the rest in an unlinked file in `folder`.
    pub fn new(budget: usize, folder: impl Into<PathBuf>) -> Arc<Self> {
        Arc::new(Pool { budget, used: 0.into(), folder: folder.into(), spool: Mutex::new(None) })
    }

    /// Whether drafts fill the memory that they may use.
    pub fn is_full(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.budget
    }

    /// Bytes of drafts in memory.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn grew(&self, by: usize) {
        self.used.fetch_add(by, Ordering::Relaxed);
    }

    pub(super) fn shrank(&self, by: usize) {
        self.used.fetch_sub(by, Ordering::Relaxed);
    }

    /// Seals a block into the spool file.
    pub(super) fn seal(&self, block: &[u8]) -> io::Result<Slot> {
        let mut spool = self.spool.lock();
        let spool = match &*spool {
            Some(spool) => spool.clone(),
            None => spool.insert(Arc::new(Spool::create(&self.folder)?)).clone(),
        };
        Spool::seal(&spool, block)
    }
}

struct Spool {
    file: File,
    key: LessSafeKey,
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    next: u64,
    free: Vec<u64>,
    nonce: u64,
}

/// A sealed block in the spool file; its place is free again once this is dropped.
pub(super) struct Slot {
    spool: Arc<Spool>,
    number: u64,
    nonce: u64,
    length: usize,
}

const TAG: usize = 16;
const SLOT: u64 = (BLOCK_SIZE + TAG) as u64;

impl Spool {
    fn create(folder: &Path) -> io::Result<Self> {
        let mut key = Zeroizing::new([0; 32]);
        rand::rngs::OsRng.fill_bytes(&mut *key);
        let key = UnboundKey::new(&AES_256_GCM, &*key).map_err(|_| io::Error::other("no spool key"))?;
        Ok(Spool { file: unlinked(folder)?, key: LessSafeKey::new(key), slots: Mutex::default() })
    }

    fn seal(this: &Arc<Spool>, block: &[u8]) -> io::Result<Slot> {
        debug_assert!(block.len() <= BLOCK_SIZE);
        let (number, nonce) = this.slots.lock().take();
        let slot = Slot { spool: this.clone(), number, nonce, length: block.len() };
        let mut sealed = Vec::with_capacity(block.len() + TAG);
        sealed.extend_from_slice(block);
        this.key
            .seal_in_place_append_tag(slot.nonce(), slot.place(), &mut sealed)
            .map_err(|_| io::Error::other("sealing failed"))?;
        this.file.write_all_at(&sealed, number * SLOT)?;
        Ok(slot)
    }
}

impl Slots {
    fn take(&mut self) -> (u64, u64) {
        self.nonce += 1;
        let number = self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        (number, self.nonce)
    }
}

impl Slot {
    /// The block's bytes.
    pub(super) fn open(&self) -> io::Result<Bytes> {
        let mut sealed = vec![0; self.length + TAG];
        self.spool.file.read_exact_at(&mut sealed, self.number * SLOT)?;
        let plain = self
            .spool
            .key
            .open_in_place(self.nonce(), self.place(), &mut sealed)
            .map_err(|_| io::Error::other("a block of the spool file was changed by someone else"))?
            .len();
        sealed.truncate(plain);
        Ok(sealed.into())
    }

    fn nonce(&self) -> Nonce {
        let mut bytes = [0; NONCE_LEN];
        bytes[4..].copy_from_slice(&self.nonce.to_be_bytes());
        Nonce::assume_unique_for_key(bytes)
    }

    fn place(&self) -> Aad<[u8; 8]> {
        Aad::from(self.number.to_be_bytes())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.spool.slots.lock().free.push(self.number);
    }
}

/// A file that only this process reaches: created exclusively with mode 0600 and unlinked at once.
fn unlinked(folder: &Path) -> io::Result<File> {
    let mut name = [0; 8];
    rand::rngs::OsRng.fill_bytes(&mut name);
    let path = folder.join(format!(".3s-spool-{:016x}", u64::from_be_bytes(name)));
    let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn file_bytes(pool: &Pool) -> Vec<u8> {
        let spool = pool.spool.lock().clone().unwrap();
        let mut bytes = vec![0; spool.file.metadata().unwrap().len() as usize];
        spool.file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn blocks_come_back_and_no_plaintext_is_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let pool = Pool::new(0, folder.path());
        let secret = b"the plan for the takeover".repeat(100);
        let slots: Vec<Slot> = (0..3).map(|_| pool.seal(&secret).unwrap()).collect();
        assert!(slots.iter().all(|slot| slot.open().unwrap() == secret));
        assert!(!file_bytes(&pool).windows(8).any(|window| window == &secret[..8]));
        assert_eq!(folder.path().read_dir().unwrap().count(), 0, "the file has no name");
    }

    #[test]
    fn a_changed_or_moved_block_does_not_open() {
        let folder = tempfile::tempdir().unwrap();
        let pool = Pool::new(0, folder.path());
        let (one, two) = (pool.seal(&[1; 100]).unwrap(), pool.seal(&[2; 100]).unwrap());
        let spool = pool.spool.lock().clone().unwrap();
        let mut sealed = vec![0; 116];
        spool.file.read_exact_at(&mut sealed, 0).unwrap();
        spool.file.write_all_at(&sealed, SLOT).unwrap();
        assert!(two.open().is_err(), "moved");
        sealed[5] ^= 1;
        spool.file.write_all_at(&sealed, 0).unwrap();
        assert!(one.open().is_err(), "changed");
    }

    #[test]
    fn places_are_used_again_and_nonces_never() {
        let folder = tempfile::tempdir().unwrap();
        let pool = Pool::new(0, folder.path());
        let first = pool.seal(&[1; 10]).unwrap();
        let (number, nonce) = (first.number, first.nonce);
        drop(first);
        let second = pool.seal(&[1; 10]).unwrap();
        assert_eq!(second.number, number);
        assert_ne!(second.nonce, nonce);
    }
}
