#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use sss_common::Version;

use super::*;
use crate::store::conformance::{LATER, NOW, Rig, version, version_with_pack};
use crate::store::sqlite::SqliteStore;
use crate::store::{Content, Deletions, Names, Reclaim, Users};

async fn place() -> (tempfile::TempDir, std::path::PathBuf, Rig) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("meta.db");
    let rig = Rig::new(Arc::new(SqliteStore::create(&path).unwrap())).await;
    (folder, path, rig)
}

#[tokio::test]
async fn a_snapshot_stays_at_its_moment_while_others_commit() {
    let (folder, path, rig) = place().await;
    let home = rig.home("alice").await;
    let (early, kept) = (rig.file("early").await, rig.file("kept").await);
    let (commit, pack) = version_with_pack(early, 0, 1, false);
    rig.commit(early, commit).await.unwrap();
    rig.store.hold("somebody", LATER).await.unwrap();

    let snapshot = Snapshot::open(&path).unwrap();
    rig.commit(kept, version(0, 2)).await.unwrap();
    let removed = rig.remove(early, home, "early").await.unwrap();
    rig.file("late").await;

    let copied = folder.path().join("copy.db");
    let mut reports = Vec::new();
    let mut rounds = 0;
    snapshot
        .copy_to(&copied, &mut |done, of| {
            // Commits that fall between the steps of the copy, too.
            rounds += 1;
            let connection = Connection::open(&path).unwrap();
            connection.execute("UPDATE users SET disabled = ?", [rounds % 2]).unwrap();
            reports.push((done, of));
        })
        .unwrap();
    assert_eq!(reports.last().unwrap().0, reports.last().unwrap().1);
    assert_eq!(std::fs::metadata(&copied).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!copied.with_extension("db-wal").exists());

    assert_eq!(snapshot.packs(None, 9).unwrap(), [(pack, 6)]);
    assert_eq!(snapshot.packs(Some(pack), 9).unwrap(), []);
    assert_eq!(snapshot.user_of(pack).unwrap().unwrap(), "@alice/early");
    assert_eq!(snapshot.user_of(PackId::random()).unwrap(), None);
    assert_eq!(
        (snapshot.last_leaf().unwrap(), snapshot.last_deletion().unwrap()),
        (Some(Leaf(1)), DeletionSeq::NONE)
    );
    assert_eq!(snapshot.contents().unwrap(), Contents { nodes: 5, packs: 1, pack_bytes: 6 });

    let store = SqliteStore::open(&copied).unwrap();
    assert!(
        store.version(early, Version(1)).await.unwrap().is_some(),
        "what was removed since is in the copy"
    );
    assert!(store.version(kept, Version(1)).await.unwrap().is_none(), "what came since is not");
    assert_eq!(store.path(early).await.unwrap().unwrap(), "@alice/early");
    assert!(store.users().await.unwrap().iter().all(|user| !user.disabled));
    assert_eq!(store.trash(9, NOW).await.unwrap(), []);
    store.remove_again(&removed).await.unwrap();
    assert_eq!(store.trash(9, NOW).await.unwrap(), [pack], "nobody holds packs in a copy");

    let today = Snapshot::open(&path).unwrap();
    assert_eq!(today.deletions(DeletionSeq(0), 9).unwrap(), [removed]);
    assert_eq!(today.last_deletion().unwrap(), DeletionSeq(1));
    assert_eq!(today.homes().unwrap(), Snapshot::open(&copied).unwrap().homes().unwrap());
}

#[tokio::test]
async fn a_large_database_is_copied_in_many_steps() {
    let (folder, path, _rig) = place().await;
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE ballast AS SELECT randomblob(12000000) AS bytes").unwrap();
    let snapshot = Snapshot::open(&path).unwrap();
    let mut steps = 0;
    let copied = folder.path().join("copy.db");
    snapshot
        .copy_to(&copied, &mut |_, _| {
            steps += 1;
            connection.execute("UPDATE ballast SET bytes = zeroblob(12000000)", []).unwrap();
        })
        .unwrap();
    assert!(steps > 2, "{steps}");
    let copy = Connection::open(&copied).unwrap();
    let check: String = copy.pragma_query_value(None, "integrity_check", |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    let zeroes: bool =
        copy.query_row("SELECT bytes = zeroblob(12000000) FROM ballast", [], |row| row.get(0)).unwrap();
    assert!(!zeroes, "the bytes of the moment");
}

#[test]
fn other_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("meta.db");
    assert!(matches!(Snapshot::open(&path), Err(StoreError::NotFound)));
    std::fs::write(&path, "not a database, but long enough to be one if one only looked at its length")
        .unwrap();
    assert!(matches!(Snapshot::open(&path), Err(StoreError::Damaged(_))));
    std::fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    assert!(matches!(Snapshot::open(&path), Err(StoreError::Damaged(_))));
    let old = Connection::open(&path).unwrap();
    old.pragma_update(None, "application_id", i32::from_be_bytes(*b"3SMD")).unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    assert!(matches!(Snapshot::open(&path).unwrap().deletions(DeletionSeq(0), 1), Err(StoreError::NotFound)));
}
