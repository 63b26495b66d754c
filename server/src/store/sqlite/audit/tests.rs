#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use crate::store::audit::{ChainBreak, ChainCheck, Chained};
use crate::store::conformance::{LATER, audit, new_user};
use crate::store::sqlite::tests::{place, raw};
use crate::store::sqlite::{Snapshot, SqliteStore};
use crate::store::{Audit, AuditOutcome, AuditRow, AuditSeq, Users};

fn row(detail: &str) -> AuditRow {
    AuditRow { outcome: AuditOutcome::Allowed(detail.into()), ..audit("open") }
}

/// The chain of a file as a moment shows it.
fn chained(path: &Path) -> Result<Chained, ChainBreak> {
    let snapshot = Snapshot::open(path).unwrap();
    let (start, given) = snapshot.audit_ends().unwrap();
    let mut check = ChainCheck::new(start, None);
    snapshot.audit_after(start.seq, 1000).unwrap().iter().try_for_each(|row| check.next(row))?;
    check.end(given)
}

#[tokio::test]
async fn rows_of_the_time_before_the_chain_are_chained() {
    let (_folder, path) = place();
    let old = raw(&path);
    old.pragma_update(None, "auto_vacuum", "INCREMENTAL").unwrap();
    old.execute_batch(include_str!("../migrations/001.sql")).unwrap();
    old.execute_batch(include_str!("../migrations/002.sql")).unwrap();
    old.pragma_update(None, "application_id", i32::from_be_bytes(*b"3SMD")).unwrap();
    old.pragma_update(None, "user_version", 2).unwrap();
    for (action, outcome) in [
        ("login", "allowed"),
        ("login", "wrong signature"),
        ("checkin by rename", "version 2"),
        ("checkout", "refused: no such document"),
        ("integrity", "a block does not verify"),
        ("rotate_key", "from a to b"),
    ] {
        let sql = "INSERT INTO audit (time, user, node, action, document, path, outcome, request_id)
            VALUES (5, 'alice', 'client1', ?, zeroblob(16), '@alice/f', ?, 'r1')";
        old.execute(sql, [action, outcome]).unwrap();
    }
    drop(old);
    let store = SqliteStore::open(&path).unwrap();
    let rows = store.audit_after(AuditSeq(0), 100).await.unwrap();
    let shown: Vec<_> =
        rows.iter().map(|row| format!("{} {} {}", row.action, row.outcome, row.detail)).collect();
    let expected = [
        "begin allowed the chain begins; the next 6 rows are of the time before it",
        "login allowed ",
        "login refused wrong signature",
        "checkin-by-rename allowed version 2",
        "checkout refused no such document",
        "integrity damaged a block does not verify",
        "rotate-key allowed from a to b",
    ];
    assert_eq!(shown, expected);
    assert_eq!((rows[1].machine.as_deref(), rows[1].path.as_str()), (Some("client1"), "@alice/f"));
    assert_eq!((rows[1].time.0, rows[1].document.as_deref()), (5, Some(&[0; 16][..])));
    assert_eq!(chained(&path).unwrap().rows, 7);
    store.audit(vec![row("next")]).unwrap();
    drop(store);
    drop(SqliteStore::open(&path).unwrap());
    assert_eq!(chained(&path).unwrap().rows, 8, "and it goes on");
}

/// Two processes write to one log: each goes on where the other stopped.
#[tokio::test]
async fn two_writers_make_one_chain() {
    let (_folder, path) = place();
    let one = Arc::new(SqliteStore::create(&path).unwrap());
    let other = Arc::new(SqliteStore::open(&path).unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for (store, name) in [(one, "a"), (other, "b")] {
        for number in 0..20 {
            let store = store.clone();
            tasks.spawn(async move {
                store.audit(vec![row("handed over")]).unwrap();
                store.add_user(new_user(&format!("{name}{number}")), audit("user-add")).await.unwrap();
                store.flush().await.unwrap();
            });
        }
    }
    tasks.join_all().await;
    assert_eq!(chained(&path).unwrap().rows, 81);
}

#[tokio::test]
async fn only_what_was_pruned_can_be_deleted() {
    let (_folder, path) = place();
    let store = SqliteStore::create(&path).unwrap();
    for number in 0..5 {
        store.audit(vec![row(&number.to_string())]).unwrap();
    }
    store.flush().await.unwrap();
    let refused = |sql: &str| {
        let error = raw(&path).execute_batch(sql).expect_err(sql).to_string();
        assert!(error.contains("append-only"), "{sql}: {error}");
    };
    refused("DELETE FROM audit WHERE seq = 1");
    refused("UPDATE audit_start SET seq = 3, hash = (SELECT hash FROM audit WHERE seq = 3)");
    refused("DELETE FROM audit_start");
    assert_eq!(store.prune_audit(LATER, 3, LATER).await.unwrap(), 3);
    refused("DELETE FROM audit WHERE seq = 4");
    refused("UPDATE audit_start SET seq = 5, hash = zeroblob(32)");
    refused("UPDATE audit_start SET seq = 0, hash = zeroblob(32)");
    assert_eq!(chained(&path).unwrap().start.seq, AuditSeq(3));
}

/// What a hand in the database does shows, with the triggers out of the way.
#[tokio::test]
async fn tampering_shows() {
    type Shows = fn(&ChainBreak) -> bool;
    let changes: [(&str, Shows); 6] = [
        ("UPDATE audit SET detail = 'x' WHERE seq = 3", |found| *found == ChainBreak::Changed(AuditSeq(3))),
        ("UPDATE audit SET detail = 'x' WHERE seq = 6", |found| *found == ChainBreak::Changed(AuditSeq(6))),
        ("DELETE FROM audit WHERE seq < 3", |found| *found == ChainBreak::CutAtStart(AuditSeq(3))),
        ("DELETE FROM audit WHERE seq = 3", |found| {
            matches!(found, ChainBreak::Missing { after: AuditSeq(2), found: AuditSeq(4) })
        }),
        ("DELETE FROM audit WHERE seq > 4", |found| {
            matches!(found, ChainBreak::CutAtEnd { last: AuditSeq(4), given: AuditSeq(6) })
        }),
        (
            "UPDATE audit SET seq = 9 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 3;
          UPDATE audit SET seq = 3 WHERE seq = 9",
            |found| *found == ChainBreak::Changed(AuditSeq(2)),
        ),
    ];
    for (sql, shows) in changes {
        let (_folder, path) = place();
        let store = SqliteStore::create(&path).unwrap();
        (0..5).for_each(|number| store.audit(vec![row(&number.to_string())]).unwrap());
        drop(store);
        let connection = raw(&path);
        let triggers = "DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_deleted";
        connection.execute_batch(triggers).unwrap();
        connection.execute_batch(sql).unwrap();
        drop(connection);
        let found = chained(&path).unwrap_err();
        assert!(shows(&found), "{sql}: {found}");
        // And it goes on showing when the log goes on.
        let store = SqliteStore::open(&path).unwrap();
        store.audit(vec![row("later")]).unwrap();
        drop(store);
        assert!(chained(&path).is_err(), "{sql}");
    }
}
