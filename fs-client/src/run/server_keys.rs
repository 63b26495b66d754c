//! The server's public keys as a file holds them: `server.pub`, or several such blocks one behind the other.

use std::path::{Path, PathBuf};

use rsa::RsaPublicKey;
use rsa::pkcs1::DecodeRsaPublicKey;
use rsa::pkcs8::{DecodePublicKey, EncodePublicKey, LineEnding};
use sha2::{Digest, Sha256};
use sss_common::Advised;
use sss_common::record::VersionRecord;

use crate::identity::{Keeping, check_keeping};

/// The name under which a trusted copy of the server's key is looked for in an ID_DIR.
const SERVER_KEY: &str = "server.pub";

/// An ID_DIR's trusted copy, unless others could change it.
pub(super) fn copy_in(dir: &Path) -> Result<PathBuf, Advised> {
    let copy = dir.join(SERVER_KEY);
    // What is not there is told by who reads it.
    for path in [dir, &copy] {
        if let Ok(meta) = path.metadata() {
            check_keeping(path, &meta, Keeping::Public)?;
        }
    }
    Ok(copy)
}

/// Most keys in a file: a server's, the 64 that it may have had before, and room for another server's.
pub(super) const KEYS_MAX: usize = 128;

/// Longest file.
const FILE_MAX: u64 = 1 << 20;

/// At least one key.
pub(super) struct ServerKeys(Vec<TrustedKey>);

/// A key that whoever owns the file trusts.
pub(super) struct TrustedKey {
    key: RsaPublicKey,
    /// SHA-256 of its PEM: what `sha256sum server.pub` shows of the server's file.
    pub(super) fingerprint: String,
}

impl ServerKeys {
    /// Reads a file of keys, SPKI or PKCS #1, PEM.
    pub(super) fn read(path: &Path) -> Result<Self, Advised> {
        let shown = path.display();
        let unreadable = |error: std::io::Error| {
            Advised::new(
                format!("{shown} cannot be read: {error}"),
                "name the server's public key with --server-key",
            )
        };
        if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_MAX {
            return Err(not_keys(path, "is no list of public keys"));
        }
        let bytes = std::fs::read(path).map_err(unreadable)?;
        Self::parse(&String::from_utf8_lossy(&bytes)).map_err(|what| not_keys(path, &what))
    }

    /// What is wrong, if it is no list of keys. Text between the blocks is passed over.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let blocks: Vec<&str> = blocks(text).take(KEYS_MAX + 1).collect();
        if blocks.is_empty() {
            return Err("holds no RSA public key".into());
        }
        if blocks.len() > KEYS_MAX {
            return Err(format!("holds more than {KEYS_MAX} keys"));
        }
        let key = |(at, block): (usize, &&str)| {
            TrustedKey::parse(block).ok_or_else(|| match blocks.len() {
                1 => "holds no RSA public key".to_owned(),
                count => format!("holds something else than an RSA public key: block {} of {count}", at + 1),
            })
        };
        blocks.iter().enumerate().map(key).collect::<Result<_, _>>().map(ServerKeys)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &TrustedKey> {
        self.0.iter()
    }

    /// Which of them made a signature.
    pub(super) fn signer_of(&self, record: &VersionRecord, signature: &[u8]) -> Option<&TrustedKey> {
        self.signer(|key| record.is_signed_by(key, signature))
    }

    /// The first of them that is good for something.
    pub(super) fn signer(&self, good: impl Fn(&RsaPublicKey) -> bool) -> Option<&TrustedKey> {
        self.iter().find(|key| good(&key.key))
    }

    /// For a sentence.
    pub(super) fn named(&self) -> &'static str {
        if self.len() == 1 { "the key" } else { "any of the keys" }
    }
}

impl TrustedKey {
    fn parse(pem: &str) -> Option<Self> {
        let key =
            RsaPublicKey::from_public_key_pem(pem).or_else(|_| RsaPublicKey::from_pkcs1_pem(pem)).ok()?;
        let fingerprint = format!("{:x}", Sha256::digest(key.to_public_key_pem(LineEnding::LF).ok()?));
        Some(TrustedKey { key, fingerprint })
    }
}

fn not_keys(path: &Path, what: &str) -> Advised {
    Advised::new(
        format!("{} {what}", path.display()),
        "it must be the PEM file `server.pub` from the server's DATA_DIR, or several of them one behind the other",
    )
}

/// Each from its `-----BEGIN` to before the next.
fn blocks(text: &str) -> impl Iterator<Item = &str> {
    const BEGIN: &str = "-----BEGIN ";
    let mut rest = text.find(BEGIN).map_or("", |at| &text[at..]);
    std::iter::from_fn(move || {
        let next = rest.get(BEGIN.len()..)?.find(BEGIN).map_or(rest.len(), |at| at + BEGIN.len());
        let (block, behind) = rest.split_at(next);
        rest = behind;
        // A decoder takes nothing behind the last line.
        let end = block.find("-----END ").and_then(|at| Some(at + block[at..].find('\n')? + 1));
        Some(&block[..end.unwrap_or(block.len())])
    })
}
