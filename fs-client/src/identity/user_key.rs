//! The user's key, as what it is needed for: signing logins, and opening what was sealed to the user.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
};
use aws_lc_rs::signature::{RSA_PSS_SHA256, RsaKeyPair};
use rsa::RsaPrivateKey;
use rsa::pkcs8::EncodePrivateKey;
use zeroize::Zeroizing;

use super::Locked;

/// OAEP's label: what is wrapped for this purpose opens for no other.
const WRAP_LABEL: &[u8] = b"3s kept draft";

/// A user's private key. aws-lc-rs signs with it, in constant time: a server asks for a signature as often as it likes and may
/// time the answers.
///
/// Between signatures, which are far apart, only its locked bytes are in memory; what aws-lc makes of them for one signature
/// cannot be locked, and aws-lc wipes it when that is made.
pub struct UserKey(Locked);

impl UserKey {
    /// Takes over a key that was read and found good; `None` when its numbers do not belong together.
    pub fn of(key: &RsaPrivateKey) -> Option<Self> {
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

    /// Seals a key so that only this user's key opens it: RSA-OAEP with SHA-256. `None` when there is no randomness to be had.
    pub fn wrap(&self, secret: &[u8]) -> Option<Vec<u8>> {
        let public = OaepPublicEncryptingKey::new(self.decrypting()?.public_key()).ok()?;
        let mut wrapped = vec![0; public.ciphertext_size()];
        let sealed =
            public.encrypt(&OAEP_SHA256_MGF1SHA256, secret, &mut wrapped, Some(WRAP_LABEL)).ok()?.len();
        wrapped.truncate(sealed);
        Some(wrapped)
    }

    /// Opens what [`UserKey::wrap`] sealed; `None` when that was another key's, or was changed.
    pub fn unwrap_key(&self, wrapped: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let private = OaepPrivateDecryptingKey::new(self.decrypting()?).ok()?;
        let mut secret = Zeroizing::new(vec![0; private.min_output_size()]);
        let opened =
            private.decrypt(&OAEP_SHA256_MGF1SHA256, wrapped, &mut secret, Some(WRAP_LABEL)).ok()?.len();
        secret.truncate(opened);
        Some(secret)
    }

    fn decrypting(&self) -> Option<PrivateDecryptingKey> {
        PrivateDecryptingKey::from_pkcs8(self.0.expose()).ok()
    }
}
