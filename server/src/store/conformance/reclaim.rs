use super::*;

pub(super) async fn removing_queues(rig: Rig) {
    let home = rig.home("alice").await;
    let file = rig.file("a").await;
    let (first, one) = version_with_pack(file, 0, 1, false);
    let (second, two) = version_with_pack(file, 1, 2, false);
    rig.commit(file, first).await.unwrap();
    rig.commit(file, second).await.unwrap();
    assert_eq!(rig.store.erasures(9).await.unwrap(), []);
    rig.remove(file, home, "a").await.unwrap();
    assert_eq!(rig.store.erasures(9).await.unwrap(), [1, 2].map(Leaf));
    assert_eq!(rig.store.erasures(1).await.unwrap(), [1].map(Leaf));
    let mut trash = rig.store.trash(9, NOW).await.unwrap();
    trash.sort();
    let mut packs = [one, two];
    packs.sort();
    assert_eq!(trash, packs);
    assert!(rig.store.has_pack(one).await.unwrap(), "no orphan: it waits in the trash");
    assert_eq!(rig.store.version(file, Version(2)).await.unwrap(), None);
    assert_eq!(rig.store.superseded(LATER, 9).await.unwrap(), []);

    rig.store.trashed(&[one]).await.unwrap();
    assert!(!rig.store.has_pack(one).await.unwrap());
    assert_eq!(rig.store.trash(9, NOW).await.unwrap(), [two]);
    rig.store.trashed(&[one, two]).await.unwrap();
    assert_eq!(rig.store.trash(9, NOW).await.unwrap(), []);
    assert_eq!(rig.store.last_leaf().await.unwrap(), Some(Leaf(2)), "a leaf's number is not used again");
}

pub(super) async fn inline_packs_are_no_trash(rig: Rig) {
    let home = rig.home("alice").await;
    let file = rig.file("a").await;
    let (commit, pack) = version_with_pack(file, 0, 1, true);
    rig.commit(file, commit).await.unwrap();
    rig.remove(file, home, "a").await.unwrap();
    assert!(!rig.store.has_pack(pack).await.unwrap());
    assert_eq!(rig.store.trash(9, NOW).await.unwrap(), []);
    assert_eq!(rig.store.erasures(9).await.unwrap(), [1].map(Leaf));
}

/// Two documents on one pack: it and its key stay until the second goes too.
pub(super) async fn shared_packs_stay(rig: Rig) {
    let home = rig.home("alice").await;
    let (a, b) = (rig.file("a").await, rig.file("b").await);
    let (commit, pack) = version_with_pack(a, 0, 1, false);
    rig.commit(a, commit).await.unwrap();
    rig.commit(b, Commit { uses: vec![pack], ..version(0, 2) }).await.unwrap();
    rig.remove(a, home, "a").await.unwrap();
    assert!(rig.store.has_pack(pack).await.unwrap());
    assert_eq!(rig.store.erasures(9).await.unwrap(), []);
    assert_eq!(rig.store.trash(9, NOW).await.unwrap(), []);
    rig.remove(b, home, "b").await.unwrap();
    assert_eq!(rig.store.erasures(9).await.unwrap(), [1, 2].map(Leaf));
    assert_eq!(rig.store.trash(9, NOW).await.unwrap(), [pack]);
}

pub(super) async fn dropping_versions(rig: Rig) {
    let file = rig.file("a").await;
    let (first, one) = version_with_pack(file, 0, 1, false);
    let (second, two) = version_with_pack(file, 1, 2, false);
    rig.commit(file, first).await.unwrap();
    rig.commit(file, second).await.unwrap();
    let asked = [(file, Version(2)), (file, Version(7)), (NodeId::random(), Version(1))];
    rig.store.drop_versions(&asked).await.unwrap();
    assert!(rig.store.version(file, Version(2)).await.unwrap().is_some(), "never the current one");
    rig.store.drop_versions(&[(file, Version(1)), (file, Version(1))]).await.unwrap();
    assert_eq!(rig.store.version(file, Version(1)).await.unwrap(), None);
    assert_eq!(rig.store.trash(9, NOW).await.unwrap(), [one]);
    assert_eq!(rig.store.erasures(9).await.unwrap(), [1].map(Leaf));
    assert!(rig.store.has_pack(two).await.unwrap());
}

