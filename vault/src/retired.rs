//! `retired.pub`: the public keys that the server had before the one in use, PEM, oldest first.
//!
//! What they signed stays good. The file is read at start-up (some microseconds for each key) and grows by one key with each
//! rotation: written beside, two fsyncs, renamed. One that is damaged is refused and never written over.

use std::io::ErrorKind;
use std::path::Path;

use aws_lc_rs::rsa::PublicEncryptingKey;
use rsa::pkcs8::{Document, LineEnding};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;

use sss_common::durable::{Access, NewFile};

use super::keyring::{beside, cannot, unusable};
use super::server_key::{BITS_MIN, PUBLIC_LABEL, is_signed_by};
use super::{Result, VaultError};

/// Most keys that are kept: a signature is tried with each, and clients are given all of them.
pub(super) const RETIRED_MAX: usize = 64;

/// Longest file: so many keys of 8192 bits.
const FILE_MAX: u64 = 128 * 1024;

/// The keys in the file.
#[derive(Default)]
pub(super) struct Retired(Vec<RetiredKey>);

struct RetiredKey {
    pem: String,
    spki: Vec<u8>,
}

impl Retired {
    /// Reads the file; none where there is none.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let bytes = match std::fs::metadata(path) {
            Ok(meta) if meta.len() > FILE_MAX => Vec::new(),
            Ok(_) => std::fs::read(path).map_err(|e| cannot(path, "cannot be read", &e))?,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Retired::default()),
            Err(e) => return Err(cannot(path, "cannot be read", &e)),
        };
        let what = format!(
            "this is not a list of 1 to {RETIRED_MAX} RSA public keys (PEM, {BITS_MIN} bits or more)"
        );
        let way_on = "put it back from a backup, or take out what is damaged (the file, if no key is left); documents that \
                      were signed with a key that is missing cannot be checked out";
        Self::parse(&bytes).ok_or_else(|| unusable(path, &what, way_on))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let keys = SubjectPublicKeyInfoDer::pem_slice_iter(bytes).take(RETIRED_MAX + 1);
        let keys = keys.map(|key| RetiredKey::new(key.ok()?.as_ref())).collect::<Option<Vec<_>>>()?;
        // Nothing but the keys: a block whose first line is damaged must not be passed over.
        let letters = |text: &str| text.split_whitespace().collect::<String>();
        let whole = keys.iter().map(|key| letters(&key.pem)).collect::<String>() == letters(text);
        ((1..=RETIRED_MAX).contains(&keys.len()) && whole).then_some(Retired(keys))
    }

    /// Adds a key to the file; one that is there already is not added again.
    pub(super) fn add(path: &Path, pem: &str) -> Result<()> {
        let mut retired = Self::read(path)?;
        if retired.has(pem) {
            return Ok(());
        }
        retired.check_room(path)?;
        retired.take(pem)?;
        let text: String = retired.pems().rev().collect();
        replace_public(path, &text)
    }

    /// Adds a key in memory only.
    pub(super) fn take(&mut self, pem: &str) -> Result<()> {
        if !self.has(pem) {
            self.0.push(RetiredKey::from_pem(pem).ok_or(VaultError::Refused("a key's encoding"))?);
        }
        Ok(())
    }

    fn has(&self, pem: &str) -> bool {
        self.0.iter().any(|key| key.pem == pem)
    }

    /// An error if the file is full.
    pub(super) fn check_room(&self, path: &Path) -> Result<()> {
        if self.0.len() < RETIRED_MAX {
            return Ok(());
        }
        let what = format!("holds {RETIRED_MAX} keys, which is the most");
        let way_on = "take out the oldest, once every document that was signed with it was checked in again";
        Err(unusable(path, &what, way_on))
    }

    /// The keys as PEM, newest first.
    pub(super) fn pems(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.iter().rev().map(|key| &*key.pem)
    }

    /// Whether a signature is by any of them; some 50 microseconds for each that is tried, newest first.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.iter().rev().any(|key| is_signed_by(&key.spki, message, signature))
    }
}

impl RetiredKey {
    fn from_pem(pem: &str) -> Option<Self> {
        let (label, document) = Document::from_pem(pem).ok()?;
        Self::new(document.as_bytes()).filter(|_| label == PUBLIC_LABEL)
    }

    fn new(spki: &[u8]) -> Option<Self> {
        PublicEncryptingKey::from_der(spki).ok().filter(|key| key.key_size_bits() >= BITS_MIN)?;
        let pem = Document::try_from(spki).ok()?.to_pem(PUBLIC_LABEL, LineEnding::LF).ok()?;
        Some(RetiredKey { pem, spki: spki.to_vec() })
    }
}

/// Puts a public file in the place of another. After a crash the path holds the one or the other, whole.
pub(super) fn replace_public(path: &Path, text: &str) -> Result<()> {
    // Under a fixed name, so that a rotation finds what a crash left of it.
    let replaced = NewFile::named(&beside(path), path, Access::Public).and_then(|mut file| {
        file.write(text.as_bytes())?;
        file.sync()?.replace()?.settle()
    });
    replaced.map_err(|e| cannot(path, "cannot be written", &e.cause))
}

#[cfg(test)]
mod tests;
