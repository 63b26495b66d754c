#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use sss_server::store::sqlite::SqliteStore;
use sss_server::store::{Erased, Reclaim};

fn image(level: u8, index: u64, sequence: u64, keys: usize) -> KeyImage {
    let mut sealed = KEY_NODE_MAGIC.to_vec();
    sealed.extend((0..KEY_NODE_LENGTHS.start() - 8 + 32 * keys).map(|n| (n * 7 + keys) as u8));
    KeyImage { position: KeyPosition { level, index }, sequence, sealed: sealed.into() }
}

/// What the database's own queries no longer find is found in its files.
#[tokio::test]
async fn rows_that_were_replaced_are_found_in_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("meta.db");
    let store = SqliteStore::create(&path).unwrap();
    let at = Erased { epoch: sss_common::Epoch(1), time: sss_common::Timestamp(1) };
    let mut written = Vec::new();
    for sequence in [1, 2, 200, 70_000, 5_000_000_000] {
        let images: Vec<_> =
            [(0, 0, 1), (1, 0, 1), (4, 1, 3), (5, 0, 64), (5, 1, 7), (5, 300, 2), (5, 70_000, 64)]
                .into_iter()
                .map(|(level, index, keys)| image(level, index, sequence, keys))
                .collect();
        store.erased(&[], images.clone(), at).await.unwrap();
        written.extend(images);
    }
    let mut raw = std::fs::read(path.with_extension("db-wal")).unwrap();
    raw.extend(std::fs::read(&path).unwrap());
    let found = key_nodes(&raw);
    for image in &written {
        assert!(found.contains(image), "{:?} number {}", image.position, image.sequence);
    }
}

#[test]
fn what_is_cut_off_is_no_row() {
    let image = image(5, 3, 9, 1);
    let kind = 12 + 2 * image.sealed.len();
    let mut bytes = vec![6, 1, 1, 1, 0x80 | (kind >> 7) as u8, (kind & 0x7f) as u8, 5, 3, 9];
    bytes.extend(&image.sealed);
    assert_eq!(key_nodes(&bytes), [image]);
    assert!(key_nodes(&bytes[..bytes.len() - 1]).is_empty());
    assert!(key_nodes(&bytes[2..]).is_empty());
    bytes[6] = 9;
    assert!(key_nodes(&bytes).is_empty(), "no such level");
}

proptest! {
    #[test]
    fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), at in 0usize..400) {
        let at = at.min(bytes.len());
        bytes.splice(at..at, KEY_NODE_MAGIC);
        let _ = key_nodes(&bytes);
    }
}
