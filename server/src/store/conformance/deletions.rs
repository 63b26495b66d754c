use super::*;

pub(super) async fn logging(rig: Rig) {
    let home = rig.home("alice").await;
    let folder = rig.folder(home, "f").await;
    let file = rig.make(folder, "a", Kind::File).await;
    let (first, _) = version_with_pack(file, 0, 3, false);
    rig.commit(file, first).await.unwrap();
    rig.commit(file, version(1, 5)).await.unwrap();
    assert_eq!(rig.store.deletion(file).await.unwrap(), None);
    let deletion = rig.remove(file, folder, "a").await.unwrap();
    let expected = Deletion {
        seq: deletion.seq,
        document: file,
        home: uid("alice"),
        user: uid("alice"),
        path: "@alice/f/a".into(),
        time: NOW,
        versions: vec![Version(1), Version(2)],
        keys: vec![Leaf(3), Leaf(5)],
        shared: vec![],
        erased: None,
    };
    assert_eq!(deletion, expected);
    assert_eq!(rig.store.deletion(file).await.unwrap(), Some(expected.clone()));

    let empty = rig.remove(folder, home, "f").await.unwrap();
    assert_eq!((&empty.versions[..], &empty.keys[..], empty.path.as_str()), (&[][..], &[][..], "@alice/f"));
    assert!(empty.seq > expected.seq);
    assert_eq!(rig.store.deletions(DeletionSeq::NONE, 9).await.unwrap(), [expected.clone(), empty.clone()]);
    assert_eq!(rig.store.deletions(DeletionSeq::NONE, 1).await.unwrap(), std::slice::from_ref(&expected));
    assert_eq!(rig.store.deletions(expected.seq, 9).await.unwrap(), [empty]);
}

pub(super) async fn shared_keys_are_told(rig: Rig) {
    let home = rig.home("alice").await;
    let (a, b) = (rig.file("a").await, rig.file("b").await);
    let (commit, pack) = version_with_pack(a, 0, 1, false);
    rig.commit(a, commit).await.unwrap();
    rig.commit(b, Commit { uses: vec![pack], ..version(0, 2) }).await.unwrap();
    let deletion = rig.remove(b, home, "b").await.unwrap();
    assert_eq!(
        (&deletion.keys[..], &deletion.shared[..]),
        (&[Leaf(2)][..], &[Leaf(1)][..]),
        "the copy first"
    );
    let deletion = rig.remove(a, home, "a").await.unwrap();
    assert_eq!(
        (&deletion.keys[..], &deletion.shared[..]),
        (&[Leaf(1)][..], &[][..]),
        "then what it was made of"
    );
}

pub(super) async fn erased_when_the_last_key_is(rig: Rig) {
    let home = rig.home("alice").await;
    let (a, b) = (rig.file("a").await, rig.file("b").await);
    for (file, base, leaf) in [(a, 0, 1), (a, 1, 2), (b, 0, 3)] {
        rig.commit(file, version(base, leaf)).await.unwrap();
    }
    rig.remove(a, home, "a").await.unwrap();
    rig.remove(b, home, "b").await.unwrap();
    let erased = async |file| rig.store.deletion(file).await.unwrap().unwrap().erased;
    let later = Erased { epoch: Epoch(8), time: LATER };
    rig.store.erased(&[1].map(Leaf), vec![], ERASED).await.unwrap();
    assert_eq!((erased(a).await, erased(b).await), (None, None));
    rig.store.erased(&[2].map(Leaf), vec![], later).await.unwrap();
    assert_eq!((erased(a).await, erased(b).await), (Some(later), None));
    rig.store.erased(&[1, 2, 3].map(Leaf), vec![], ERASED).await.unwrap();
    assert_eq!((erased(a).await, erased(b).await), (Some(later), Some(ERASED)), "said once");
}

