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
    let own = proof(file, Own);
    let node = rig.store.commit(&own, commit.clone(), audit("flag")).await.unwrap();
    assert_eq!((node.version, node.size, node.flag), (Version(1), 30, Some(Flag::Integrity)));
    assert_eq!((node.author.clone(), node.mode), (Some(uid("bob")), 0o600));
    assert_eq!((node.mtime_ns, node.ctime_ns), (FileTime(5), commit.now.nanos()));
    assert_eq!(node.owner, uid("alice"), "a check-in by somebody else does not change the owner");
    assert_eq!(rig.seen(file, "alice").await.node, node);

    let stored = rig.store.version(file, Version(1)).await.unwrap().unwrap();
    let expected = StoredVersion {
        version: Version(1),
        leaf: Leaf(3),
        sealed_record: commit.sealed_record.clone(),
        superseded: None,
    };
    assert_eq!(stored, expected);
    assert_eq!(rig.store.packs(&[PackId::random(), pack]).await.unwrap(), [row]);
    assert!(rig.store.has_pack(pack).await.unwrap());
    assert_eq!(rig.store.key_node(key(0, 1).position).await.unwrap(), Some(key(0, 1)));
    assert_eq!(rig.store.key_node(key(1, 1).position).await.unwrap(), None);
    assert_eq!(rig.store.last_leaf().await.unwrap(), Some(Leaf(3)));
}

pub(super) async fn versions_move(rig: Rig) {
    let file = rig.file("a").await;
    refused!(rig.commit(file, version(1, 1)).await, StoreError::VersionMoved(Version(0)));
    rig.commit(file, version(0, 1)).await.unwrap();
    refused!(rig.commit(file, version(0, 2)).await, StoreError::VersionMoved(Version(1)));
    assert_eq!(rig.commit(file, version(1, 2)).await.unwrap().version, Version(2));
    let old = rig.store.version(file, Version(1)).await.unwrap().unwrap();
    assert_eq!(old.superseded, Some(Timestamp(NOW.0 + 2)));
    assert_eq!(rig.store.version(file, Version(2)).await.unwrap().unwrap().superseded, None);
    assert_eq!(rig.store.version(file, Version(3)).await.unwrap(), None);
    assert_eq!(rig.store.last_leaf().await.unwrap(), Some(Leaf(2)), "what was refused left no leaf");
}

pub(super) async fn newer_versions_share_packs(rig: Rig) {
    let file = rig.file("a").await;
    let (first, one) = version_with_pack(file, 0, 1, false);
    rig.commit(file, first).await.unwrap();
    let (mut second, two) = version_with_pack(file, 1, 2, true);
    second.uses.push(one);
    rig.commit(file, second).await.unwrap();
    rig.store.drop_versions(&[(file, Version(1))]).await.unwrap();
    assert!(rig.store.has_pack(one).await.unwrap() && rig.store.has_pack(two).await.unwrap());
    assert_eq!(rig.store.erasures(9).await.unwrap(), [], "leaf 1 still holds the pack's key");
}

pub(super) async fn commits_that_make_no_sense(rig: Rig) {
    let home = rig.home("alice").await;
    let file = rig.file("a").await;
    refused!(rig.commit(home, version(0, 1)).await, StoreError::IsFolder);
    refused!(rig.commit(NodeId::random(), version(0, 1)).await, StoreError::NotFound);
    let unknown = Commit { uses: vec![PackId::random()], ..version(0, 1) };
    refused!(rig.commit(file, unknown).await, StoreError::Damaged(_));
    let (commit, pack) = version_with_pack(file, 0, 1, false);
    refused!(rig.commit(file, Commit { uses: vec![], ..commit.clone() }).await, StoreError::Damaged(_));
    assert!(!rig.store.has_pack(pack).await.unwrap(), "nothing of it stays");
    assert_eq!(rig.store.version(file, Version(1)).await.unwrap(), None);
    rig.commit(file, commit.clone()).await.unwrap();
    refused!(rig.commit(file, Commit { base: Version(1), ..commit }).await, StoreError::Exists);
    assert_eq!(rig.seen(file, "alice").await.node.version, Version(1));
}

