#![allow(clippy::unwrap_used)]

use std::cell::RefCell;

use sss_common::{FileTime, Flag, Kind, NodeId, Timestamp};
use sss_policy::{Checkin, Facts, decide};
use sss_server::store::{Limited, NewNode, NewUser};
use tempfile::TempDir;

use super::*;

#[derive(Default)]
struct Seen(RefCell<Vec<u64>>);

impl Watch for Seen {
    fn removed(&self, nodes: u64) {
        self.0.borrow_mut().push(nodes);
    }

    fn waiting(&self, _: u64) {}
}

/// A data directory with alice, who has so many documents, and bob.
async fn store(documents: usize) -> (TempDir, Order) {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    compose::init(&data_dir, None).unwrap();
    let meta = compose::open_meta(&data_dir).unwrap();
    for uid in ["alice", "bob"] {
        let user = NewUser { uid: uid.parse().unwrap(), public_key: "key".into(), now: Timestamp(1) };
        meta.add_user(user, row(AuditAction::UserAdd)).await.unwrap();
    }
    let uid: Uid = "alice".parse().unwrap();
    let home = meta.user(&uid).await.unwrap().unwrap().home;
    let proof = decide(&Facts::at_home(uid.clone(), home), Checkin, Timestamp(1)).unwrap();
    let made = (0..documents).map(|number| {
        let new = NewNode {
            id: NodeId::random(),
            name: format!("{number}").parse().unwrap(),
            kind: Kind::File,
            mode: 0o600,
            flag: Some(Flag::Confidentiality),
            of_home: false,
            limited: Limited::No,
            now_ns: FileTime(1),
        };
        meta.create(&proof, new, row(AuditAction::Create))
    });
    futures::future::try_join_all(made).await.unwrap();
    drop(meta);
    (folder, Order { data_dir, keyring: None, uid, receipts: None })
}

fn row(action: AuditAction) -> AuditRow {
    AuditRow::administrative(SystemClock.now(), action, "alice")
}

async fn users(order: &Order) -> Vec<String> {
    let users = compose::open_meta(&order.data_dir).unwrap().users().await.unwrap();
    users.iter().map(|user| user.uid.to_string()).collect()
}

#[tokio::test]
async fn a_home_goes_in_small_steps() {
    let (_folder, order) = store(2 * WEIGHT + 1).await;
    let seen = Seen::default();
    let removed = remove(&order, &seen).await.unwrap();
    assert_eq!(removed, Removed { nodes: 2 * WEIGHT as u64 + 1, receipts: 0 });
    assert_eq!(*seen.0.borrow(), [WEIGHT as u64, WEIGHT as u64, 1]);
    assert_eq!(users(&order).await, ["bob"]);
}

#[tokio::test]
async fn what_was_cut_short_is_finished() {
    let (_folder, order) = store(WEIGHT + 5).await;
    {
        let meta = compose::open_meta(&order.data_dir).unwrap();
        meta.shut(&order.uid, row(AuditAction::UserDisable)).await.unwrap();
        meta.empty(&order.uid, 7, SystemClock.now()).await.unwrap();
    }
    assert_eq!(remove(&order, &Seen::default()).await.unwrap().nodes, WEIGHT as u64 - 2);
    // Behind the row: only keys and receipts may be left.
    assert_eq!(remove(&order, &Seen::default()).await.unwrap(), Removed::default());
    let stranger = Order { uid: "dave".parse().unwrap(), ..order };
    let words = remove(&stranger, &Seen::default()).await.unwrap_err().to_string();
    assert!(words.contains("no user dave") && words.lines().count() == 2, "{words}");
}
