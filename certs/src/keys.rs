//! Key pairs: making, reading, writing as PEM.
//!
//! Nodes, servers and the root have ECDSA P-256 keys; users have RSA-3072, as their logins need.
//! All are made by aws-lc-rs (through rcgen): constant-time, and a 3072-bit pair takes a fraction of a second, where
//! the `rsa` crate takes several. What passes through here is wiped after use; copies inside the libraries'
//! parsers may not be.

use std::path::Path;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize};
use rsa::pkcs8::{DecodePrivateKey, EncodePublicKey, LineEnding, SecretDocument};
use rsa::traits::PublicKeyParts;
use rsa::{RsaPrivateKey, pkcs1::DecodeRsaPrivateKey};
use rustls_pki_types::PrivateKeyDer;
use zeroize::Zeroizing;

use crate::Error;
use crate::files::{self, PEM_MAX};

/// Smallest user key that is kept, in bits.
pub const USER_KEY_MIN_BITS: usize = 2048;

/// Makes a key pair for TLS or for signing certificates: ECDSA P-256.
pub fn make_ec() -> Result<Zeroizing<KeyPair>, Error> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map(Zeroizing::new).map_err(Error::signing)
}

/// Makes a user's key pair: RSA-3072.
pub fn make_user() -> Result<Zeroizing<KeyPair>, Error> {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072).map(Zeroizing::new).map_err(Error::signing)
}

/// The private key as PKCS#8 in PEM.
pub fn private_pem(key: &KeyPair) -> Result<Zeroizing<String>, Error> {
    // Not `serialize_pem`: it leaves copies behind.
    SecretDocument::try_from(key.serialized_der())
        .and_then(|document| document.to_pem("PRIVATE KEY", LineEnding::LF))
        .map_err(Error::signing)
}

/// Reads a private key of any kind that can sign for TLS.
pub fn read(path: &Path) -> Result<Zeroizing<KeyPair>, Error> {
    let document = read_document(path)?;
    let unknown = |_| Error::key(path, "it is no private key that 3s-ca can use");
    let der = PrivateKeyDer::try_from(document.as_bytes()).map_err(unknown)?;
    let unfit = |_| Error::key(path, "it is no private key that 3s-ca can use");
    KeyPair::try_from(&der).map(Zeroizing::new).map_err(unfit)
}

/// The public half, as PEM, of the user's private key in a file.
pub fn read_user_public_pem(path: &Path) -> Result<String, Error> {
    let document = read_document(path)?;
    let key = RsaPrivateKey::from_pkcs8_der(document.as_bytes())
        .or_else(|_| RsaPrivateKey::from_pkcs1_der(document.as_bytes()))
        .map_err(|_| Error::key(path, "it is no RSA private key"))?;
    if key.n().bits() < USER_KEY_MIN_BITS {
        return Err(Error::key(path, "it has fewer than 2048 bits"));
    }
    key.to_public_key().to_public_key_pem(LineEnding::LF).map_err(Error::signing)
}

fn read_document(path: &Path) -> Result<SecretDocument, Error> {
    let bytes = files::read(path, PEM_MAX)?;
    let not_pem = "it is no private key in PEM";
    let text = std::str::from_utf8(&bytes).map_err(|_| Error::key(path, not_pem))?;
    let (label, document) = SecretDocument::from_pem(text).map_err(|_| Error::key(path, not_pem))?;
    match label {
        "ENCRYPTED PRIVATE KEY" => Err(Error::key(path, "it is encrypted")),
        _ => Ok(document),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rcgen::PublicKeyData;

    #[test]
    fn written_keys_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let key = make_ec().unwrap();
        std::fs::write(&path, private_pem(&key).unwrap()).unwrap();
        assert_eq!(read(&path).unwrap().subject_public_key_info(), key.subject_public_key_info());
        assert!(matches!(
            read_user_public_pem(&path),
            Err(Error::Key { reason: "it is no RSA private key", .. })
        ));
    }

    #[test]
    fn user_keys_have_3072_bits_and_their_own_public_half() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("user.key");
        let key = make_user().unwrap();
        std::fs::write(&path, private_pem(&key).unwrap()).unwrap();
        assert_eq!(read_user_public_pem(&path).unwrap(), key.public_key_pem());
        let read = RsaPrivateKey::read_pkcs8_pem_file(&path).unwrap();
        assert_eq!(read.n().bits(), 3072);
    }

    #[test]
    fn short_user_keys_are_refused() {
        use rsa::pkcs8::EncodePrivateKey;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("user.key");
        for (bits, good) in [(2047, false), (2048, true)] {
            let key = RsaPrivateKey::new(&mut rand::rngs::OsRng, bits).unwrap();
            key.write_pkcs8_pem_file(&path, LineEnding::LF).unwrap();
            assert_eq!(read_user_public_pem(&path).is_ok(), good, "{bits}");
        }
    }

    #[test]
    fn other_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        for text in [
            "",
            "no PEM",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n",
        ] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(read(&path), Err(Error::Key { .. })), "{text}");
            assert!(matches!(read_user_public_pem(&path), Err(Error::Key { .. })), "{text}");
        }
        std::fs::write(&path, [0xff]).unwrap();
        assert!(matches!(read(&path), Err(Error::Key { .. })));
    }
}
