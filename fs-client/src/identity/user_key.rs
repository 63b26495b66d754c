//! The user's key, as what it is needed for: signing.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PSS_SHA256, RsaKeyPair};
use rsa::RsaPrivateKey;
use rsa::pkcs8::EncodePrivateKey;

/// A user's private key. aws-lc-rs signs with it, in constant time: a server asks for a signature as often as it likes and may
/// time the answers. It wipes the key when it is dropped.
pub struct UserKey(RsaKeyPair);

impl UserKey {
    /// Takes over a key that was read and found good; `None` when its numbers do not belong together.
    pub(super) fn new(key: &RsaPrivateKey) -> Option<Self> {
        let pkcs8 = key.to_pkcs8_der().ok()?;
        RsaKeyPair::from_pkcs8(pkcs8.as_bytes()).ok().map(UserKey)
    }

    /// RSA-PSS, SHA-256, MGF1-SHA-256, salt of 32 bytes; see [`sss_common::login::verify`]. `None` when there is no
    /// randomness to be had.
    pub fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(&RSA_PSS_SHA256, &SystemRandom::new(), message, &mut signature).ok()?;
        Some(signature)
    }
}
