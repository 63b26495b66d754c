//! Keys in memory: wiped when they go, never shown, reached through methods whose names warn.
//!
//! Not covered: what the cipher library keeps of a key schedule while a sealer or opener lives (it wipes its heap on
//! free), pages that the kernel swaps out, core dumps, and whoever can read this process's memory. The unit file
//! forbids core dumps; encrypted swap is the administrator's.

use aws_lc_rs::rand;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{Result, VaultError};

/// Bytes of every symmetric key here.
pub(super) const KEY_BYTES: usize = 32;

/// A symmetric key. On the heap, so that moving it leaves no copy behind.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct SecretKey(Box<[u8; KEY_BYTES]>);

impl SecretKey {
    /// A fresh key from the library's generator, which the operating system's seeds.
    pub(super) fn random() -> Result<Self> {
        let mut key = SecretKey(Box::new([0; KEY_BYTES]));
        rand::fill(&mut *key.0).map_err(|_| VaultError::Refused("the random generator failed"))?;
        Ok(key)
    }

    /// A key from bytes that were exposed; the caller wipes its own copy.
    pub(super) fn from_exposed(bytes: &[u8; KEY_BYTES]) -> Self {
        let mut key = SecretKey(Box::new([0; KEY_BYTES]));
        key.0.copy_from_slice(bytes);
        key
    }

    /// The key itself. What is copied out of here is the caller's to wipe.
    pub(super) fn expose_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}
