use sss_common::limits::{DEPTH_MAX, XATTR_NAME_MAX, XATTR_TOTAL_MAX, XATTR_VALUE_MAX};

use super::*;

pub(super) async fn creating(rig: Rig) {
    let home = rig.home("alice").await;
    let new = NewNode { mode: 0o100_640, ..new_node("a.txt", Kind::File) };
    let id = new.id;
    rig.grant(home, "bob", Right::Checkin, LATER).await;
    let made = rig.store.create(&proof_as("bob", home, Checkin), new, audit("create")).await.unwrap();
    let expected = Node {
        id,
        parent: Some(home),
        name: Some(name("a.txt")),
        home: uid("alice"),
        owner: uid("bob"),
        kind: Kind::File,
        mode: 0o640,
        mtime_ns: FileTime(7),
        ctime_ns: FileTime(7),
        flag: Some(Flag::Confidentiality),
        version: Version::NONE,
        size: 0,
        author: None,
    };
    assert_eq!(made, expected);
    assert_eq!(rig.seen(id, "alice").await.node, expected);
    let home = rig.seen(home, "alice").await.node;
    assert_eq!(
        (home.mtime_ns, home.ctime_ns),
        (FileTime(7), FileTime(7)),
        "a folder changes with its entries"
    );
}

pub(super) async fn creating_where_it_cannot_be(rig: Rig) {
    let home = rig.home("alice").await;
    let file = rig.file("a").await;
    refused!(rig.make_as("alice", home, "a", Kind::Folder).await, StoreError::Exists);
    refused!(rig.make_as("alice", file, "b", Kind::File).await, StoreError::NotFolder);
    refused!(rig.make_as("alice", NodeId::random(), "b", Kind::File).await, StoreError::NotFound);
    let again = NewNode { id: file, ..new_node("b", Kind::File) };
    refused!(rig.store.create(&proof(home, Checkin), again, audit("create")).await, StoreError::Exists);
}

pub(super) async fn nesting_is_limited(rig: Rig) {
    let mut folder = rig.home("alice").await;
    for _ in 1..DEPTH_MAX {
        folder = rig.folder(folder, "d").await;
    }
    let last = rig.folder(folder, "d").await;
    refused!(rig.make_as("alice", last, "d", Kind::Folder).await, StoreError::TooDeep);
    refused!(rig.make_as("alice", last, "f", Kind::File).await, StoreError::TooDeep);
    assert_eq!(rig.seen(last, "alice").await.facts.levels.len(), DEPTH_MAX + 1);
}

pub(super) async fn looking_up(rig: Rig) {
    let home = rig.home("alice").await;
    let file = rig.file("a").await;
    let found = rig.store.child(home, &name("a"), &uid("bob"), NOW).await.unwrap().unwrap();
    assert_eq!(found, rig.seen(file, "bob").await);
    assert_eq!((found.node.id, found.facts.node, &found.facts.user), (file, file, &uid("bob")));
    for (parent, child) in [(home, "A"), (file, "a"), (NodeId::random(), "a")] {
        assert_eq!(rig.store.child(parent, &name(child), &uid("bob"), NOW).await.unwrap(), None);
    }
    assert_eq!(rig.store.node(NodeId::random(), &uid("bob"), NOW).await.unwrap(), None);
}

