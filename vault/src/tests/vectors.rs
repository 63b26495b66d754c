//! The format's vectors: given keys and nonces, these bytes and no others. `WRITE_VECTORS=1` writes the file anew; a
//! change in it is a change of the format and needs a new version byte.

use sss_common::record::BlockHash;

use super::*;
use crate::layout::{Extent, Layout};
use crate::pack::PackSealer;
use crate::tree::node::KeyNode;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/vectors/format.txt");
const KEY: [u8; 32] = [0x11; 32];
const DOCUMENT: NodeId = NodeId([0x22; 16]);
const PACK: PackId = PackId([0x33; 16]);
const STORE: StoreId = StoreId([0x44; 16]);

fn cipher() -> Cipher {
    Cipher::new(&SecretKey::from_exposed(&KEY)).unwrap()
}

/// A pack of one full block (given by its SHA-256) and a last one.
fn pack() -> Vec<(&'static str, Vec<u8>)> {
    use sha2::{Digest, Sha256};
    let mut sealer = PackSealer::new(cipher(), DOCUMENT, PACK);
    let (mut first, mut last) = (Vec::new(), Vec::new());
    sealer.seal_block(&[0x55; BLOCK_SIZE], false, &mut first).unwrap();
    sealer.seal_block(b"the last block", true, &mut last).unwrap();
    vec![
        ("pack.header", pack::header(DOCUMENT, PACK).to_vec()),
        ("pack.block0.sha256", Sha256::digest(&first).to_vec()),
        ("pack.block1", last),
    ]
}

fn sample_body() -> RecordBody {
    let mut layout = Layout::default();
    layout.put(Extent { first: 0, count: 2, pack: PACK, at: 0 });
    layout.put(Extent { first: 5, count: 1, pack: PackId([0x66; 16]), at: 9 });
    RecordBody {
        layout,
        digests: vec![BlockHash([0x77; 32]), BlockHash([0x88; 32])],
        signature: Some(vec![0x99; 384]),
        ..body(DOCUMENT, "client1")
    }
}

fn record() -> Vec<(&'static str, Vec<u8>)> {
    let mut plain = Vec::new();
    record::encode(&sample_body(), &mut plain).unwrap();
    let nonce = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    let sealed = record::seal_with_nonce(&cipher(), &sample_body(), nonce).unwrap();
    vec![("record.body", plain), ("record.sealed", sealed.to_vec())]
}

fn node() -> Vec<(&'static str, Vec<u8>)> {
    let position = KeyPosition { level: 5, index: 0x0102 };
    let mut node = KeyNode::new(&SecretKey::from_exposed(&KEY));
    node.put(0, &SecretKey::from_exposed(&[0xaa; 32]));
    node.put(63, &SecretKey::from_exposed(&[0xbb; 32]));
    let image = node.image_with_nonce(&STORE, position, 7, [0xcc; 12]).unwrap();
    vec![("node.sealed", image.sealed.to_vec())]
}

fn ring() -> Keyring {
    let root = |epoch, byte| keyring::WrappedRoot { epoch: Epoch(epoch), wrapped: vec![byte; 384] };
    Keyring { store: STORE, current: root(1, 0xdd), next: Some(root(2, 0xee)) }
}

/// A backup of one full block (given by its SHA-256) and a last one, under a wrapped key of this length.
fn backup() -> Vec<(&'static str, Vec<u8>)> {
    use sha2::{Digest, Sha256};
    use std::io::Write;
    let header = backup::BackupHeader { store: STORE, time: Timestamp(0x0123_4567_89ab) };
    let mut sealer =
        backup::BackupSealer::with_key(&SecretKey::from_exposed(&KEY), header, &[0xab; 384], Vec::new())
            .unwrap();
    sealer.write_all(&[0x55; BLOCK_SIZE]).unwrap();
    sealer.write_all(b"the last block").unwrap();
    let bytes = sealer.finish().unwrap();
    let (head, blocks) = bytes.split_at(34 + 384);
    let (first, last) = blocks.split_at(BLOCK_SIZE + BLOCK_OVERHEAD);
    vec![
        ("backup.head", head.to_vec()),
        ("backup.block0.sha256", Sha256::digest(first).to_vec()),
        ("backup.block1", last.to_vec()),
    ]
}

#[test]
fn the_format_is_fixed() {
    let mut vectors = vec![("key", KEY.to_vec())];
    vectors.extend(pack());
    vectors.extend(record());
    vectors.extend(node());
    vectors.push(("keyring", ring().encode()));
    vectors.push(("keyring.label", keyring::label(&STORE, Epoch(2))));
    vectors.extend(backup());
    let lines: Vec<String> =
        vectors.iter().map(|(name, bytes)| format!("{name} {}\n", hex::encode(bytes))).collect();
    let found = format!(
        "# Made and checked by vault::tests::vectors; FORMAT.md explains the bytes.\n{}",
        lines.concat()
    );
    if std::env::var_os("WRITE_VECTORS").is_some() {
        std::fs::write(FILE, &found).unwrap();
    }
    let fixed = std::fs::read_to_string(FILE).unwrap();
    for (found, fixed) in found.lines().zip(fixed.lines()) {
        assert_eq!(found, fixed);
    }
    assert_eq!(found.lines().count(), fixed.lines().count());
}

#[test]
fn the_vectors_open() {
    let file = std::fs::read_to_string(FILE).unwrap();
    let vector = |name: &str| {
        let line = file.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).expect(name);
        hex::decode(line).unwrap()
    };
    let opener = Opener::new(cipher());
    opener.check_header(DOCUMENT, PACK, &vector("pack.header")).unwrap();
    let mut block = vector("pack.block1");
    opener.open_block(DOCUMENT, PACK, 1, true, &mut block).unwrap();
    assert_eq!(block, b"the last block");
    assert_eq!(opener.open_record(DOCUMENT, &vector("record.sealed")).unwrap(), sample_body());
    let position = KeyPosition { level: 5, index: 0x0102 };
    let image = KeyImage { position, sequence: 7, sealed: vector("node.sealed").into() };
    let node = KeyNode::open(&SecretKey::from_exposed(&KEY), &STORE, &image).unwrap();
    assert_eq!(node.expose_slot(63).unwrap().expose_bytes(), &[0xbb; 32]);
    assert!(node.expose_slot(1).is_none());
    assert_eq!(Keyring::decode(&vector("keyring")).unwrap(), ring());
}