/// A node and its first version: both, or neither.
pub(super) async fn created_with_content(rig: Rig) {
    let home = rig.home("alice").await;
    rig.grant(home, "bob", Right::Checkin, LATER).await;
    let new = new_node("a", Kind::File);
    let (commit, pack) = version_with_pack(new.id, 0, 1, true);
    let made = async |commit: Commit, id, by, folder, node: &NewNode| {
        let folder = proof_as(by, folder, Checkin);
        let (proof, create) = (folder.made(id), Some(Creation { folder, node: node.clone() }));
        rig.store.commit(&proof, Commit { create, ..commit }, audit("checkin")).await
    };
    let wrong = Commit { base: Version(1), ..commit.clone() };
    refused!(made(wrong, new.id, "bob", home, &new).await, StoreError::Damaged(_));
    let other = NewNode { id: NodeId::random(), ..new.clone() };
    refused!(made(commit.clone(), new.id, "bob", home, &other).await, StoreError::Damaged(_));
    let lost = Commit { uses: vec![pack, PackId::random()], ..commit.clone() };
    refused!(made(lost, new.id, "bob", home, &new).await, StoreError::Damaged(_));
    assert_eq!(
        rig.store.node(new.id, &uid("alice"), NOW).await.unwrap(),
        None,
        "no node without its version"
    );
    let node = made(commit, new.id, "bob", home, &new).await.unwrap();
    assert_eq!((node.version, node.owner.clone(), node.name), (Version(1), uid("bob"), Some(name("a"))));
    let again = new_node("a", Kind::File);
    refused!(made(version(0, 2), again.id, "alice", home, &again).await, StoreError::Exists);
    for (parent, gone) in [(new.id, false), (NodeId::random(), true)] {
        match made(version(0, 2), again.id, "alice", parent, &again).await {
            Err(StoreError::NotFound) if gone => {}
            Err(StoreError::NotFolder) if !gone => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(rig.store.last_leaf().await.unwrap(), Some(Leaf(1)));
}

/// What was made for one flag does not become the other's, unless an owner changes just that.
pub(super) async fn a_flag_that_moved(rig: Rig) {
    let file = rig.file("a").await;
    let own = proof(file, Own);
    rig.store.set_flag(&own, Flag::Integrity, audit("flag")).await.unwrap();
    refused!(rig.commit(file, version(0, 1)).await, StoreError::VersionMoved(Version(0)));
    let node = rig.store.commit(&own, version(0, 1), audit("flag")).await.unwrap();
    assert_eq!((node.version, node.flag), (Version(1), Some(Flag::Confidentiality)));
}

pub(super) async fn older_keys_never_replace_newer(rig: Rig) {
    let file = rig.file("a").await;
    let with = |base, keys| Commit { keys, ..version(base, base + 1) };
    rig.commit(file, with(0, vec![key(0, 5), key(1, 5)])).await.unwrap();
    rig.commit(file, with(1, vec![key(0, 4), key(1, 6)])).await.unwrap();
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
    rig.commit(document, old).await.unwrap();
    let (source, pack) = version_with_pack(draft, 0, 2, false);
    rig.commit(draft, source).await.unwrap();
    rig.grant(document, "bob", Right::Both, LATER).await;
    let commit =
        Commit { uses: vec![pack], consumes: Some((proof(draft, Own), Version(1))), ..version(1, 3) };
    let node = rig.commit(document, commit).await.unwrap();
    assert_eq!((node.id, node.version), (document, Version(2)));
    assert_eq!(rig.store.node(draft, &uid("alice"), NOW).await.unwrap(), None);
    assert_eq!(rig.store.version(draft, Version(1)).await.unwrap(), None);
    assert!(rig.store.has_pack(pack).await.unwrap() && rig.store.has_pack(replaced).await.unwrap());
    assert_eq!(rig.store.packs(&[pack]).await.unwrap()[0].document, draft, "what it was sealed for");
    assert_eq!(rig.store.grants(document).await.unwrap().len(), 1);
    assert_eq!(rig.store.trash(9, NOW).await.unwrap(), []);
    let home = rig.home("alice").await;
    assert_eq!(rig.seen(home, "alice").await.node.mtime_ns, Timestamp(NOW.0 + 3).nanos());
}

/// What is consumed brings its attributes along, or has none and leaves those that are there.
pub(super) async fn consuming_attributes(rig: Rig) {
    let (document, draft) = (rig.file("document").await, rig.file("draft").await);
    let set = async |node, name: &str, value: &[u8]| {
        rig.store.set_xattr(&proof(node, Own), name, value, XattrMode::Any, NOW).await.unwrap();
    };
    set(document, "user.a", b"old").await;
    set(document, "user.gone", b"old").await;
    set(draft, "user.a", b"new").await;
    set(draft, "user.b", b"new").await;
    let take =
        |source, base| Commit { consumes: Some((proof(source, Own), Version(0))), ..version(base, base + 1) };
    let brought = [("user.a".to_string(), b"new".to_vec()), ("user.b".to_string(), b"new".to_vec())];
    refused!(rig.commit(document, take(draft, 5)).await, StoreError::VersionMoved(_));
    assert_eq!(rig.store.xattrs(draft).await.unwrap(), brought, "nothing happened");
    rig.commit(document, take(draft, 0)).await.unwrap();
    assert_eq!(rig.store.xattrs(document).await.unwrap(), brought);
    let plain = rig.file("draft").await;
    assert_eq!(rig.store.xattrs(plain).await.unwrap(), []);
    rig.commit(document, take(plain, 1)).await.unwrap();
    assert_eq!(rig.store.xattrs(document).await.unwrap(), brought);
}

pub(super) async fn consuming_too_late(rig: Rig) {
    let (document, draft) = (rig.file("document").await, rig.file("draft").await);
    let folder = rig.folder(rig.home("alice").await, "d").await;
    let take = |source, of| Commit { consumes: Some((proof(source, Own), Version(of))), ..version(0, 1) };
    refused!(rig.commit(document, take(draft, 1)).await, StoreError::VersionMoved(Version(0)));
    refused!(rig.commit(document, take(NodeId::random(), 0)).await, StoreError::NotFound);
    refused!(rig.commit(document, take(folder, 0)).await, StoreError::IsFolder);
    refused!(rig.commit(document, take(document, 1)).await, StoreError::Damaged(_));
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
            let file = *file;
            let (commit, _) = version_with_pack(file, base, leaf, true);
            let rig = rig.clone();
            tokio::spawn(async move { rig.commit(file, commit).await })
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
    assert_eq!(rig.store.last_leaf().await.unwrap(), Some(Leaf(50)));
}
