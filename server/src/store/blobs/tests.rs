#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sss_common::PackId;

use super::local::PART;
use super::*;
use crate::store::{BlobStore, StoreError};

async fn put(store: &dyn BlobStore, parts: &[Bytes]) -> PackId {
    let id = PackId::random();
    let mut writer = store.begin(id).await.unwrap();
    for part in parts {
        writer.write(part.clone()).await.unwrap();
    }
    writer.finish().await.unwrap();
    id
}

fn pattern(length: usize, seed: usize) -> Bytes {
    (0..length).map(|at| ((at * 31 + seed) % 251) as u8).collect::<Vec<_>>().into()
}

/// Files below a folder, by name.
fn files(root: &Path) -> Vec<String> {
    let folders = fs::read_dir(root).unwrap().map(|folder| folder.unwrap().path());
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap());
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

/// What every store of packs must do.
async fn behaves(store: &dyn BlobStore) {
    for parts in [
        vec![],
        vec![pattern(10, 1)],
        vec![pattern(PART, 2)],
        vec![pattern(PART - 1, 3), pattern(1, 4), pattern(7, 5)],
        vec![pattern(PART, 6), pattern(3 * PART, 7), pattern(100, 8), pattern(PART + 1, 9)],
    ] {
        let id = put(store, &parts).await;
        let whole = parts.concat();
        assert_eq!(store.read(id, 0, whole.len()).await.unwrap(), whole);
        let (from, length) = (whole.len() / 3, whole.len() / 2);
        assert_eq!(store.read(id, from as u64, length).await.unwrap(), whole[from..from + length]);
        for (offset, length) in [(0, whole.len() + 1), (whole.len() as u64, 1), (u64::MAX, 1), (u64::MAX, 0)]
        {
            assert!(matches!(store.read(id, offset, length).await, Err(StoreError::NotFound)));
        }
        let listed: Vec<_> = store.list().await.unwrap().into_iter().map(|(id, _)| id).collect();
        assert_eq!(listed, [id]);
        store.delete(id).await.unwrap();
        store.delete(id).await.unwrap();
        assert!(matches!(store.read(id, 0, 1).await, Err(StoreError::NotFound)));
        assert!(matches!(store.read(id, 0, 0).await, Err(StoreError::NotFound)));
    }
    for length in [10, 2 * PART] {
        let id = PackId::random();
        let mut writer = store.begin(id).await.unwrap();
        writer.write(pattern(length, 1)).await.unwrap();
        assert!(matches!(store.read(id, 0, 1).await, Err(StoreError::NotFound)), "not before it is finished");
        writer.abort().await.unwrap();
        let mut writer = store.begin(id).await.unwrap();
        writer.write(pattern(length, 1)).await.unwrap();
        drop(writer);
        assert!(store.list().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_folder_behaves() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("packs");
    behaves(&LocalBlobs::open(&root).unwrap()).await;
    let tidy = async {
        // The file of a writer that was dropped is removed in the background.
        while !files(&root).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), tidy).await.unwrap();
}

#[tokio::test]
async fn memory_behaves() {
    behaves(&MemoryBlobs::new()).await;
}

#[tokio::test]
async fn a_store_without_faults_behaves() {
    behaves(&FaultyBlobs::new(Arc::new(MemoryBlobs::new()))).await;
}

#[tokio::test]
async fn packs_are_fanned_out_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("packs");
    let id = put(&LocalBlobs::open(&root).unwrap(), &[pattern(100, 1)]).await;
    let text = id.to_string();
    assert_eq!(fs::read(root.join(&text[..2]).join(&text)).unwrap(), pattern(100, 1));
    assert_eq!(fs::read_dir(&root).unwrap().count(), 256, "all folders stand from the beginning");
    assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700);

    let store = LocalBlobs::open(&root).unwrap();
    assert_eq!(store.read(id, 0, 100).await.unwrap(), pattern(100, 1));
    let (_, written) = store.list().await.unwrap()[0];
    let now = sss_common::Clock::now(&sss_common::SystemClock);
    assert!(now.since(written) < Duration::from_secs(600) && written.since(now) < Duration::from_secs(600));
}