pub(super) async fn listing_pages(rig: Rig) {
    let home = rig.home("alice").await;
    for child in ["b", "ä", "B", "a", "a b", "@x"] {
        rig.make(home, child, Kind::File).await;
    }
    let list = async |after: Option<&str>, limit| {
        let after = after.map(name);
        let page = rig.store.children(home, after.as_ref(), limit, &uid("alice"), NOW).await.unwrap();
        page.into_iter().map(|seen| seen.node.name.unwrap().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list(None, 100).await, ["@x", "B", "a", "a b", "b", "ä"], "in the order of their bytes");
    assert_eq!(list(None, 2).await, ["@x", "B"]);
    assert_eq!(list(Some("B"), 2).await, ["a", "a b"]);
    assert_eq!(list(Some("a a"), 100).await, ["a b", "b", "ä"], "the name need not be there");
    assert_eq!(list(Some("ä"), 100).await, [""; 0]);
    assert_eq!(list(None, 0).await, [""; 0]);
    let file = rig.file("f").await;
    refused!(rig.store.children(file, None, 9, &uid("alice"), NOW).await, StoreError::NotFolder);
    refused!(rig.store.children(NodeId::random(), None, 9, &uid("alice"), NOW).await, StoreError::NotFound);
}

pub(super) async fn paths(rig: Rig) {
    let home = rig.home("alice").await;
    let folder = rig.folder(home, "a b").await;
    let file = rig.make(folder, "c", Kind::File).await;
    assert_eq!(rig.store.path(file).await.unwrap().as_deref(), Some("@alice/a b/c"));
    assert_eq!(rig.store.path(home).await.unwrap().as_deref(), Some("@alice"));
    assert_eq!(rig.store.path(NodeId::random()).await.unwrap(), None);
}

pub(super) async fn renaming(rig: Rig) {
    let home = rig.home("alice").await;
    let folder = rig.folder(home, "d").await;
    let file = rig.file("a").await;
    rig.grant(file, "bob", Right::Both, LATER).await;
    let moved = rig.rename(file, (home, "a"), (folder, "b")).await.unwrap();
    assert_eq!((moved.parent, moved.name.clone()), (Some(folder), Some(name("b"))));
    assert_eq!((moved.mtime_ns, moved.ctime_ns), (FileTime(7), FileTime(8)));
    assert_eq!(rig.seen(file, "bob").await.node, moved);
    assert_eq!(rig.store.grants(file).await.unwrap().len(), 1, "grants go with the document");
    for touched in [home, folder] {
        assert_eq!(rig.seen(touched, "alice").await.node.mtime_ns, FileTime(8));
    }
    assert_eq!(rig.store.child(home, &name("a"), &uid("alice"), NOW).await.unwrap(), None);
    let same = rig.rename(file, (folder, "b"), (folder, "b")).await.unwrap();
    assert_eq!(same, moved, "onto itself changes nothing");
}

pub(super) async fn renaming_onto(rig: Rig) {
    let home = rig.home("alice").await;
    let (file, other) = (rig.file("a").await, rig.file("b").await);
    let (folder, full) = (rig.folder(home, "d").await, rig.folder(home, "e").await);
    rig.make(full, "x", Kind::File).await;
    let to = async |node, from: &str, onto: &str, replacing| {
        rig.rename_onto(node, (home, from), (home, onto), replacing).await
    };
    refused!(to(file, "a", "b", None).await, StoreError::Exists);
    refused!(to(file, "a", "b", Some(folder)).await, StoreError::Exists);
    refused!(to(file, "a", "d", Some(folder)).await, StoreError::IsFolder);
    refused!(to(folder, "d", "a", Some(file)).await, StoreError::NotFolder);
    refused!(to(folder, "d", "e", Some(full)).await, StoreError::NotEmpty);
    to(file, "a", "b", Some(other)).await.unwrap();
    assert_eq!(rig.store.node(other, &uid("alice"), NOW).await.unwrap(), None);
    to(full, "e", "d", Some(folder)).await.unwrap();
    assert_eq!(rig.store.node(folder, &uid("alice"), NOW).await.unwrap(), None);
    assert_eq!(rig.store.path(full).await.unwrap().as_deref(), Some("@alice/d"));
    to(file, "b", "free", Some(other)).await.unwrap(); // what was to be replaced is gone: as good as replaced
}

pub(super) async fn renaming_where_it_cannot_be(rig: Rig) {
    let home = rig.home("alice").await;
    let a = rig.folder(home, "a").await;
    let b = rig.folder(a, "b").await;
    let file = rig.file("f").await;
    refused!(rig.rename(a, (home, "a"), (a, "x")).await, StoreError::Loop);
    refused!(rig.rename(a, (home, "a"), (b, "x")).await, StoreError::Loop);
    refused!(rig.rename(a, (home, "wrong"), (home, "x")).await, StoreError::NotFound);
    refused!(rig.rename(b, (home, "a"), (home, "x")).await, StoreError::NotFound);
    refused!(rig.rename(a, (home, "a"), (file, "x")).await, StoreError::NotFolder);
    refused!(rig.rename(a, (home, "a"), (NodeId::random(), "x")).await, StoreError::NotFound);
    let bobs = rig.home("bob").await;
    rig.grant(bobs, "alice", Right::Both, LATER).await;
    refused!(rig.rename(a, (home, "a"), (bobs, "x")).await, StoreError::NotFound);
}

pub(super) async fn renaming_measures_the_subtree(rig: Rig) {
    let home = rig.home("alice").await;
    let mut deep = home;
    for _ in 0..DEPTH_MAX - 2 {
        deep = rig.folder(deep, "d").await;
    }
    let tree = rig.folder(home, "tree").await;
    let inner = rig.folder(tree, "inner").await;
    let leaf = rig.make(inner, "leaf", Kind::File).await;
    refused!(rig.rename(tree, (home, "tree"), (deep, "x")).await, StoreError::TooDeep);
    rig.rename(inner, (tree, "inner"), (deep, "x")).await.unwrap();
    assert_eq!(rig.seen(leaf, "alice").await.facts.levels.len(), DEPTH_MAX + 1);
    rig.rename(inner, (deep, "x"), (deep, "y")).await.unwrap();
}

pub(super) async fn removing(rig: Rig) {
    let home = rig.home("alice").await;
    let folder = rig.folder(home, "d").await;
    let file = rig.make(folder, "f", Kind::File).await;
    refused!(rig.remove(folder, home, "d").await, StoreError::NotEmpty);
    refused!(rig.remove(file, home, "f").await, StoreError::NotFound);
    refused!(rig.remove(file, folder, "g").await, StoreError::NotFound);
    rig.remove(file, folder, "f").await.unwrap();
    assert_eq!(rig.seen(folder, "alice").await.node.mtime_ns, FileTime(9));
    refused!(rig.remove(file, folder, "f").await, StoreError::NotFound);
    rig.remove(folder, home, "d").await.unwrap();
    assert!(rig.store.children(home, None, 9, &uid("alice"), NOW).await.unwrap().is_empty());
}

/// `a~` is the document, and comes back as `a`.
async fn swapped(rig: &Rig, document: NodeId, version: u64, commit: bool) -> (Swap, Result<(Node, Node)>) {
    let home = rig.home("alice").await;
    rig.grant(home, "carol", Right::Checkin, LATER).await;
    let swap = Swap {
        folder: proof_as("carol", home, Checkin),
        name: name("a"),
        copy: new_node("a~", Kind::File),
        commit: commit.then(|| self::version(0, 50)),
        version: Version(version),
    };
    let outcome = rig.store.swap(&proof(document, Own), swap.clone(), audit("restore-name")).await;
    (swap, outcome)
}

pub(super) async fn removing_a_version(rig: Rig) {
    let (home, file) = (rig.home("alice").await, rig.file("a").await);
    rig.commit(file, version(0, 1)).await.unwrap();
    let remove = |version| Remove { parent: home, name: name("a"), version, now_ns: FileTime(9) };
    let own = proof(file, Delete);
    let stale = rig.store.remove(&own, remove(Some(Version(0))), audit("delete")).await;
    refused!(stale, StoreError::VersionMoved(Version(1)));
    rig.store.remove(&own, remove(Some(Version(1))), audit("delete")).await.unwrap();
}

pub(super) async fn swapping(rig: Rig) {
    let home = rig.home("alice").await;
    let file = rig.file("a~").await;
    let (commit, pack) = version_with_pack(file, 0, 1, false);
    rig.commit(file, commit).await.unwrap();
    rig.grant(file, "bob", Right::Both, LATER).await;
    let (swap, outcome) = swapped(&rig, file, 1, true).await;
    let (document, copy) = outcome.unwrap();
    assert_eq!((document.id, document.name.as_ref(), document.version), (file, Some(&name("a")), Version(1)));
    assert_eq!((copy.id, copy.name.as_ref(), copy.parent), (swap.copy.id, Some(&name("a~")), Some(home)));
    assert_eq!((copy.version, copy.size, &copy.owner), (Version(1), 500, &uid("carol")));
    assert_eq!(rig.seen(copy.id, "alice").await.node, copy);
    assert_eq!(rig.seen(file, "alice").await.node, document);
    assert_eq!(rig.store.grants(file).await.unwrap().len(), 1);
    assert_eq!(rig.store.grants(copy.id).await.unwrap(), []);
    assert!(rig.store.has_pack(pack).await.unwrap());
    assert_eq!(rig.store.last_leaf().await.unwrap(), Some(Leaf(50)));
}

pub(super) async fn swapping_too_late(rig: Rig) {
    let home = rig.home("alice").await;
    let file = rig.file("a~").await;
    refused!(swapped(&rig, file, 1, false).await.1, StoreError::VersionMoved(Version(0)));
    refused!(swapped(&rig, NodeId::random(), 0, false).await.1, StoreError::NotFound);
    let taken = rig.file("a").await;
    refused!(swapped(&rig, file, 0, false).await.1, StoreError::Exists);
    rig.remove(taken, home, "a").await.unwrap();
    let (_, outcome) = swapped(&rig, file, 0, false).await;
    assert_eq!(outcome.unwrap().1.version, Version::NONE);
    refused!(swapped(&rig, file, 0, false).await.1, StoreError::NotFound);
    let folder = rig.folder(home, "d").await;
    rig.remove(
        rig.store.child(home, &name("a~"), &uid("alice"), NOW).await.unwrap().unwrap().node.id,
        home,
        "a~",
    )
    .await
    .unwrap();
    rig.rename(folder, (home, "d"), (home, "a~")).await.unwrap();
    refused!(swapped(&rig, folder, 0, false).await.1, StoreError::IsFolder);
}

pub(super) async fn attributes(rig: Rig) {
    let file = rig.file("a").await;
    let set = SetAttr { mode: Some(0o107_755), mtime_ns: None, now: NOW };
    let node = rig.store.set_attr(&proof(file, Own), set).await.unwrap();
    assert_eq!((node.mode, node.mtime_ns, node.ctime_ns), (0o7755, FileTime(7), NOW.nanos()));
    let set = SetAttr { mode: None, mtime_ns: Some(FileTime(-3)), now: LATER };
    let node = rig.store.set_attr(&proof(file, Checkin), set).await.unwrap();
    assert_eq!((node.mode, node.mtime_ns, node.ctime_ns), (0o7755, FileTime(-3), LATER.nanos()));
    assert_eq!(rig.seen(file, "alice").await.node, node);
    refused!(rig.store.set_attr(&proof(NodeId::random(), Own), set).await, StoreError::NotFound);
}

pub(super) async fn flags(rig: Rig) {
    let home = rig.home("alice").await;
    let file = rig.file("a").await;
    let set = async |node| rig.store.set_flag(&proof(node, Own), Flag::Integrity, audit("flag")).await;
    assert_eq!(rig.seen(home, "alice").await.node.flag, None);
    assert_eq!(set(home).await.unwrap().flag, Some(Flag::Integrity));
    let node = set(file).await.unwrap();
    assert_eq!((node.flag, node.ctime_ns), (Some(Flag::Integrity), NOW.nanos()));
    rig.commit(file, Commit { flag: Flag::Integrity, ..version(0, 1) }).await.unwrap();
    refused!(set(file).await, StoreError::VersionMoved(Version(1)));
    refused!(set(NodeId::random()).await, StoreError::NotFound);
}

pub(super) async fn extended_attributes(rig: Rig) {
    let file = rig.file("a").await;
    let allowed = proof(file, Checkin);
    let set =
        async |name: &str, value: &[u8], mode| rig.store.set_xattr(&allowed, name, value, mode, NOW).await;
    set("user.b", b"1", XattrMode::Any).await.unwrap();
    set("user.a", b"", XattrMode::Create).await.unwrap();
    refused!(set("user.a", b"2", XattrMode::Create).await, StoreError::Exists);
    set("user.b", b"3", XattrMode::Replace).await.unwrap();
    refused!(set("user.c", b"", XattrMode::Replace).await, StoreError::NotFound);
    let all = rig.store.xattrs(file).await.unwrap();
    assert_eq!(all, [("user.a".into(), vec![]), ("user.b".into(), b"3".to_vec())]);
    rig.store.remove_xattr(&allowed, "user.a", NOW).await.unwrap();
    refused!(rig.store.remove_xattr(&allowed, "user.a", NOW).await, StoreError::NotFound);
    let nowhere = proof(NodeId::random(), Own);
    refused!(rig.store.set_xattr(&nowhere, "user.a", b"", XattrMode::Any, NOW).await, StoreError::NotFound);
    refused!(rig.store.remove_xattr(&nowhere, "user.a", NOW).await, StoreError::NotFound);
    refused!(rig.store.xattrs(NodeId::random()).await, StoreError::NotFound);
}

pub(super) async fn extended_attributes_are_limited(rig: Rig) {
    let allowed = proof(rig.file("a").await, Own);
    let set = async |name: &str, length: usize| {
        rig.store.set_xattr(&allowed, name, &vec![1; length], XattrMode::Any, NOW).await
    };
    set(&"n".repeat(XATTR_NAME_MAX), 0).await.unwrap();
    refused!(set(&"n".repeat(XATTR_NAME_MAX + 1), 0).await, StoreError::TooLarge);
    rig.store.remove_xattr(&allowed, &"n".repeat(XATTR_NAME_MAX), NOW).await.unwrap();
    refused!(set("1", XATTR_VALUE_MAX + 1).await, StoreError::TooLarge);
    let whole = XATTR_TOTAL_MAX / XATTR_VALUE_MAX;
    for number in 1..whole {
        set(&number.to_string(), XATTR_VALUE_MAX).await.unwrap();
    }
    // "ä" counts as its two bytes.
    let left = XATTR_TOTAL_MAX - (whole - 1) * (XATTR_VALUE_MAX + 1) - 2;
    refused!(set("ä", left + 1).await, StoreError::TooLarge);
    set("ä", left).await.unwrap();
    refused!(set("9", 0).await, StoreError::TooLarge);
    set("1", XATTR_VALUE_MAX).await.unwrap(); // what it replaces does not count
}

/// Who has a grant on the way, or had one until a day ago; the home's owner and who made it. What lies beside or below is no
/// matter.
pub(super) async fn whom_a_node_concerns(rig: Rig) {
    let home = rig.home("alice").await;
    let (folder, beside) = (rig.folder(home, "d").await, rig.folder(home, "beside").await);
    let file = rig.make(folder, "f", Kind::File).await;
    let concerned = async |node, now| match rig.store.audience(node, now).await.unwrap() {
        Audience::Everyone => vec!["ALL".to_owned()],
        Audience::Users(users) => users.iter().map(ToString::to_string).collect(),
    };
    rig.grant(beside, "bob", Right::Both, LATER).await;
    assert_eq!(concerned(file, NOW).await, ["alice"]);
    rig.grant(folder, "carol", Right::Checkin, LATER).await;
    rig.grant(file, "bob", Right::Checkout, LATER).await;
    rig.revoke(file, "bob").await.unwrap();
    assert_eq!(concerned(file, NOW).await, ["alice", "bob", "carol"]);
    assert_eq!(concerned(folder, NOW).await, ["alice", "carol"]);
    let day = sss_policy::FADES;
    assert_eq!(concerned(file, NOW.after(day)).await, ["alice", "carol"]);
    assert_eq!(concerned(file, LATER.after(day)).await, ["alice"]);
    let hers = rig.make_as("carol", folder, "hers", Kind::File).await.unwrap().id;
    assert_eq!(concerned(hers, LATER.after(day)).await, ["alice", "carol"]);
    assert_eq!(concerned(NodeId::random(), NOW).await, [""; 0]);
    rig.grant(folder, "ALL", Right::Checkout, LATER).await;
    assert_eq!(concerned(file, NOW).await, ["ALL"]);
}
