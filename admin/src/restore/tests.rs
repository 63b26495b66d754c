//! Backups and restores of a store that runs in this process.
#![allow(clippy::unwrap_used)]

mod forged;
mod rig;

use sss_common::{Clock as _, FileTime, Kind};
use std::fs;
use std::path::Path;

use super::*;
use crate::backup;
use rig::{Store, audit, packs_in, pair, proof, words};
use sss_policy::{Checkin, Own};
use sss_server::store::DeletionSeq;

#[test]
fn what_was_deleted_since_has_neither_row_nor_key_nor_pack_in_the_restored_store() {
    let store = Store::new();
    let (kept, kept_leaf) = store.checkin(store.home, "kept", b"this stays");
    let (gone, gone_leaf) = store.checkin(store.home, "gone", b"this goes");
    let made = store.backup("b").unwrap();
    assert_eq!((made.nodes, made.packs), (3, 2));
    assert_eq!(fs::metadata(store.at("b")).unwrap().len(), made.bytes);
    store.remove(gone, store.home, "gone");
    let (late, _) = store.checkin(store.home, "late", b"after the backup");

    let restored = store.restore("b", "new", Deletions::In(store.at("data"))).unwrap();
    assert_eq!(restored.time, made.time);
    let replayed = restored.replayed.unwrap();
    assert_eq!((replayed.applied, replayed.kept, replayed.last.unwrap().0), (1, 0, DeletionSeq(1)));
    assert_eq!(packs_in(&store.at("new")), 1);
    let store = store.restored("new");
    assert_eq!(store.read(kept).unwrap(), b"this stays");
    assert_eq!(store.read(gone), None);
    assert_eq!(store.read(late), None);
    assert!(store.has_key(kept_leaf) && !store.has_key(gone_leaf));
    let logged = store.runtime.block_on(store.meta.deletion(gone)).unwrap().unwrap();
    assert_eq!((logged.seq, logged.path.as_str()), (DeletionSeq(1), "@alice/gone"));
    assert!(logged.erased.is_some());
    assert_eq!(store.runtime.block_on(store.meta.last_deletion()).unwrap(), DeletionSeq(1));
    // It is a store like any other.
    let (next, _) = store.checkin(store.home, "next", b"goes on");
    assert_eq!(store.read(next).unwrap(), b"goes on");
}

#[test]
fn without_the_log_it_is_back_which_proves_that_the_replay_did_it() {
    let store = Store::new();
    let (gone, leaf) = store.checkin(store.home, "gone", b"this goes");
    store.backup("b").unwrap();
    store.remove(gone, store.home, "gone");
    let keyring = store.at("stick");
    let unknown = store.restore_with_keyring("b", "new", Some(keyring.clone()), Deletions::Unknown).unwrap();
    assert!(unknown.replayed.is_none());
    assert!(!store.at("new/keyring").exists(), "the keyring lies apart");
    fs::rename(keyring, store.at("new/keyring")).unwrap();
    let store = store.restored("new");
    assert!(store.has_key(leaf));
    assert_eq!(store.read(gone).unwrap(), b"this goes");
}

#[test]
fn a_folder_goes_once_its_entries_are_gone_and_stays_with_those_that_are_not() {
    let store = Store::new();
    let (emptied, full) =
        (store.create(store.home, "emptied", Kind::Folder), store.create(store.home, "full", Kind::Folder));
    let (moved, _) = store.checkin(emptied, "moved", b"moved out, then removed");
    let (alive, _) = store.checkin(full, "alive", b"moved out");
    store.backup("b").unwrap();
    let move_out = |node, parent, name: &str| {
        let name: sss_common::Name = name.parse().unwrap();
        let rename = sss_server::store::Rename {
            parent,
            name: name.clone(),
            into: proof(store.home, Checkin),
            new_name: name,
            replacing: None,
            now_ns: FileTime(3),
        };
        store.runtime.block_on(store.meta.rename(&proof(node, Own), rename, audit())).unwrap();
    };
    move_out(moved, emptied, "moved");
    move_out(alive, full, "alive");
    store.remove(emptied, store.home, "emptied");
    store.remove(full, store.home, "full");
    store.remove(moved, store.home, "moved");
    let restored = store.restore("b", "new", Deletions::In(store.at("data"))).unwrap();
    let replayed = restored.replayed.unwrap();
    assert_eq!((replayed.applied, replayed.kept), (2, 1));
    let store = store.restored("new");
    let path = |node| store.runtime.block_on(store.meta.path(node)).unwrap();
    assert_eq!((path(emptied), path(moved)), (None, None));
    assert_eq!(path(alive).unwrap(), "@alice/full/alive");
    assert_eq!(
        store.runtime.block_on(store.meta.last_deletion()).unwrap(),
        DeletionSeq(3),
        "behind all of the log"
    );
}

