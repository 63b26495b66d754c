//! The statement that a user signs to log in, and the challenge in it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::RsaPublicKey;
use rsa::pss::{Signature, VerifyingKey};
use rsa::signature::Verifier;
use sha2::{Digest as _, Sha256};

use crate::{MachineName, Uid};

/// Fewest and most random bytes of a challenge that is answered.
const RANDOM: std::ops::RangeInclusive<usize> = 16..=64;

/// Which server: SHA-256 of its certificate's public key (SubjectPublicKeyInfo, DER).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerKey([u8; 32]);

impl ServerKey {
    /// Of a certificate's SubjectPublicKeyInfo, in DER.
    pub fn of(spki: &[u8]) -> Self {
        ServerKey(Sha256::digest(spki).into())
    }
}

/// What is signed besides the names: `RANDOM.SERVER`, both base64url without padding. It names the server that gave it, so
/// that a signature is worth nothing to another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    text: String,
    server: ServerKey,
}

impl Challenge {
    /// A server's own; `random` serves once.
    pub fn new(random: &[u8; 32], server: ServerKey) -> Self {
        let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(random), URL_SAFE_NO_PAD.encode(server.0));
        Challenge { text, server }
    }

    /// Reads one; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let (random, server) = text.split_once('.')?;
        let random = URL_SAFE_NO_PAD.decode(random).ok()?;
        let server = URL_SAFE_NO_PAD.decode(server).ok()?.try_into().ok()?;
        RANDOM.contains(&random.len()).then(|| Challenge { text: text.into(), server: ServerKey(server) })
    }

    /// The server that gave it, as it says.
    pub fn server(&self) -> ServerKey {
        self.server
    }

    /// As it goes into the statement.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The text that is signed: `client1 as alice logs into the Server\nchallenge: CHALLENGE`.
pub fn statement(node: &MachineName, uid: &Uid, challenge: &str) -> String {
    format!("{node} as {uid} logs into the Server\nchallenge: {challenge}")
}

/// Signs for tests. The `rsa` crate's private operations are not constant time (RUSTSEC-2023-0071): the programs sign with
/// aws-lc-rs, the server because clients may time it, the client because servers may.
#[cfg(any(test, feature = "twins"))]
#[expect(clippy::disallowed_types, reason = "in no program")]
pub fn sign(key: &rsa::RsaPrivateKey, message: &[u8]) -> Vec<u8> {
    use rsa::signature::{RandomizedSigner as _, SignatureEncoding as _};
    let key = rsa::pss::BlindedSigningKey::<Sha256>::new(key.clone());
    key.sign_with_rng(&mut rand::rngs::OsRng, message).to_vec()
}

/// Whether `signature` is `key`'s over `message`: RSA-PSS, SHA-256, MGF1-SHA-256 and a 32-byte salt (RFC 8017, section 8.1).
pub fn verify(key: &RsaPublicKey, message: &[u8], signature: &[u8]) -> bool {
    let Ok(signature) = Signature::try_from(signature) else { return false };
    VerifyingKey::<Sha256>::new(key.clone()).verify(message, &signature).is_ok()
}

#[cfg(test)]
mod tests {
    use rsa::RsaPrivateKey;

    use super::*;

    #[test]
    fn the_statement_is_the_contracts() {
        let text = statement(&"client1".parse().unwrap(), &"alice".parse().unwrap(), "abc");
        assert_eq!(text, "client1 as alice logs into the Server\nchallenge: abc");
    }

    #[test]
    fn a_challenge_says_whose_it_is() {
        let here = ServerKey::of(b"public key");
        let challenge = Challenge::new(&[7; 32], here);
        assert_eq!(challenge.as_str(), format!("{challenge}"));
        assert_eq!(
            challenge.as_str(),
            "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc.9WmobTwsjX3aJrXb6iC9XBnus138Y_23JLrE8hwieFA"
        );
        let parsed = Challenge::parse(challenge.as_str());
        assert_eq!(parsed.map(|parsed| parsed.server()), Some(here));
        assert_ne!(here, ServerKey::of(b"another"));
    }

    #[test]
    fn what_is_no_challenge_is_refused() {
        let good = Challenge::new(&[7; 32], ServerKey::of(b"public key"));
        let (random, server) = good.as_str().split_once('.').unwrap();
        let random = random.to_owned();
        assert!(Challenge::parse(&format!("{random}.{server}")).is_some());
        for other in [
            String::new(),
            ".".into(),
            random.clone(),
            server.into(),
            format!(".{server}"),
            format!("{random}."),
            format!("AAAA.{server}"),
            format!("{}.{server}", "A".repeat(88)),
            format!("{random}.{server}="),
            format!("{random}.{server}.{server}"),
            format!("{random}.{}", &server[..42]),
            format!("{random}\n.{server}"),
            format!("{random}.{server}\n"),
            format!("{random} {server}"),
            format!("{random}.{}", server.replace('_', "/")),
        ] {
            assert_eq!(Challenge::parse(&other), None, "{other}");
        }
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
