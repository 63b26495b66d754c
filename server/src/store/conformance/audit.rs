//! The audit log: what is in it, in which order, and that it is a chain.

use super::*;
use crate::store::audit::{ChainCheck, Chained};

async fn rows(rig: &Rig) -> Vec<AuditEntry> {
    let mut rows = Vec::new();
    let mut last = rig.store.audit_start().await.unwrap().seq;
    loop {
        let page = rig.store.audit_after(last, 2).await.unwrap();
        let Some(entry) = page.last() else { return rows };
        last = entry.seq;
        rows.extend(page);
    }
}

async fn words(rig: &Rig) -> Vec<String> {
    rows(rig).await.into_iter().map(|row| row.action).collect()
}

/// Walks the whole chain, in which `remembered` must lie.
async fn checked(rig: &Rig, remembered: Option<AuditHead>) -> Chained {
    let mut check = ChainCheck::new(rig.store.audit_start().await.unwrap(), remembered);
    for entry in rows(rig).await {
        check.next(&entry).unwrap();
    }
    let head = rig.store.audit_head().await.unwrap();
    let chained = check.end(head.seq).unwrap();
    assert_eq!(chained.head, head);
    chained
}

pub(super) async fn the_chain_begins_and_goes_on(rig: Rig) {
    rig.store.flush().await.unwrap();
    assert_eq!(words(&rig).await, ["begin", "user-add", "user-add", "user-add"]);
    let early = checked(&rig, None).await;
    assert_eq!((early.rows, early.start, early.head.seq), (4, AuditHead::NONE, AuditSeq(4)));
    let file = rig.file("a").await;
    rig.commit(file, version(0, 1)).await.unwrap();
    let now = checked(&rig, Some(early.head)).await;
    assert!(now.remembered && now.rows == 6);

    let last = &rig.store.audit_after(AuditSeq(5), 10).await.unwrap()[0];
    let mut expected = audit("checkin");
    expected.time = NOW;
    assert_eq!(*last, AuditEntry::link(&expected, AuditSeq(6), last.previous));
    assert_eq!((last.user.as_deref(), last.machine.as_deref()), (Some("alice"), Some("client1")));
    assert_eq!(rig.store.audit_after(AuditSeq(6), 10).await.unwrap(), []);
}

pub(super) async fn what_fails_leaves_no_row(rig: Rig) {
    let home = rig.home("alice").await;
    let file = rig.file("a").await;
    let before = rows(&rig).await;
    assert!(rig.make_as("alice", home, "a", Kind::File).await.is_err());
    refused!(rig.commit(file, version(3, 1)).await, StoreError::VersionMoved(_));
    refused!(rig.revoke(file, "bob").await, StoreError::NotFound);
    assert_eq!(rows(&rig).await, before);
    rig.commit(file, version(0, 2)).await.unwrap();
    let after = checked(&rig, before.last().map(AuditEntry::head)).await;
    assert!(after.remembered && after.rows == before.len() as u64 + 1);
}

pub(super) async fn handed_rows_come_in_order(rig: Rig) {
    let home = rig.home("alice").await;
    let mut expected = words(&rig).await;
    for number in 0..50 {
        rig.store.audit(vec![audit("open"), audit("checkout")]).unwrap();
        rig.folder(home, &format!("d{number}")).await;
        expected.extend(["open", "checkout", "create"].map(String::from));
    }
    rig.store.audit(vec![audit("own")]).unwrap();
    rig.store.flush().await.unwrap();
    expected.push("own".into());
    assert_eq!(words(&rig).await, expected);
    checked(&rig, None).await;
    rig.store.audit_works().unwrap();
}

pub(super) async fn pruning(rig: Rig) {
    let old = |word: &str| AuditRow { time: Timestamp(NOW.0 - 10), ..audit(word) };
    rig.store.flush().await.unwrap();
    assert_eq!(
        rig.store.prune_audit(Timestamp(NOW.0 - 5), 100, NOW).await.unwrap(),
        0,
        "not the first row alone"
    );
    rig.store.audit(vec![audit("open"), old("checkout")]).unwrap();
    rig.store.flush().await.unwrap();
    let whole = checked(&rig, None).await;
    assert_eq!(whole.start.seq, AuditSeq::NONE);
    assert_eq!(
        rig.store.prune_audit(NOW, 100, NOW).await.unwrap(),
        0,
        "a younger row lies before the old one"
    );

    // In steps, the oldest first.
    assert_eq!(
        rig.store.prune_audit(LATER, 3, NOW).await.unwrap(),
        3,
        "the first row goes with those behind it"
    );
    assert_eq!(words(&rig).await, ["user-add", "open", "checkout", "prune"]);
    let pruned = checked(&rig, Some(whole.head)).await;
    assert_eq!((pruned.start.seq, pruned.remembered), (AuditSeq(3), true));
    rig.file("a").await;
    rig.file("b").await;
    assert_eq!(rig.store.prune_audit(LATER, 5, LATER).await.unwrap(), 5);
    let words = words(&rig).await;
    assert_eq!(words, ["create", "prune"], "a row that tells of an earlier pruning goes, too");
    let told = rows(&rig).await.pop().unwrap().detail;
    assert!(told.starts_with(&format!("rows 4 to 8, from before {LATER}; 8:")), "{told}");
    let chained = checked(&rig, Some(pruned.start)).await;
    assert!(!chained.remembered, "a head that was pruned says nothing any more");
    rig.file("c").await;
    assert!(checked(&rig, Some(chained.head)).await.remembered);
}

pub(super) async fn pruning_all(rig: Rig) {
    rig.store.flush().await.unwrap();
    let before = checked(&rig, None).await;
    assert_eq!(rig.store.prune_audit(LATER, 100, LATER).await.unwrap(), before.rows);
    let after = checked(&rig, Some(before.head)).await;
    assert_eq!((after.rows, after.start, after.remembered), (1, before.head, true));
    rig.file("a").await;
    assert_eq!(words(&rig).await, ["prune", "create"]);
    checked(&rig, Some(after.head)).await;
}

pub(super) async fn sessions_and_users_are_logged(rig: Rig) {
    let token = TokenHash([7; 32]);
    let session = NewSession {
        token,
        uid: uid("alice"),
        public_key: "key of alice".into(),
        machine: "client1".parse().unwrap(),
        certificate: Fingerprint([1; 32]),
        now: NOW,
        expires: LATER,
    };
    rig.store.begin_session(session.clone(), 1, audit("login")).await.unwrap();
    refused!(rig.store.begin_session(session, 1, audit("login")).await, StoreError::Exists);
    rig.store.end_session(&token, NOW, audit("logout")).await.unwrap();
    rig.store.set_disabled(&uid("bob"), true, audit("user-disable")).await.unwrap();
    refused!(rig.store.set_disabled(&uid("dave"), true, audit("user-disable")).await, StoreError::NotFound);
    refused!(rig.store.add_user(new_user("bob"), audit("user-add")).await, StoreError::Exists);
    assert_eq!(words(&rig).await[4..], ["login", "logout", "user-disable"]);
    checked(&rig, None).await;
}
