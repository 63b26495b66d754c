//! The user's key, as what it is needed for: signing.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PSS_SHA256, RsaKeyPair};
use rsa::RsaPrivateKey;
use rsa::pkcs8::EncodePrivateKey;

use super::Locked;

/// A user's private key. aws-lc-rs signs with it, in constant time: a server asks for a signature as often as it likes and may
/// time the answers.
///
/// Between signatures, which are far apart, only its locked bytes are in memory; what aws-lc makes of them for one signature
/// cannot be locked, and aws-lc wipes it when that is made.
pub struct UserKey(Locked);

impl UserKey {
    /// Takes over a key that was read and found good; `None` when its numbers do not belong together.
    pub(super) fn new(key: &RsaPrivateKey) -> Option<Self> {
        let pkcs8 = key.to_pkcs8_der().ok()?;
        RsaKeyPair::from_pkcs8(pkcs8.as_bytes()).ok()?;
        Some(UserKey(Locked::new(&[pkcs8.as_bytes()])))
    }

    /// RSA-PSS, SHA-256, MGF1-SHA-256, salt of 32 bytes; see [`sss_common::login::verify`]. `None` when there is no
    /// randomness to be had.
    pub fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let key = RsaKeyPair::from_pkcs8(self.0.expose()).ok()?;
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PSS_SHA256, &SystemRandom::new(), message, &mut signature).ok()?;
        Some(signature)
    }
}