#[test]
fn a_backup_leaves_nothing_in_the_data_directory_and_holds_nothing_after_it() {
    let store = Store::new();
    let (node, _) = store.checkin(store.home, "f", b"content");
    fs::create_dir_all(store.at("data/backup.tmp")).unwrap();
    fs::write(store.at("data/backup.tmp/meta.db"), "left by one that was killed").unwrap();
    fs::write(store.at("b.partial"), "this too").unwrap();
    store.backup("b").unwrap();
    assert!(!store.at("data/backup.tmp").exists() && !store.at("b.partial").exists());
    store.remove(node, store.home, "f");
    let trash = store.runtime.block_on(store.meta.trash(9, SystemClock.now())).unwrap();
    assert_eq!(trash.len(), 1, "nobody holds it");
    let again = words(store.backup("b"));
    assert!(again.contains("already there"), "{again}");
}

#[test]
fn a_pack_that_is_missing_is_told_by_its_document_and_leaves_no_backup() {
    let store = Store::new();
    let (node, _) = store.checkin(store.home, "lost", b"content");
    let snapshot = compose::open_snapshot(&store.meta_path()).unwrap();
    let (pack, _) = snapshot.packs(None, 1).unwrap()[0];
    store.runtime.block_on(store.blobs.delete(pack)).unwrap();
    let before = store.listing();
    let failed = words(store.backup("b"));
    assert!(failed.contains("@alice/lost") && failed.contains("missing"), "{failed}");
    assert_eq!(store.listing(), before);
    assert!(!store.at("data/backup.tmp").exists());
    store.remove(node, store.home, "lost");
    assert!(store.backup("b").is_ok(), "and the hold is released");
}