/// What a rename puts something else in the place of was removed; what went into another document was not.
pub(super) async fn replaced_ones_are_logged(rig: Rig) {
    let home = rig.home("alice").await;
    let (a, b, c) = (rig.file("a").await, rig.file("b").await, rig.file("c").await);
    rig.commit(b, version(0, 1)).await.unwrap();
    rig.rename_onto(a, (home, "a"), (home, "b"), Some(b)).await.unwrap();
    let log = rig.store.deletions(DeletionSeq::NONE, 9).await.unwrap();
    assert_eq!(
        log.iter().map(|entry| (entry.document, entry.path.as_str())).collect::<Vec<_>>(),
        [(b, "@alice/b")]
    );
    rig.commit(c, version(0, 2)).await.unwrap();
    let consumes = Some((proof(c, Own), Version(1)));
    rig.commit(a, Commit { consumes, ..version(0, 3) }).await.unwrap();
    assert_eq!(rig.store.deletions(DeletionSeq::NONE, 9).await.unwrap().len(), 1);
    assert_eq!(rig.store.erasures(9).await.unwrap(), [1, 2].map(Leaf));
}

pub(super) async fn removing_again(rig: Rig) {
    let home = rig.home("alice").await;
    let folder = rig.folder(home, "f").await;
    let file = rig.make(folder, "a", Kind::File).await;
    let (commit, pack) = version_with_pack(file, 0, 4, false);
    rig.commit(file, commit).await.unwrap();
    let entry = |document| Deletion {
        seq: DeletionSeq(99),
        document,
        home: uid("alice"),
        user: uid("bob"),
        path: "@alice/elsewhere".into(),
        time: LATER,
        versions: vec![Version(1), Version(2)],
        keys: vec![Leaf(17)],
        shared: vec![],
        erased: Some(ERASED),
    };
    assert!(!rig.store.remove_again(&entry(folder)).await.unwrap(), "it has entries");
    assert!(!rig.store.remove_again(&entry(home)).await.unwrap(), "a home stays");
    assert!(!rig.store.remove_again(&entry(NodeId::random())).await.unwrap());
    assert!(rig.store.remove_again(&entry(file)).await.unwrap());
    assert!(!rig.store.remove_again(&entry(file)).await.unwrap());
    assert_eq!(rig.store.erasures(9).await.unwrap(), [4].map(Leaf), "the keys that it has here, no others");
    assert_eq!(rig.store.trash(9, NOW).await.unwrap(), [pack]);
    let logged = rig.store.deletion(file).await.unwrap().unwrap();
    let told = (logged.path.as_str(), &logged.user, logged.time, &logged.keys[..], logged.erased);
    assert_eq!(told, ("@alice/f/a", &uid("bob"), LATER, &[Leaf(4)][..], None));
    assert_eq!(logged.seq, DeletionSeq(99), "its number, which is free here");
    assert!(rig.store.remove_again(&entry(folder)).await.unwrap());
    assert_eq!(
        rig.store.deletion(folder).await.unwrap().unwrap().seq,
        DeletionSeq(100),
        "the next where it is taken"
    );
}

pub(super) async fn numbers_are_given_once(rig: Rig) {
    let home = rig.home("alice").await;
    let last = async || rig.store.last_deletion().await.unwrap();
    assert_eq!(last().await, DeletionSeq(0));
    rig.store.skip_deletions(DeletionSeq(7)).await.unwrap();
    assert_eq!(last().await, DeletionSeq(7), "also before the first entry");
    let first = rig.file("a").await;
    assert_eq!(rig.remove(first, home, "a").await.unwrap().seq, DeletionSeq(8));
    rig.store.skip_deletions(DeletionSeq(3)).await.unwrap();
    assert_eq!(last().await, DeletionSeq(8), "never back");
    let again = rig.file("b").await;
    let entry = Deletion {
        seq: DeletionSeq(5),
        document: again,
        ..rig.store.deletion(first).await.unwrap().unwrap()
    };
    assert!(rig.store.remove_again(&entry).await.unwrap());
    let log = rig.store.deletions(DeletionSeq::NONE, 9).await.unwrap();
    assert_eq!(
        log.iter().map(|entry| (entry.seq, entry.document)).collect::<Vec<_>>(),
        [(DeletionSeq(5), again), (DeletionSeq(8), first)]
    );
    assert_eq!(last().await, DeletionSeq(8));
}
