#![allow(clippy::unwrap_used)]

use sss_common::{Kind, NodeId};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use bytes::Bytes;

use tempfile::TempDir;

use super::*;
use crate::store::conformance::{ERASED, Rig, audit, name, new_user, uid, version, version_with_pack};
use sss_vault::sealed::Leaf;

/// Where a database may stand, in a folder that goes with the first value.
pub(super) fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("meta.db");
    (folder, path)
}

/// The file without the store's own rules.
pub(super) fn raw(path: &Path) -> Connection {
    Connection::open(path).unwrap()
}

fn refusal(path: &Path) -> StoreError {
    SqliteStore::open(path).err().unwrap()
}

fn audited(path: &Path) -> Vec<String> {
    let connection = raw(path);
    let mut rows = connection.prepare("SELECT iif(detail = '', outcome, detail) FROM audit WHERE action NOT IN ('begin', 'user-add') ORDER BY seq").unwrap();
    rows.query_map([], |row| row.get(0)).unwrap().map(|row| row.unwrap()).collect()
}

fn row(detail: &str) -> AuditRow {
    AuditRow { outcome: AuditOutcome::Allowed(detail.into()), ..audit("open") }
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let (_folder, path) = place();
    let rig = Rig::new(Arc::new(SqliteStore::create(&path).unwrap())).await;
    let file = rig.file("a").await;
    let (commit, pack) = version_with_pack(file, 0, 1, true);
    let before = rig.commit(file, commit).await.unwrap();
    rig.store.audit(vec![row("held when the store is dropped")]).unwrap();
    drop(rig);
    assert!(!path.with_extension("db-wal").exists(), "the log is tidied up at the end");
    assert_eq!(audited(&path).last().unwrap(), "held when the store is dropped");

    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.node(file, &uid("alice"), Timestamp(0)).await.unwrap().unwrap().node, before);
    let row = &store.packs(&[pack]).await.unwrap()[0];
    assert_eq!(row.inline, Some(Bytes::from_static(b"sealed")));
    assert_eq!(store.users().await.unwrap().len(), 3);
    assert_eq!(store.last_leaf().await.unwrap(), Some(Leaf(1)));
}

/// What was answered is in the file even if the process dies at once: a copy taken while the store runs has it.
#[tokio::test]
async fn what_was_answered_survives_without_closing() {
    let (folder, path) = place();
    let rig = Rig::new(Arc::new(SqliteStore::create(&path).unwrap())).await;
    let file = rig.file("a").await;
    rig.commit(file, version(0, 1)).await.unwrap();
    let copy = folder.path().join("copy.db");
    fs::copy(&path, &copy).unwrap();
    fs::copy(path.with_extension("db-wal"), copy.with_extension("db-wal")).unwrap();
    let store = SqliteStore::open(&copy).unwrap();
    assert!(store.version(file, Version(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn only_the_owner_can_read_the_files() {
    let (_folder, path) = place();
    let store = SqliteStore::create(&path).unwrap();
    store.add_user(new_user("alice"), audit("user-add")).await.unwrap();
    for file in [path.clone(), path.with_extension("db-wal"), path.with_extension("db-shm")] {
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

#[tokio::test]
async fn the_writer_is_set_up_for_durability_and_forgetting() {
    let (_folder, path) = place();
    let store = SqliteStore::create(&path).unwrap();
    for (pragma, value) in
        [("synchronous", 2), ("foreign_keys", 1), ("secure_delete", 1), ("auto_vacuum", 2), ("temp_store", 2)]
    {
        let found =
            store.write(move |c| Ok(c.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0))?)).await;
        assert_eq!(found.unwrap(), value, "{pragma}");
    }
    let mode =
        store.write(|c| Ok(c.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0))?));
    assert_eq!(mode.await.unwrap(), "wal");
    let reader = store.read(|c| Ok(c.execute("DELETE FROM users", [])?)).await;
    assert!(matches!(reader, Err(StoreError::Backend(_))), "readers cannot write");
}

#[test]
fn files_that_are_not_ours_are_refused() {
    let (folder, path) = place();
    assert!(matches!(refusal(&path), StoreError::NotFound));
    drop(SqliteStore::create(&path).unwrap());
    assert!(matches!(SqliteStore::create(&path).err(), Some(StoreError::Exists)));

    raw(&path).pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(refusal(&path), StoreError::Newer { found: 99, known: 8 }));
    raw(&path).pragma_update(None, "application_id", 7).unwrap();
    assert!(matches!(refusal(&path), StoreError::Damaged(_)));

    let other = folder.path().join("other");
    for content in [&b""[..], &[7; 8192]] {
        fs::write(&other, content).unwrap();
        assert!(matches!(refusal(&other), StoreError::Damaged(_)));
        assert_eq!(fs::read(&other).unwrap(), content, "and not touched");
    }
}

#[tokio::test]
async fn a_store_of_the_first_schema_is_brought_up_to_date_with_its_queue() {
    let (_folder, path) = place();
    let first = raw(&path);
    first.pragma_update(None, "auto_vacuum", "INCREMENTAL").unwrap();
    first.execute_batch(include_str!("migrations/001.sql")).unwrap();
    first.pragma_update(None, "application_id", i32::from_be_bytes(*b"3SMD")).unwrap();
    first.pragma_update(None, "user_version", 1).unwrap();
    first.execute("INSERT INTO erasures (leaf) VALUES (11)", []).unwrap();
    drop(first);
    let rig = Rig::new(Arc::new(SqliteStore::open(&path).unwrap())).await;
    assert_eq!(rig.store.erasures(9).await.unwrap(), [Leaf(11)]);
    rig.store.erased(&[Leaf(11)], vec![], ERASED).await.unwrap();
    let (home, file) = (rig.home("alice").await, rig.file("a").await);
    rig.commit(file, version(0, 12)).await.unwrap();
    rig.remove(file, home, "a").await.unwrap();
    assert_eq!(rig.store.deletion(file).await.unwrap().unwrap().keys, [Leaf(12)]);
}

#[tokio::test]
async fn a_damaged_file_is_reported() {
    let (_folder, path) = place();
    let rig = Rig::new(Arc::new(SqliteStore::create(&path).unwrap())).await;
    for number in 0..50 {
        rig.file(&format!("file {number}")).await;
    }
    let home = rig.home("alice").await;
    drop(rig);
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'nodes'";
    let page: u32 = raw(&path).query_row(root, [], |row| row.get(0)).unwrap();
    let end = page as usize * 4096;
    let mut bytes = fs::read(&path).unwrap();
    bytes[end - 4096..end].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    let found = store.children(home, None, 99, &uid("alice"), Timestamp(0)).await;
    assert!(matches!(found, Err(StoreError::Damaged(_))), "{found:?}");
    let found = store.add_user(new_user("dave"), audit("user-add")).await;
    assert!(matches!(found, Err(StoreError::Damaged(_))), "{found:?}");
    drop(store);
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096..].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    assert!(matches!(refusal(&path), StoreError::Damaged(_)));
}

