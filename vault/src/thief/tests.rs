#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use super::*;
use crate::Vault;
use crate::tests::{Kept, Store, checkin, new_files, open};

/// What a thief sees of a store: its images.
fn images(store: &Store) -> Vec<KeyImage> {
    store.images()
}

fn opens(thief: &Thief, kept: &Kept) -> bool {
    let openers = thief.openers(kept.leaf).unwrap();
    openers.iter().any(|opener| opener.open_record(kept.document, &kept.sealed).is_ok())
}

async fn erase(vault: &Vault, store: &Store, leaf: Leaf) {
    let erasing = vault.begin_erase(&[leaf]).await.unwrap();
    store.apply(erasing.images(), None);
    vault.finish_erase(erasing).await.unwrap();
}

#[tokio::test]
async fn a_thief_opens_all_with_the_keyring_of_the_time_and_what_was_kept_with_todays() {
    let folder = tempfile::tempdir().unwrap();
    let (paths, store) = (new_files(folder.path()), Arc::new(Store::default()));
    let vault = open(&paths, &store).await.unwrap();
    let (gone, kept) = (checkin(&vault, &store, "gone").await, checkin(&vault, &store, "kept").await);
    let wanted = [gone.leaf, kept.leaf];
    let (then, old) = (images(&store), OldKeyring::keep(&paths).unwrap());
    erase(&vault, &store, gone.leaf).await;
    let all = [then.clone(), images(&store)].concat();

    let able = Thief::new(&paths, Some(&old), then.clone(), &wanted).unwrap();
    assert!(opens(&able, &gone) && opens(&able, &kept), "or it would prove nothing");
    let able = Thief::new(&paths, Some(&old), all.clone(), &wanted).unwrap();
    assert!(opens(&able, &gone) && opens(&able, &kept), "more loot does not confuse it");
    let today = Thief::new(&paths, None, all, &wanted).unwrap();
    assert!(!opens(&today, &gone));
    assert!(opens(&today, &kept));
    let before = Thief::new(&paths, None, then, &wanted).unwrap();
    assert!(!opens(&before, &gone) && !opens(&before, &kept), "old images alone are noise");

    // Root, wrapped root, five nodes' keys, the leaf's.
    let lost = able.secrets_beyond(&today);
    assert_eq!(lost.count(), 8);
    assert_eq!(lost.count_in(&std::fs::read(&paths.keyring).unwrap()), 0);
    assert_eq!(lost.count_in(&old.0), 1, "the old root, wrapped");
    assert_eq!(today.secrets_beyond(&able).count(), 0);
}

#[tokio::test]
async fn with_erasing_left_out_the_thief_opens_what_was_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let (paths, store) = (new_files(folder.path()), Arc::new(Store::default()));
    let vault = open(&paths, &store).await.unwrap();
    let gone = checkin(&vault, &store, "gone").await;
    let copy = images(&store);
    checkin(&vault, &store, "later").await;
    let thief = Thief::new(&paths, None, [copy, images(&store)].concat(), &[gone.leaf]).unwrap();
    assert!(opens(&thief, &gone));
}
