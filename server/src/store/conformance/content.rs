use super::*;

pub(super) async fn first_version(rig: Rig) {
    let file = rig.file("a").await;
    assert_eq!(rig.store.last_leaf().await.unwrap(), None);
    let (mut commit, pack) = version_with_pack(file, 0, 3, true);
    commit.flag = Flag::Integrity;
    commit.author = uid("bob");
    commit.mode = Some(0o600);
    commit.keys = vec![key(0, 1)];
    let row = commit.pack.clone().unwrap();
    let own = proof(file, Action::Own);
    let node = rig.store.commit(&own, commit.clone(), audit("flag")).await.unwrap();
    assert_eq!((node.version, node.size, node.flag), (Version(1), 30, Some(Flag::Integrity)));
    assert_eq!((node.author.clone(), node.mode), (Some(uid("bob")), 0o600));
    assert_eq!((node.mtime_ns, node.ctime_ns), (5, nanos(commit.now)));
    assert_eq!(node.owner, uid("alice"), "a check-in by somebody else does not change the owner");
    assert_eq!(rig.seen(file, "alice").await.node, node);

    let stored = rig.store.version(file, Version(1)).await.unwrap().unwrap();
    let expected = StoredVersion {
        version: Version(1),
        leaf: 3,
        sealed_record: commit.sealed_record.clone(),
        superseded: None,
    };
    assert_eq!(stored, expected);
    assert_eq!(rig.store.packs(&[PackId::random(), pack]).await.unwrap(), [row]);
    assert!(rig.store.has_pack(pack).await.unwrap());
    assert_eq!(rig.store.key_node(key(0, 1).position).await.unwrap(), Some(key(0, 1)));
    assert_eq!(rig.store.key_node(key(1, 1).position).await.unwrap(), None);
    assert_eq!(rig.store.last_leaf().await.unwrap(), Some(3));
}

pub(super) async fn versions_move(rig: Rig) {
    let file = rig.file("a").await;
    refused!(rig.commit(version(file, 1, 1)).await, StoreError::VersionMoved(Version(0)));
    rig.commit(version(file, 0, 1)).await.unwrap();
    refused!(rig.commit(version(file, 0, 2)).await, StoreError::VersionMoved(Version(1)));
    assert_eq!(rig.commit(version(file, 1, 2)).await.unwrap().version, Version(2));
    let old = rig.store.version(file, Version(1)).await.unwrap().unwrap();
    assert_eq!(old.superseded, Some(Timestamp(NOW.0 + 2)));
    assert_eq!(rig.store.version(file, Version(2)).await.unwrap().unwrap().superseded, None);
    assert_eq!(rig.store.version(file, Version(3)).await.unwrap(), None);
    assert_eq!(rig.store.last_leaf().await.unwrap(), Some(2), "what was refused left no leaf");
}

pub(super) async fn newer_versions_share_packs(rig: Rig) {
    let file = rig.file("a").await;
    let (first, one) = version_with_pack(file, 0, 1, false);
    rig.commit(first).await.unwrap();
    let (mut second, two) = version_with_pack(file, 1, 2, true);
    second.uses.push(one);
    rig.commit(second).await.unwrap();
    rig.store.drop_versions(&[(file, Version(1))]).await.unwrap();
    assert!(rig.store.has_pack(one).await.unwrap() && rig.store.has_pack(two).await.unwrap());
    assert_eq!(rig.store.erasures(9).await.unwrap(), [0u64; 0], "leaf 1 still holds the pack's key");
}

pub(super) async fn commits_that_make_no_sense(rig: Rig) {
    let home = rig.home("alice").await;
    let file = rig.file("a").await;
    refused!(rig.commit(version(home, 0, 1)).await, StoreError::IsFolder);
    refused!(rig.commit(version(NodeId::random(), 0, 1)).await, StoreError::NotFound);
    let unknown = Commit { uses: vec![PackId::random()], ..version(file, 0, 1) };
    refused!(rig.commit(unknown).await, StoreError::Damaged(_));
    let (commit, pack) = version_with_pack(file, 0, 1, false);
    refused!(rig.commit(Commit { uses: vec![], ..commit.clone() }).await, StoreError::Damaged(_));
    assert!(!rig.store.has_pack(pack).await.unwrap(), "nothing of it stays");
    assert_eq!(rig.store.version(file, Version(1)).await.unwrap(), None);
    rig.commit(commit.clone()).await.unwrap();
    refused!(rig.commit(Commit { base: Version(1), ..commit }).await, StoreError::Exists);
    assert_eq!(rig.seen(file, "alice").await.node.version, Version(1));
}

