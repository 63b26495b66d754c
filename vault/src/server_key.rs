//! The server's RSA key pair: `server.key` (PKCS#8 PEM, 0600) and `server.pub` (SPKI PEM).
//!
//! Every private operation is aws-lc-rs's, which are constant time: unwrapping at start-up, signing.

use std::path::Path;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize, PrivateDecryptingKey, PublicEncryptingKey};
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use rsa::pkcs8::{Document, LineEnding, SecretDocument};
use zeroize::Zeroizing;

use sss_common::durable::{Access, InPlace};

use super::keyring::{cannot, cannot_create, unusable};
use super::{Result, VaultError};

pub(super) const PRIVATE_LABEL: &str = "PRIVATE KEY";
pub(super) const PUBLIC_LABEL: &str = "PUBLIC KEY";

/// Shortest modulus that is accepted, in bits.
pub(super) const BITS_MIN: usize = 3072;

const WAY_ON: &str = "put back the server.key and server.pub that `3s-server init`, or the last `3s-server rotate-key`, made for this store";

/// The key pair in use.
pub(super) struct ServerKey {
    signer: RsaKeyPair,
    public_pem: String,
    wrapping: PublicEncryptingKey,
}

impl ServerKey {
    /// Makes a key pair and writes both files; refuses where one is.
    pub(super) fn create(private: &Path, public: &Path) -> Result<ServerKey> {
        let (key, pem) = Self::generate()?;
        write_new(private, pem.as_bytes(), Access::Secret)?;
        write_new(public, key.public_pem.as_bytes(), Access::Public)?;
        Ok(key)
    }

    /// Makes a key pair; the second value is what `server.key` is to hold.
    pub(super) fn generate() -> Result<(ServerKey, Zeroizing<String>)> {
        let failed = |_| VaultError::Refused("the RSA key could not be made");
        let pair = KeyPair::generate(KeySize::Rsa3072).map_err(failed)?;
        let der = pair.as_der().map_err(failed)?;
        let document =
            SecretDocument::try_from(der.as_ref()).map_err(|_| VaultError::Refused("a key's encoding"))?;
        let pem = document.to_pem(PRIVATE_LABEL, LineEnding::LF);
        let pem = pem.map_err(|_| VaultError::Refused("a key's encoding"))?;
        let (key, _) =
            Self::from_pkcs8(document.as_bytes()).ok_or(VaultError::Refused("a key's encoding"))?;
        Ok((key, pem))
    }

    /// Reads `server.key`. The second value unwraps root keys; it is for start-up and should be dropped after it.
    pub(super) fn read(private: &Path) -> Result<(ServerKey, PrivateDecryptingKey)> {
        let pem = std::fs::read_to_string(private).map(Zeroizing::new);
        let pem = pem.map_err(|e| cannot(private, "the server's private key cannot be read", &e))?;
        let document = SecretDocument::from_pem(&pem).ok().filter(|(label, _)| *label == PRIVATE_LABEL);
        let keys = document.and_then(|(_, document)| Self::from_pkcs8(document.as_bytes()));
        let what = "this is no RSA private key (PKCS#8 PEM, 3072 bits or more)";
        keys.ok_or_else(|| unusable(private, what, WAY_ON))
    }

    /// An error unless `server.pub` is this key's public half.
    pub(super) fn check_public(&self, public: &Path) -> Result<()> {
        check_public(public, &[&self.public_pem])
    }

    fn from_pkcs8(der: &[u8]) -> Option<(ServerKey, PrivateDecryptingKey)> {
        let unwrapping = PrivateDecryptingKey::from_pkcs8(der).ok()?;
        if unwrapping.key_size_bits() < BITS_MIN {
            return None;
        }
        let wrapping = unwrapping.public_key();
        let spki = wrapping.as_der().ok()?;
        let public_pem = Document::try_from(spki.as_ref()).ok()?.to_pem(PUBLIC_LABEL, LineEnding::LF).ok()?;
        Some((ServerKey { signer: RsaKeyPair::from_pkcs8(der).ok()?, public_pem, wrapping }, unwrapping))
    }

    /// SPKI PEM.
    pub(super) fn public_pem(&self) -> &str {
        &self.public_pem
    }

    /// What root keys are wrapped to.
    pub(super) fn wrapping(&self) -> &PublicEncryptingKey {
        &self.wrapping
    }

    /// RSASSA-PSS, SHA-256, MGF1-SHA-256, salt 32 (RFC 8017, section 8.1); about 3 ms.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let mut signature = vec![0; self.signer.public_modulus_len()];
        self.signer
            .sign(&RSA_PSS_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| VaultError::Refused("signing failed"))?;
        Ok(signature)
    }

    /// Whether a signature is this key's; some 50 microseconds.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        is_signed_by(self.signer.public_key().as_ref(), message, signature)
    }
}

/// Whether a signature is by this public key, SPKI or PKCS #1 DER.
pub(super) fn is_signed_by(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, public).verify(message, signature).is_ok()
}

/// An error unless `server.pub` holds one of these keys.
pub(super) fn check_public(public: &Path, keys: &[&str]) -> Result<()> {
    let pem = std::fs::read_to_string(public)
        .map_err(|e| cannot(public, "the server's public key cannot be read", &e))?;
    let key_in = |pem| Document::from_pem(pem).ok().filter(|(label, _)| *label == PUBLIC_LABEL);
    let found = key_in(&pem);
    if found.is_some() && keys.iter().any(|key| key_in(key) == found) {
        return Ok(());
    }
    Err(unusable(public, "this is not the public half of server.key", WAY_ON))
}

/// Writes a file that must be new; durable, with its name, when this returns.
pub(super) fn write_new(path: &Path, bytes: &[u8], access: Access) -> Result<()> {
    InPlace::create(path, bytes, access).map_err(|e| cannot_create(path, &e.cause))
}

#[cfg(test)]
mod tests;