pub(super) async fn superseded_in_order(rig: Rig) {
    let (a, b) = (rig.file("a").await, rig.file("b").await);
    rig.commit(b, version(0, 1)).await.unwrap();
    rig.commit(b, version(1, 2)).await.unwrap(); // version 1 superseded at NOW + 2
    rig.commit(a, version(0, 3)).await.unwrap();
    rig.commit(a, version(1, 4)).await.unwrap(); // at NOW + 4
    rig.commit(b, version(2, 5)).await.unwrap(); // version 2 at NOW + 5
    let upto =
        async |millis: i64, limit| rig.store.superseded(Timestamp(NOW.0 + millis), limit).await.unwrap();
    assert_eq!(upto(1, 9).await, []);
    assert_eq!(upto(2, 9).await, [(b, Version(1))]);
    assert_eq!(upto(9, 9).await, [(b, Version(1)), (a, Version(1)), (b, Version(2))]);
    assert_eq!(upto(9, 2).await, [(b, Version(1)), (a, Version(1))]);
}

pub(super) async fn erasing(rig: Rig) {
    let home = rig.home("alice").await;
    for (leaf, text) in [(3, "a"), (1, "b"), (2, "c")] {
        let file = rig.file(text).await;
        rig.commit(file, version(0, leaf)).await.unwrap();
        rig.remove(file, home, text).await.unwrap();
    }
    assert_eq!(rig.store.erasures(9).await.unwrap(), [3, 1, 2].map(Leaf), "in the order in which they came");
    rig.store.erased(&[3, 2, 99].map(Leaf), vec![key(0, 8)], ERASED).await.unwrap();
    assert_eq!(rig.store.erasures(9).await.unwrap(), [1].map(Leaf));
    assert_eq!(rig.store.key_node(key(0, 8).position).await.unwrap(), Some(key(0, 8)));
}

pub(super) async fn abandoning(rig: Rig) {
    let home = rig.home("alice").await;
    let (a, b) = (rig.file("a").await, rig.file("b").await);
    let (commit, _) = version_with_pack(a, 0, 4, false);
    rig.commit(a, commit).await.unwrap();
    rig.commit(b, version(0, 5)).await.unwrap();
    assert_eq!(rig.store.unused(&[6, 4, 5, 3].map(Leaf)).await.unwrap(), [6, 3].map(Leaf));
    rig.store.abandon(&[3, 4, 5, 6].map(Leaf)).await.unwrap();
    assert_eq!(
        rig.store.unused(&[3, 4, 5, 6, 7].map(Leaf)).await.unwrap(),
        [7].map(Leaf),
        "nor what is queued"
    );
    assert_eq!(rig.store.erasures(9).await.unwrap(), [3, 6].map(Leaf), "what is in use stays");
    assert_eq!(rig.store.last_queued().await.unwrap(), Some(Leaf(6)));
    rig.store.abandon(&[6, 9].map(Leaf)).await.unwrap();
    let again = rig.file("c").await;
    rig.commit(again, version(0, 9)).await.unwrap();
    assert_eq!(rig.store.erasures(9).await.unwrap(), [3, 6].map(Leaf), "nor one that is in use by now");
    rig.remove(b, home, "b").await.unwrap();
    rig.store.abandon(&[5].map(Leaf)).await.unwrap();
    assert_eq!(rig.store.erasures(9).await.unwrap(), [3, 6, 5].map(Leaf), "each once");
}

pub(super) async fn holding(rig: Rig) {
    let home = rig.home("alice").await;
    let file = rig.file("a").await;
    let (commit, pack) = version_with_pack(file, 0, 1, false);
    rig.commit(file, commit).await.unwrap();
    rig.store.hold("one", LATER).await.unwrap();
    rig.store.hold("two", NOW).await.unwrap();
    rig.remove(file, home, "a").await.unwrap();
    assert_eq!(rig.store.trash(9, NOW).await.unwrap(), []);
    assert_eq!(rig.store.erasures(9).await.unwrap(), [1].map(Leaf), "keys are erased all the same");
    assert_eq!(rig.store.trash(9, LATER).await.unwrap(), [pack], "a hold ends by itself");
    rig.store.hold("two", LATER).await.unwrap();
    rig.store.release("one").await.unwrap();
    assert_eq!(rig.store.trash(9, NOW).await.unwrap(), [], "moved on");
    rig.store.release("two").await.unwrap();
    rig.store.release("two").await.unwrap();
    assert_eq!(rig.store.trash(9, NOW).await.unwrap(), [pack]);
}

pub(super) async fn key_nodes_in_order(rig: Rig) {
    let keys = vec![key(300, 1), key(2, 1), key(7, 1)];
    let other = KeyImage { position: KeyPosition { level: 2, index: 3 }, ..key(3, 1) };
    rig.store.erased(&[], [keys.clone(), vec![other.clone()]].concat(), ERASED).await.unwrap();
    let from = async |level, from, limit| rig.store.key_nodes(level, from, limit).await.unwrap();
    assert_eq!(from(1, 0, 9).await, [key(2, 1), key(7, 1), key(300, 1)]);
    assert_eq!(from(1, 3, 1).await, [key(7, 1)]);
    assert_eq!(from(2, 0, 9).await, [other]);
    assert_eq!(from(0, 0, 9).await, []);
}
