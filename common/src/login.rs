//! The statement that a user signs to log in.

use rsa::pss::{BlindedSigningKey, Signature, VerifyingKey};
use rsa::signature::{RandomizedSigner, SignatureEncoding, Verifier};
use rsa::{RsaPrivateKey, RsaPublicKey};
use sha2::Sha256;

use crate::{MachineName, Uid};

/// The text that is signed: `client1 as alice logs into the Server\nchallenge: CHALLENGE`.
pub fn statement(node: &MachineName, uid: &Uid, challenge: &str) -> String {
    format!("{node} as {uid} logs into the Server\nchallenge: {challenge}")
}

/// Signs `message` with RSA-PSS, SHA-256, MGF1-SHA-256 and a 32-byte salt (RFC 8017, section 8.1).
///
/// For the client's own machine: the `rsa` crate's private operations are not constant time
/// (RUSTSEC-2023-0071), so the server never calls this.
pub fn sign(key: &RsaPrivateKey, message: &[u8]) -> Vec<u8> {
    BlindedSigningKey::<Sha256>::new(key.clone()).sign_with_rng(&mut rand::rngs::OsRng, message).to_vec()
}

/// Whether `signature` is `key`'s over `message`, by the rules of [`sign`].
pub fn verify(key: &RsaPublicKey, message: &[u8], signature: &[u8]) -> bool {
    let Ok(signature) = Signature::try_from(signature) else { return false };
    VerifyingKey::<Sha256>::new(key.clone()).verify(message, &signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_is_the_contracts() {
        let text = statement(&"client1".parse().unwrap(), &"alice".parse().unwrap(), "abc");
        assert_eq!(text, "client1 as alice logs into the Server\nchallenge: abc");
    }

    #[test]
    fn a_signature_serves_its_own_message_and_key_only() {
        let mut rng = rand::rngs::OsRng;
        let key = RsaPrivateKey::new(&mut rng, 1024).unwrap();
        let other = RsaPrivateKey::new(&mut rng, 1024).unwrap();
        let signature = sign(&key, b"hello");
        assert!(verify(&key.to_public_key(), b"hello", &signature));
        assert!(!verify(&key.to_public_key(), b"hellO", &signature));
        assert!(!verify(&other.to_public_key(), b"hello", &signature));
        assert!(!verify(&key.to_public_key(), b"hello", b""));
    }
}