/// Rows that no code of ours writes: answered as damage, not with a panic or an endless walk.
#[tokio::test]
async fn rows_that_make_no_sense_are_reported() {
    let (_folder, path) = place();
    let rig = Rig::new(Arc::new(SqliteStore::create(&path).unwrap())).await;
    let home = rig.home("alice").await;
    let folder = rig.folder(home, "d").await;
    let inner = rig.folder(folder, "e").await;
    for sql in
        ["UPDATE nodes SET kind = 9 WHERE name = 'd'", "UPDATE nodes SET name = 'a/b' WHERE name = 'd'"]
    {
        raw(&path).execute_batch(sql).unwrap();
        let found = rig.store.node(folder, &uid("bob"), Timestamp(0)).await;
        assert!(matches!(found, Err(StoreError::Damaged(_))), "{found:?}");
    }
    raw(&path).execute_batch("UPDATE nodes SET kind = 2, name = 'd' WHERE name = 'a/b'").unwrap();
    raw(&path).execute("UPDATE nodes SET parent = ? WHERE name = 'd'", [inner.0]).unwrap();
    let found = rig.store.node(folder, &uid("bob"), Timestamp(0)).await.unwrap().unwrap();
    assert!(found.facts.levels.len() > 200, "a circle is walked to the limit, then left");
    refused_as_deep(&rig, inner).await;
}

async fn refused_as_deep(rig: &Rig, folder: NodeId) {
    let outcome = rig.make_as("alice", folder, "x", Kind::File).await;
    assert!(matches!(outcome, Err(StoreError::TooDeep)), "{outcome:?}");
}

