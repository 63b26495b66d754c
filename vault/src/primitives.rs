//! The primitives, each by its definition, with why its nonce is safe. What they seal is FORMAT.md's business.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
    PublicEncryptingKey,
};
use zeroize::Zeroizing;

use super::secrets::{KEY_BYTES, SecretKey};
use super::{Result, VaultError};

/// The algorithm id in headers: AES-256-GCM-SIV, RFC 8452.
pub(super) const AES_256_GCM_SIV_ID: u8 = 1;

/// The algorithm id in keyrings: RSAES-OAEP with SHA-256 and MGF1-SHA-256, RFC 8017, section 7.1.
pub(super) const RSA_OAEP_SHA256_ID: u8 = 1;

/// Bytes of an authentication tag.
pub(super) const TAG_BYTES: usize = 16;

/// Bytes of a nonce.
pub(super) const NONCE_BYTES: usize = NONCE_LEN;

/// Of the nonces under a pack key, the first byte says what is sealed: these are for blocks, numbered.
const BLOCK_DOMAIN: u8 = 0;

/// And these are for records, random.
const RECORD_DOMAIN: u8 = 1;

/// AES-256-GCM-SIV (RFC 8452) under one key.
///
/// Cost: the key schedule is made once, in [`Cipher::new`] (under a microsecond); sealing and opening work in place.
pub(super) struct Cipher(LessSafeKey);

impl Cipher {
    pub(super) fn new(key: &SecretKey) -> Result<Self> {
        let key = UnboundKey::new(&AES_256_GCM_SIV, key.expose_bytes());
        key.map(|key| Cipher(LessSafeKey::new(key)))
            .map_err(|_| VaultError::Refused("a key of a wrong length"))
    }

    /// Seals `out[from..]` in place and appends the tag.
    pub(super) fn seal(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        out: &mut Vec<u8>,
        from: usize,
    ) -> Result<()> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = self.0.seal_in_place_separate_tag(nonce, Aad::from(aad), &mut out[from..]);
        match sealed {
            Ok(tag) => {
                out.extend_from_slice(tag.as_ref());
                Ok(())
            }
            Err(_) => {
                // Plaintext must not stay where the caller takes it for sealed.
                out.truncate(from);
                Err(VaultError::Refused("sealing failed"))
            }
        }
    }

    /// Opens ciphertext and tag in place; the plaintext's length, or `None` if they do not verify.
    pub(super) fn open(&self, nonce: [u8; NONCE_BYTES], aad: &[u8], sealed: &mut [u8]) -> Option<usize> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0.open_in_place(nonce, Aad::from(aad), sealed).ok().map(|plain| plain.len())
    }
}

/// A block's nonce: its index, in the domain of blocks. Safe: a pack key is fresh for every check-in, a sealer seals
/// each index once and counts for itself, and the first byte keeps records apart.
pub(super) fn block_nonce(index: u64) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    nonce[0] = BLOCK_DOMAIN;
    nonce[4..].copy_from_slice(&index.to_be_bytes());
    nonce
}

/// A record's nonce: 88 random bits in the domain of records. Safe: a pack key seals one record, or a few when
/// a check-in is tried again; should two ever meet, GCM-SIV shows only whether they were equal.
pub(super) fn record_nonce() -> Result<[u8; NONCE_BYTES]> {
    let mut nonce = random_nonce()?;
    nonce[0] = RECORD_DOMAIN;
    Ok(nonce)
}

/// Whether a nonce that was read belongs to the domain of records.
pub(super) fn is_record_nonce(nonce: &[u8; NONCE_BYTES]) -> bool {
    nonce[0] == RECORD_DOMAIN
}

/// 96 random bits, for key tree nodes. Safe: a node's key seals a few images for each of its 64 slots, so even
/// 2^20 images of one node collide with probability 2^-57, and GCM-SIV would then show only whether two were equal.
pub(super) fn random_nonce() -> Result<[u8; NONCE_BYTES]> {
    let mut nonce = [0; NONCE_BYTES];
    rand::fill(&mut nonce).map_err(|_| VaultError::Refused("the random generator failed"))?;
    Ok(nonce)
}

/// RSAES-OAEP, SHA-256, to the server's public key. The label binds the wrapped key to its place.
pub(super) fn wrap(to: &PublicEncryptingKey, label: &[u8], key: &SecretKey) -> Result<Vec<u8>> {
    let failed = |_| VaultError::Refused("wrapping failed");
    let to = OaepPublicEncryptingKey::new(to.clone()).map_err(failed)?;
    let mut wrapped = vec![0; to.ciphertext_size()];
    let length = to
        .encrypt(&OAEP_SHA256_MGF1SHA256, key.expose_bytes(), &mut wrapped, Some(label))
        .map_err(failed)?
        .len();
    wrapped.truncate(length);
    Ok(wrapped)
}

/// The inverse of [`wrap`]; `None` for another key's or another label's. About 3 ms, at start-up only.
pub(super) fn unwrap(with: &PrivateDecryptingKey, label: &[u8], wrapped: &[u8]) -> Option<SecretKey> {
    let with = OaepPrivateDecryptingKey::new(with.clone()).ok()?;
    let mut plain = Zeroizing::new(vec![0; with.min_output_size()]);
    let key = with.decrypt(&OAEP_SHA256_MGF1SHA256, wrapped, &mut plain, Some(label)).ok()?;
    let key: &[u8; KEY_BYTES] = (&*key).try_into().ok()?;
    Some(SecretKey::from_exposed(key))
}

#[cfg(test)]
mod tests;
