#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use rsa::pkcs1::EncodeRsaPublicKey;
use rsa::pkcs8::{EncodePublicKey, LineEnding};
use rsa::{RsaPrivateKey, RsaPublicKey};
use sss_common::record::RecordHash;
use sss_common::{NodeId, Timestamp, Version, login};

use super::super::server_keys::KEYS_MAX;
use super::*;

fn record(content: &[u8], flag: Flag) -> VersionRecord {
    let leaves: Vec<_> = content.chunks(BLOCK_SIZE).map(block_hash).collect();
    VersionRecord {
        document: NodeId([1; 16]),
        version: Version(3),
        previous: RecordHash::NONE,
        size: content.len() as u64,
        flag,
        author: "alice".parse().unwrap(),
        machine: "client1".parse().unwrap(),
        time: Timestamp(0),
        root: merkle_root(&leaves),
    }
}

fn checked(record: &VersionRecord, signature: Option<&[u8]>, key: &RsaPublicKey) -> Result<(), String> {
    let keys = ServerKeys::parse(&pem(key)).unwrap();
    check_signature(Path::new("/f"), record, signature, &keys, Path::new("server.pub"))
        .map(drop)
        .map_err(|e| e.what)
}

fn pem(key: &RsaPublicKey) -> String {
    key.to_public_key_pem(LineEnding::LF).unwrap()
}

#[test]
fn contents_of_every_block_count_hash_as_the_server_does() {
    for length in [0, 1, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, 5 * BLOCK_SIZE + 7] {
        let content: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let record = record(&content, Flag::Integrity);
        assert!(content_of(&mut &content[..]).unwrap().fits(&record), "{length}");
        // A source that gives little at a time makes no difference.
        struct Drops<'a>(&'a [u8]);
        impl Read for Drops<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                let count = buffer.len().min(1000);
                self.0.read(&mut buffer[..count])
            }
        }
        assert!(content_of(&mut Drops(&content)).unwrap().fits(&record), "{length}");
        let mut other = content.clone();
        other.push(0);
        assert!(!content_of(&mut &other[..]).unwrap().fits(&record), "{length}");
        if let Some(last) = other.get_mut(length / 2).filter(|_| length > 0) {
            *last ^= 1;
            assert!(!content_of(&mut &other[..length]).unwrap().fits(&record), "{length}");
        }
    }
}

#[test]
fn only_the_servers_signature_over_this_record_is_good() {
    let mut rng = rand::rngs::OsRng;
    let key = RsaPrivateKey::new(&mut rng, 1024).unwrap();
    let other = RsaPrivateKey::new(&mut rng, 1024).unwrap();
    let record = record(b"hello", Flag::Integrity);
    let signature = login::sign(&key, &record.encode());
    assert_eq!(checked(&record, Some(&signature), &key.to_public_key()), Ok(()));
    let foreign = checked(&record, Some(&signature), &other.to_public_key()).unwrap_err();
    assert!(foreign.contains("not by the key in server.pub"), "{foreign}");
    let newer = VersionRecord { version: Version(4), ..record.clone() };
    assert!(checked(&newer, Some(&signature), &key.to_public_key()).is_err());
    assert!(checked(&record, None, &key.to_public_key()).unwrap_err().contains("no signature"));
}

#[test]
fn a_confidential_document_carries_none() {
    let key = RsaPrivateKey::new(&mut rand::rngs::OsRng, 1024).unwrap();
    let said = checked(&record(b"x", Flag::Confidentiality), None, &key.to_public_key()).unwrap_err();
    assert!(said.contains("`confidentiality`: its versions carry no signature"), "{said}");
}

#[test]
fn a_signature_by_any_of_several_keys_is_good_and_names_it() {
    let mut rng = rand::rngs::OsRng;
    let keys: Vec<RsaPrivateKey> = (0..3).map(|_| RsaPrivateKey::new(&mut rng, 1024).unwrap()).collect();
    let [a, b, other] = &keys[..] else { unreachable!() };
    let (a_pub, b_pub) = (a.to_public_key(), b.to_public_key());
    let both = format!(
        "the old one\n{}\nand since June\n{}",
        pem(&a_pub),
        b_pub.to_pkcs1_pem(LineEnding::CRLF).unwrap()
    );
    let trusted = ServerKeys::parse(&both).unwrap();
    assert_eq!(trusted.len(), 2);
    let record = record(b"hello", Flag::Integrity);
    for (key, public) in [(a, &a_pub), (b, &b_pub)] {
        let signature = login::sign(key, &record.encode());
        let signer = trusted.signer_of(&record, &signature).unwrap();
        assert_eq!(signer.fingerprint, format!("{:x}", <sha2::Sha256 as sha2::Digest>::digest(pem(public))));
    }
    let foreign = login::sign(other, &record.encode());
    let path = Path::new("server.pub");
    let Err(failure) = check_signature(Path::new("/f"), &record, Some(&foreign), &trusted, path) else {
        panic!("a stranger's signature")
    };
    assert!(failure.what.contains("not by any of the keys in server.pub"), "{failure}");
    assert!(
        failure.hint.contains("rotated") && failure.hint.contains("cat server.pub retired.pub >> server.pub"),
        "{failure}"
    );
}

#[test]
fn what_holds_no_keys_or_too_many_is_refused() {
    let key = RsaPrivateKey::new(&mut rand::rngs::OsRng, 1024).unwrap();
    let good = pem(&key.to_public_key());
    let refused = |text: &str| ServerKeys::parse(text).err().unwrap_or_default();
    for bad in ["", "hello", "-----BEGIN ", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
        assert_eq!(refused(bad), "holds no RSA public key", "{bad}");
    }
    // A key that is damaged is not passed over: what it signed would look forged.
    let damaged = good.replacen("MI", "!!", 1);
    assert!(refused(&format!("{good}{damaged}")).contains("block 2 of 2"));
    assert!(refused(&format!("{good}{}", &good[..good.len() / 2])).contains("block 2 of 2"));
    assert_eq!(ServerKeys::parse(&good.repeat(KEYS_MAX)).unwrap().len(), KEYS_MAX);
    assert_eq!(refused(&good.repeat(KEYS_MAX + 1)), "holds more than 128 keys");

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("server.pub");
    std::fs::write(&path, vec![b'a'; (1 << 20) + 1]).unwrap();
    assert!(ServerKeys::read(&path).err().unwrap().what.contains("is no list of public keys"));
    assert!(ServerKeys::read(&dir.path().join("none")).err().unwrap().what.contains("cannot be read"));
}

proptest! {
    #[test]
    fn no_text_panics(parts in proptest::collection::vec("(-----BEGIN |-----END |PUBLIC KEY-----|\n|[a-zä-]{0,4})", 0..30)) {
        prop_assert!(ServerKeys::parse(&parts.concat()).is_err());
    }
}