/// As `3s-server user add` does beside a running server.
#[tokio::test]
async fn two_stores_write_to_one_file() {
    let (_folder, path) = place();
    let one = Arc::new(SqliteStore::create(&path).unwrap());
    let two = Arc::new(SqliteStore::open(&path).unwrap());
    let tasks: Vec<_> = (0..40)
        .map(|number| {
            let store = if number % 2 == 0 { one.clone() } else { two.clone() };
            tokio::spawn(async move {
                store.add_user(new_user(&format!("u{number:02}")), audit("user-add")).await
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(one.users().await.unwrap().len(), 40);
    assert_eq!(one.users().await.unwrap(), two.users().await.unwrap());
}

#[tokio::test]
async fn what_another_opener_commits_is_another_revision() {
    let (_folder, path) = place();
    let one = Arc::new(SqliteStore::create(&path).unwrap());
    let two = Arc::new(SqliteStore::open(&path).unwrap());
    let before = one.revision().await.unwrap();
    two.add_user(new_user("alice"), audit("user-add")).await.unwrap();
    assert_ne!(one.revision().await.unwrap(), before);
}

#[tokio::test]
async fn a_full_disk_fails_the_call_and_nothing_else() {
    let (_folder, path) = place();
    let store = Arc::new(SqliteStore::create(&path).unwrap());
    let rig = Rig::new(store.clone()).await;
    let file = rig.file("a").await;
    let limit = async |spare: i64| {
        let set = store.write(move |c| {
            let pages: i64 = c.pragma_query_value(None, "page_count", |row| row.get(0))?;
            c.pragma_update_and_check(None, "max_page_count", pages + spare, |_| Ok(()))?;
            Ok(())
        });
        set.await.unwrap();
    };
    limit(4).await;
    let (mut commit, pack) = version_with_pack(file, 0, 1, true);
    commit.pack.as_mut().unwrap().inline = Some(Bytes::from(vec![1; 60_000]));
    let outcome = rig.commit(file, commit.clone()).await;
    assert!(matches!(outcome, Err(StoreError::Full)), "{outcome:?}");
    assert!(!store.has_pack(pack).await.unwrap());
    limit(1000).await;
    rig.commit(file, commit).await.unwrap();
    assert!(store.has_pack(pack).await.unwrap());
}

#[tokio::test]
async fn the_audit_log_keeps_its_order_and_its_rows() {
    let (_folder, path) = place();
    let store = Arc::new(SqliteStore::create(&path).unwrap());
    let rig = Rig::new(store.clone()).await;
    store.audit(vec![row("1"), row("2")]).unwrap();
    let home = rig.home("alice").await;
    rig.folder(home, "d").await; // its row says "allowed"
    let failed = rig.make_as("alice", home, "d", Kind::File).await;
    assert!(failed.is_err(), "and what failed has no row");
    store.audit(vec![row("3")]).unwrap();
    store.flush().await.unwrap();
    assert_eq!(audited(&path), ["1", "2", "allowed", "3"]);
    let connection = raw(&path);
    for sql in ["UPDATE audit SET outcome = 'x'", "DELETE FROM audit"] {
        assert!(connection.execute(sql, []).unwrap_err().to_string().contains("append-only"));
    }
}

#[tokio::test]
async fn free_room_is_given_back() {
    let (_folder, path) = place();
    let store = SqliteStore::create(&path).unwrap();
    let fill = "CREATE TABLE x (b BLOB); INSERT INTO x VALUES (zeroblob(30000000)); DROP TABLE x";
    store.write(move |c| Ok(c.execute_batch(fill)?)).await.unwrap();
    let free = async || {
        let count =
            store.read(|c| Ok(c.pragma_query_value(None, "freelist_count", |row| row.get::<_, i64>(0))?));
        count.await.unwrap()
    };
    let before = free().await;
    assert!(before > 7000);
    store.trashed(&[]).await.unwrap();
    assert_eq!(free().await, before - 2048, "a little at a time");
    store.drop_versions(&[]).await.unwrap();
    store.drop_versions(&[]).await.unwrap();
    assert_eq!(free().await, 4096, "and some stays for what comes");
}

#[tokio::test]
async fn a_name_is_found_by_its_bytes() {
    let (_folder, path) = place();
    let rig = Rig::new(Arc::new(SqliteStore::create(&path).unwrap())).await;
    let home = rig.home("alice").await;
    // Composed and decomposed: two names, as on Linux.
    for text in ["\u{e9}", "e\u{301}"] {
        let file = rig.file(text).await;
        let found = rig.store.child(home, &name(text), &uid("alice"), Timestamp(0)).await.unwrap().unwrap();
        assert_eq!(found.node.id, file);
    }
}

/// A change that makes room finds the disk full until the reserve is gone; then it is done, with its row.
#[tokio::test]
async fn what_makes_room_gets_the_reserve() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::create(&folder.path().join("meta.db")).unwrap();
    let reserve = folder.path().join("meta.reserve");
    let full = {
        let reserve = reserve.clone();
        move || if reserve.exists() { Err(StoreError::Full) } else { Ok(()) }
    };
    let row = || audit("delete");
    store.keep_reserve();
    let bulk = full.clone();
    let refused = store.write_audited(row(), move |_| bulk()).await;
    assert!(matches!(refused, Err(StoreError::Full)) && reserve.exists(), "it is not for what takes room");
    let urgent = full.clone();
    store.write_urgent(row(), move |_| urgent()).await.unwrap();
    assert!(!reserve.exists());
    store.write_urgent(None, move |_| full()).await.unwrap();
    let refused: Result<()> = store.write_urgent(None, |_| Err(StoreError::NotFound)).await;
    assert!(matches!(refused, Err(StoreError::NotFound)));
}
