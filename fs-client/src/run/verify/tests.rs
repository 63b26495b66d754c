#![allow(clippy::unwrap_used)]

use rsa::RsaPrivateKey;
use sss_common::{NodeId, Timestamp, Version, login};

use super::*;

fn record(content: &[u8], flag: Flag) -> VersionRecord {
    let leaves: Vec<_> = content.chunks(BLOCK_SIZE).map(block_hash).collect();
    VersionRecord {
        document: NodeId([1; 16]),
        version: Version(3),
        previous: [0; 32],
        size: content.len() as u64,
        flag,
        author: "alice".parse().unwrap(),
        node: "client1".parse().unwrap(),
        time: Timestamp(0),
        root: merkle_root(&leaves),
    }
}

fn checked(record: &VersionRecord, signature: Option<&[u8]>, key: &RsaPublicKey) -> Result<(), String> {
    check_signature(Path::new("/f"), record, signature, key, Path::new("server.pub")).map_err(|e| e.what)
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