#[test]
fn a_second_backup_waits_for_nobody() {
    let store = Store::new();
    let lock = File::create(store.at("data/backup.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let failed = words(store.backup("b"));
    assert!(failed.contains("another backup"), "{failed}");
    assert!(!store.at("b").exists() && !store.at("b.partial").exists());
}

#[test]
fn retired_keys_come_along_and_a_rotation_that_was_cut_short_is_told() {
    let store = Store::new();
    let (node, _) = store.checkin(store.home, "f", b"content");
    let Store { folder, runtime, meta, vault, .. } = store;
    drop((meta, vault));
    let data = folder.path().join("data");
    runtime.block_on(crate::rotate::rotate(&data, None)).unwrap();
    let store = Store::open(folder, &data, runtime);
    store.backup("b").unwrap();
    // The private key is an older one than the store's.
    let key = store.at("data/server.key");
    let kept = fs::read(&key).unwrap();
    let other = Store::new();
    fs::copy(other.at("data/server.key"), &key).unwrap();
    words(store.backup("none"));
    assert!(!store.at("none").exists());
    fs::write(&key, kept).unwrap();

    store.restore("b", "new", Deletions::Unknown).unwrap();
    for name in ["retired.pub", "server.pub", "server.key", "keyring"] {
        assert_eq!(
            fs::read(store.at("new").join(name)).unwrap(),
            fs::read(store.at("data").join(name)).unwrap()
        );
    }
    let store = store.restored("new");
    assert_eq!(store.read(node).unwrap(), b"content");
}

#[test]
fn the_servers_own_key_seals_no_backup() {
    let store = Store::new();
    let order = backup::Order {
        data_dir: store.at("data"),
        out: store.at("b"),
        key: Some(store.at("data/server.pub")),
        keyring: None,
    };
    let failed = words(backup::backup(&order, &ProgressBar::hidden()));
    assert!(failed.contains("the server's own"), "{failed}");
    let none = backup::Order { key: None, ..order };
    let failed = words(backup::backup(&none, &ProgressBar::hidden()));
    assert!(failed.contains("backup.pub") && failed.contains("openssl genpkey"), "{failed}");
    fs::copy(pair().join("backup.pub"), store.at("data/backup.pub")).unwrap();
    assert!(backup::backup(&none, &ProgressBar::hidden()).is_ok(), "the one in the data directory");
}

#[test]
fn a_restore_replaces_nothing() {
    let store = Store::new();
    store.checkin(store.home, "f", b"content");
    store.backup("b").unwrap();
    let unknown = || Deletions::Unknown;
    let there = words(store.restore("b", "data", unknown()));
    assert!(there.contains("already there"), "{there}");
    fs::write(store.at("keyring"), "somebody's").unwrap();
    let there = words(store.restore_with_keyring("b", "new", Some(store.at("keyring")), unknown()));
    assert!(there.contains("keyring is already there"), "{there}");
    assert_eq!(fs::read(store.at("keyring")).unwrap(), b"somebody's");
    // One that was cut short, and one that is at work.
    fs::create_dir(store.at("new.restoring")).unwrap();
    let left = words(store.restore("b", "new", unknown()));
    assert!(left.contains("cut short") && left.contains("rm -r"), "{left}");
    let busy = sss_server::run::lock::lock(&store.at("new.restoring")).unwrap();
    let left = words(store.restore("b", "new", unknown()));
    assert!(left.contains("another restore"), "{left}");
    drop(busy);
    fs::remove_dir_all(store.at("new.restoring")).unwrap();
    assert!(!store.at("new").exists());
    fs::create_dir(store.at("new")).unwrap();
    store.restore("b", "new", unknown()).expect("an empty folder is as good as none");
    assert!(store.at("new/meta.db").exists() && !store.at("new.restoring").exists());
}

#[test]
fn what_fails_on_the_way_leaves_nothing() {
    let store = Store::new();
    store.checkin(store.home, "f", &[7; 60_000]);
    store.backup("b").unwrap();
    let bytes = fs::read(store.at("b")).unwrap();
    let cuts = [0, 3, 30, 400, 420, 70_000, bytes.len() - 40_000, bytes.len() - 1];
    for (n, damaged) in cuts.iter().map(|cut| bytes[..*cut].to_vec()).enumerate() {
        fs::write(store.at("b"), damaged).unwrap();
        let before = store.listing();
        let keyring = Some(store.at("stick"));
        let failed = words(store.restore_with_keyring("b", "new", keyring, Deletions::Unknown));
        assert!(n < 4 || failed.contains("block"), "{failed}");
        assert_eq!(store.listing(), before, "cut {n}");
    }
    for at in [500, 100_000, bytes.len() - 5] {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        fs::write(store.at("b"), flipped).unwrap();
        let before = store.listing();
        let failed = words(store.restore("b", "new", Deletions::Unknown));
        assert!(failed.contains("does not verify"), "{failed}");
        assert_eq!(store.listing(), before);
    }
}

#[test]
fn logs_of_other_stores_are_refused() {
    let (store, other) = (Store::new(), Store::new());
    store.backup("b").unwrap();
    let before = store.listing();
    let failed = words(store.restore("b", "new", Deletions::In(other.at("data"))));
    assert!(failed.contains("another store"), "{failed}");
    let log = store.at("log");
    let head = |store: &Store| {
        let id = store.vault.store_id().to_string();
        format!("{{\"format\":\"3s-deletion-log\",\"version\":1,\"store\":\"{id}\"}}\n")
    };
    fs::write(&log, head(&other)).unwrap();
    let failed = words(store.restore("b", "new", Deletions::In(log.clone())));
    assert!(failed.contains("is of store"), "{failed}");
    fs::write(&log, head(&store) + "{}\n").unwrap();
    let failed = words(store.restore("b", "new", Deletions::In(log.clone())));
    assert!(failed.contains("line 2"), "{failed}");
    let failed = words(store.restore("b", "new", Deletions::In(store.at("nothing"))));
    assert!(failed.contains("nothing"), "{failed}");
    fs::remove_file(&log).unwrap();
    assert_eq!(store.listing(), before);
    fs::write(&log, head(&store)).unwrap();
    let restored = store.restore("b", "new", Deletions::In(log)).unwrap();
    assert_eq!(restored.replayed.unwrap(), Replayed::default());
}