/// A node and its first version: both, or neither.
pub(super) async fn created_with_content(rig: Rig) {
    let home = rig.home("alice").await;
    let new = new_node(home, "a", Kind::File);
    let (commit, pack) = version_with_pack(new.id, 0, 1, true);
    let commit = Commit { create: Some(new.clone()), ..commit };
    let made = |commit: Commit, by: &'static str| {
        let (store, proof) = (rig.store.clone(), proof_as(by, commit.node, Action::Checkin));
        async move { store.commit(&proof, commit, audit("checkin")).await }
    };
    let wrong = Commit { base: Version(1), ..commit.clone() };
    refused!(made(wrong, "bob").await, StoreError::Damaged(_));
    let other = NewNode { id: NodeId::random(), ..new.clone() };
    refused!(made(Commit { create: Some(other), ..commit.clone() }, "bob").await, StoreError::Damaged(_));
    let lost = Commit { uses: vec![pack, PackId::random()], ..commit.clone() };
    refused!(made(lost, "bob").await, StoreError::Damaged(_));
    assert_eq!(
        rig.store.node(new.id, &uid("alice"), NOW).await.unwrap(),
        None,
        "no node without its version"
    );
    let node = made(commit.clone(), "bob").await.unwrap();
    assert_eq!((node.version, node.owner.clone(), node.name), (Version(1), uid("bob"), Some(name("a"))));
    let again = new_node(home, "a", Kind::File);
    let second = Commit { create: Some(again.clone()), ..version(again.id, 0, 2) };
    refused!(made(second.clone(), "alice").await, StoreError::Exists);
    for (parent, gone) in [(new.id, false), (NodeId::random(), true)] {
        let lost = Commit { create: Some(NewNode { parent, ..again.clone() }), ..second.clone() };
        match made(lost, "alice").await {
            Err(StoreError::NotFound) if gone => {}
            Err(StoreError::NotFolder) if !gone => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(rig.store.last_leaf().await.unwrap(), Some(1));
}

/// What was made for one flag does not become the other's, unless an owner changes just that.
pub(super) async fn a_flag_that_moved(rig: Rig) {
    let file = rig.file("a").await;
    let own = proof(file, Action::Own);
    rig.store.set_flag(&own, Flag::Integrity, audit("flag")).await.unwrap();
    refused!(rig.commit(version(file, 0, 1)).await, StoreError::VersionMoved(Version(0)));
    let node = rig.store.commit(&own, version(file, 0, 1), audit("flag")).await.unwrap();
    assert_eq!((node.version, node.flag), (Version(1), Some(Flag::Confidentiality)));
}

pub(super) async fn older_keys_never_replace_newer(rig: Rig) {
    let file = rig.file("a").await;
    let with = |base, keys| Commit { keys, ..version(file, base, base + 1) };
    rig.commit(with(0, vec![key(0, 5), key(1, 5)])).await.unwrap();
    rig.commit(with(1, vec![key(0, 4), key(1, 6)])).await.unwrap();
    assert_eq!(rig.store.key_node(key(0, 0).position).await.unwrap(), Some(key(0, 5)));
    assert_eq!(rig.store.key_node(key(1, 0).position).await.unwrap(), Some(key(1, 6)));
    let same = KeyImage { sealed: Bytes::from_static(b"other"), ..key(0, 5) };
    rig.store.erased(&[], vec![same, key(1, 3)], ERASED).await.unwrap();
    assert_eq!(rig.store.key_node(key(0, 0).position).await.unwrap(), Some(key(0, 5)));
    assert_eq!(rig.store.key_node(key(1, 0).position).await.unwrap(), Some(key(1, 6)));
    rig.store.erased(&[], vec![key(0, 7)], ERASED).await.unwrap();
    assert_eq!(rig.store.key_node(key(0, 0).position).await.unwrap(), Some(key(0, 7)));
}

/// `draft` is renamed onto `document`: its packs pass over, its node goes.
pub(super) async fn consuming(rig: Rig) {
    let (document, draft) = (rig.file("document").await, rig.file("draft").await);
    let (old, replaced) = version_with_pack(document, 0, 1, false);
    rig.commit(old).await.unwrap();
    let (source, pack) = version_with_pack(draft, 0, 2, false);
    rig.commit(source).await.unwrap();
    rig.grant(document, "bob", Right::Both, LATER).await;
    let commit = Commit { uses: vec![pack], consumes: Some((draft, Version(1))), ..version(document, 1, 3) };
    let node = rig.commit(commit).await.unwrap();
    assert_eq!((node.id, node.version), (document, Version(2)));
    assert_eq!(rig.store.node(draft, &uid("alice"), NOW).await.unwrap(), None);
    assert_eq!(rig.store.version(draft, Version(1)).await.unwrap(), None);
    assert!(rig.store.has_pack(pack).await.unwrap() && rig.store.has_pack(replaced).await.unwrap());
    assert_eq!(rig.store.packs(&[pack]).await.unwrap()[0].document, draft, "what it was sealed for");
    assert_eq!(rig.store.grants(document).await.unwrap().len(), 1);
    assert_eq!(rig.store.trash(9, NOW).await.unwrap(), []);
    let home = rig.home("alice").await;
    assert_eq!(rig.seen(home, "alice").await.node.mtime_ns, nanos(Timestamp(NOW.0 + 3)));
}

pub(super) async fn consuming_too_late(rig: Rig) {
    let (document, draft) = (rig.file("document").await, rig.file("draft").await);
    let folder = rig.folder(rig.home("alice").await, "d").await;
    let take = |source, of| Commit { consumes: Some((source, Version(of))), ..version(document, 0, 1) };
    refused!(rig.commit(take(draft, 1)).await, StoreError::VersionMoved(Version(0)));
    refused!(rig.commit(take(NodeId::random(), 0)).await, StoreError::NotFound);
    refused!(rig.commit(take(folder, 0)).await, StoreError::IsFolder);
    refused!(rig.commit(take(document, 1)).await, StoreError::Damaged(_));
    assert_eq!(rig.seen(document, "alice").await.node.version, Version::NONE, "nothing happened");
    assert_eq!(rig.store.last_leaf().await.unwrap(), None);
}

/// Fifty at once, among them some that fail: each is answered for itself, and what succeeded is there.
pub(super) async fn many_at_once(rig: Rig) {
    let rig = Arc::new(rig);
    let mut files = Vec::new();
    for number in 0..50 {
        files.push(rig.file(&format!("f{number}")).await);
    }
    let tasks: Vec<_> = (1..)
        .zip(&files)
        .map(|(leaf, file)| {
            let base = if leaf % 7 == 0 { 9 } else { 0 };
            let (commit, _) = version_with_pack(*file, base, leaf, true);
            let rig = rig.clone();
            tokio::spawn(async move { rig.commit(commit).await })
        })
        .collect();
    for (leaf, (task, file)) in (1..).zip(tasks.into_iter().zip(&files)) {
        let outcome = task.await.unwrap();
        let found = rig.seen(*file, "alice").await.node;
        if leaf % 7 == 0 {
            refused!(outcome, StoreError::VersionMoved(Version(0)));
            assert_eq!(found.version, Version::NONE);
        } else {
            assert_eq!(outcome.unwrap(), found);
            assert_eq!((found.version, found.size), (Version(1), leaf * 10));
        }
    }
    assert_eq!(rig.store.last_leaf().await.unwrap(), Some(50));
}

/// A proof on another node, or of a lesser action, changes nothing.
pub(super) async fn proofs_are_checked(rig: Rig) {
    let home = rig.home("alice").await;
    let (file, other) = (rig.file("a").await, rig.file("b").await);
    let before = rig.seen(file, "alice").await.node;
    let grant = NewGrant { grantee: grantee("ALL"), right: Right::Both, until: LATER };
    let remove = Remove { node: file, parent: home, name: name("a"), version: None, now_ns: 1 };
    let rename = Rename {
        node: file,
        parent: home,
        name: name("a"),
        new_parent: home,
        new_name: name("c"),
        replacing: None,
        now_ns: 1,
    };
    for wrong in [proof(other, Action::Own), proof(file, Action::See), proof(file, Action::Checkout)] {
        let new = new_node(home, "new", Kind::File);
        refused!(rig.store.create(&wrong, new, audit("own")).await, StoreError::Damaged(_));
        refused!(rig.store.commit(&wrong, version(file, 0, 1), audit("own")).await, StoreError::Damaged(_));
        refused!(rig.store.remove(&wrong, remove.clone(), audit("own")).await, StoreError::Damaged(_));
        refused!(rig.store.rename(&wrong, rename.clone(), audit("own")).await, StoreError::Damaged(_));
    }
    let writer = proof(file, Action::Checkin);
    refused!(rig.store.remove(&writer, remove, audit("own")).await, StoreError::Damaged(_));
    refused!(rig.store.rename(&writer, rename, audit("own")).await, StoreError::Damaged(_));
    refused!(rig.store.set_grant(&writer, grant, audit("own")).await, StoreError::Damaged(_));
    refused!(rig.store.revoke_grant(&writer, &grantee("ALL"), audit("own")).await, StoreError::Damaged(_));
    refused!(rig.store.set_flag(&writer, Flag::Integrity, audit("own")).await, StoreError::Damaged(_));
    let reader = proof(file, Action::Checkout);
    refused!(rig.store.set_attr(&reader, SetAttr::default()).await, StoreError::Damaged(_));
    refused!(rig.store.set_xattr(&reader, "user.a", b"", XattrMode::Any).await, StoreError::Damaged(_));
    refused!(rig.store.remove_xattr(&reader, "user.a").await, StoreError::Damaged(_));
    assert_eq!(rig.seen(file, "alice").await.node, before);
    assert_eq!(rig.store.grants(file).await.unwrap(), []);
}