#[tokio::test]
async fn leftovers_go_when_the_store_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalBlobs::open(folder.path()).unwrap();
    let id = put(&store, &[pattern(10, 1)]).await;
    fs::write(folder.path().join(format!("00/{}#1", "0".repeat(32))), b"left").unwrap();
    fs::write(folder.path().join("00/readme"), b"not ours").unwrap();
    let store = LocalBlobs::open(folder.path()).unwrap();
    let mut left = files(folder.path());
    left.sort();
    let mut expected = [id.to_string(), "readme".into()];
    expected.sort();
    assert_eq!(left, expected);
    assert_eq!(store.list().await.unwrap().len(), 1, "what is no pack is not listed");
}

#[tokio::test]
async fn opened_to_read_it_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("packs");
    assert!(LocalBlobs::open_to_read(&root).is_err() && !root.exists());
    let id = put(&LocalBlobs::open(&root).unwrap(), &[pattern(10, 1)]).await;
    let unfinished = root.join(format!("00/{}#1", "0".repeat(32)));
    fs::write(&unfinished, b"a writer is at work").unwrap();

    let store = LocalBlobs::open_to_read(&root).unwrap();
    assert_eq!(store.read(id, 0, 10).await.unwrap(), pattern(10, 1));
    assert_eq!(store.list().await.unwrap().len(), 1);
    assert!(store.begin(PackId::random()).await.is_err());
    assert!(store.delete(id).await.is_err());
    assert_eq!(store.read(id, 0, 10).await.unwrap(), pattern(10, 1));
    assert!(unfinished.exists());
}

#[tokio::test]
async fn room_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let space = LocalBlobs::open(folder.path()).unwrap().space().await.unwrap().unwrap();
    assert!(space.total > 0 && space.available <= space.total);
    assert!(LocalBlobs::open(&folder.path().join("no/such/folder")).is_err());
}

/// A part that cannot be written fails a later write or the finish, and nothing becomes visible.
#[tokio::test]
async fn a_lost_folder_fails_the_pack() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("packs");
    let store = LocalBlobs::open(&root).unwrap();
    for length in [10, 2 * PART] {
        let id = PackId::random();
        let mut writer = store.begin(id).await.unwrap();
        let written = writer.write(pattern(length, 1)).await;
        assert!(written.is_ok());
        fs::remove_dir_all(&root).unwrap();
        fs::write(&root, b"in the way").unwrap();
        assert!(writer.finish().await.is_err());
        fs::remove_file(&root).unwrap();
        LocalBlobs::open(&root).unwrap();
        assert!(store.list().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn faults_come_when_they_were_asked_for() {
    let store = FaultyBlobs::new(Arc::new(MemoryBlobs::new()));
    let id = put(&store, &[pattern(10, 1)]).await;

    store.fail(Operation::Read, 1, StoreError::NotFound);
    assert!(store.read(id, 0, 10).await.is_ok());
    assert!(matches!(store.read(id, 0, 10).await, Err(StoreError::NotFound)));
    assert!(store.read(id, 0, 10).await.is_ok(), "once");

    store.flip(id, 4);
    let mut flipped = pattern(10, 1).to_vec();
    flipped[4] ^= 0xff;
    assert_eq!(store.read(id, 0, 10).await.unwrap(), flipped);
    assert_eq!(store.read(id, 3, 3).await.unwrap(), flipped[3..6]);
    assert_eq!(store.read(id, 5, 5).await.unwrap(), flipped[5..]);
    assert_eq!(store.read(id, 0, 4).await.unwrap(), flipped[..4]);

    store.fail(Operation::Begin, 0, StoreError::Full);
    assert!(matches!(store.begin(id).await.err(), Some(StoreError::Full)));
    store.fail(Operation::Delete, 0, StoreError::Full);
    assert!(matches!(store.delete(id).await, Err(StoreError::Full)));
    store.heal();
    assert_eq!(store.read(id, 0, 10).await.unwrap(), pattern(10, 1));

    let other = PackId::random();
    let mut writer = store.begin(other).await.unwrap();
    store.fail(Operation::Write, 1, StoreError::Full);
    store.fail(Operation::Finish, 0, StoreError::Full);
    writer.write(pattern(1, 1)).await.unwrap();
    assert!(matches!(writer.write(pattern(1, 1)).await, Err(StoreError::Full)));
    assert!(matches!(writer.finish().await, Err(StoreError::Full)));
    assert!(matches!(store.read(other, 0, 1).await, Err(StoreError::NotFound)));
}
