//! Names: create, list, rename, remove, attributes.

use sss_common::{FileTime, XattrMode};

use super::*;

on_both_stores! {
    who_put_at_the_same_time_into_new_folders_all_succeed
    who_put_the_same_new_document_at_the_same_time_make_it_once
    creating_and_listing
    owners_names_cannot_be_created_in_a_home
    folders_go_when_they_are_empty
    a_rename_keeps_the_document
    a_rename_onto_a_document_checks_in
    a_rename_onto_a_document_takes_other_attributes_along
    renames_that_cannot_be
    links
    attributes_of_others_are_kept
    modes_and_times
    a_put_makes_the_folders_on_its_way
}

async fn list(world: &World, who: &Caller, folder: NodeId) -> Vec<String> {
    let mut names = Vec::new();
    let mut after = None;
    loop {
        let page = world.service.fs_list(who, ListRequest { folder, after, limit: 2 }).await.unwrap();
        names.extend(page.entries.iter().map(|entry| entry.name.to_string()));
        match page.more {
            true => after = page.entries.last().map(|entry| entry.name.clone()),
            false => return names,
        }
    }
}

async fn creating_and_listing(world: World) {
    let home = world.home(&alice()).await;
    for name in ["b", "a", "d", "c", "e"] {
        world.create(&alice(), &format!("@alice/{name}"), Kind::File).await.unwrap();
    }
    assert_eq!(code(world.create(&alice(), "@alice/a", Kind::Folder).await), Code::Exists);
    assert_eq!(list(&world, &alice(), home).await, ["a", "b", "c", "d", "e"]);
    let made = world.attr(&alice(), "@alice/a").await.unwrap();
    assert_eq!((made.version, made.size, made.right.as_str()), (Version(0), 0, "owner"));
    assert_eq!(world.get(&alice(), "@alice/a").await.unwrap(), b"");
    let file = ListRequest { folder: made.node, after: None, limit: 1 };
    assert_eq!(code(world.service.fs_list(&alice(), file).await), Code::NotFolder);
    assert_eq!(code(world.create(&alice(), "@alice/a/x", Kind::File).await), Code::NotFolder);
}

async fn owners_names_cannot_be_created_in_a_home(world: World) {
    let parent = world.home(&alice()).await;
    let name: sss_common::Name = "@bob".parse().unwrap();
    let request = CreateRequest {
        parent,
        name: name.clone(),
        kind: Kind::File,
        mode: 0,
        flag: None,
        target: None,
        copy_of: None,
    };
    assert_eq!(code(world.service.fs_create(&alice(), request.clone()).await), Code::BadName);
    let folder = world.mkdir(&alice(), "@alice/d").await;
    world.service.fs_create(&alice(), CreateRequest { parent: folder, ..request }).await.unwrap();
    let up = RenameRequest {
        parent: folder,
        name: name.clone(),
        new_parent: parent,
        new_name: name,
        no_replace: false,
    };
    assert_eq!(code(world.service.fs_rename(&alice(), up).await), Code::BadName);
}

async fn folders_go_when_they_are_empty(world: World) {
    let parent = world.home(&alice()).await;
    world.put(&alice(), "@alice/d/f", b"x").await.unwrap();
    let remove = |parent, name: &str, folder| {
        let service = world.service.clone();
        let name = name.parse().unwrap();
        async move { service.fs_remove(&alice(), RemoveRequest { parent, name, folder }).await }
    };
    let d = world.attr(&alice(), "@alice/d").await.unwrap().node;
    assert_eq!(code(remove(parent, "d", true).await), Code::NotEmpty);
    assert_eq!(code(remove(parent, "d", false).await), Code::IsFolder);
    assert_eq!(code(remove(d, "f", true).await), Code::NotFolder);
    remove(d, "f", false).await.unwrap();
    remove(parent, "d", true).await.unwrap();
    assert_eq!(code(remove(parent, "d", true).await), Code::NotFound);
    let home: DocPath = "@alice".parse().unwrap();
    assert!(world.service.delete_document(&alice(), &home, Precondition::None).await.is_err());
}

async fn a_rename_keeps_the_document(world: World) {
    world.put(&alice(), "@alice/f", b"text").await.unwrap();
    world.mkdir(&alice(), "@alice/d").await;
    world.grant(&alice(), "@alice/f", "bob", Right::Checkout, 100).await;
    let before = world.attr(&alice(), "@alice/f").await.unwrap();
    let after = world.rename(&alice(), "@alice/f", "@alice/d/g").await.unwrap();
    assert_eq!((after.attr.node, after.attr.version), (before.node, before.version));
    assert_eq!(world.get(&bob(), "@alice/d/g").await.unwrap(), b"text");
    assert_eq!(code(world.rename(&bob(), "@alice/d/g", "@alice/d/h").await), Code::NoRight);
    assert_eq!(code(world.get(&alice(), "@alice/f").await), Code::NotFound);
}

async fn a_rename_onto_a_document_checks_in(world: World) {
    for flag in [sss_common::Flag::Confidentiality, sss_common::Flag::Integrity] {
        let path = format!("@alice/{flag}");
        let parsed = path.parse().unwrap();
        world
            .service
            .put_document(&alice(), &parsed, Some(flag), Precondition::None, whole(b"old"))
            .await
            .unwrap();
        world.grant(&alice(), &path, "bob", Right::Checkout, 100).await;
        let before = world.attr(&alice(), &path).await.unwrap();
        let content = bytes(300_000, 4);
        world.put(&alice(), "@alice/tmp", &content).await.unwrap();
        let after = world.rename(&alice(), "@alice/tmp", &path).await.unwrap().attr;
        assert_eq!((after.node, after.version, after.flag), (before.node, Version(2), Some(flag)));
        assert!(world.get(&bob(), &path).await.unwrap() == content, "grants and content are together");
        assert_eq!(code(world.get(&alice(), "@alice/tmp").await), Code::NotFound);
        world.wait(200);
        world.service.upkeep.maintain().await.unwrap();
        assert!(
            world.get(&alice(), &path).await.unwrap() == content,
            "the pack outlives the document it came with"
        );
    }
}

async fn renames_that_cannot_be(world: World) {
    world.put(&alice(), "@alice/d/e/f", b"x").await.unwrap();
    world.put(&alice(), "@alice/g", b"x").await.unwrap();
    assert_eq!(code(world.rename(&alice(), "@alice/d", "@alice/d/e/d").await), Code::Loop);
    assert_eq!(code(world.rename(&alice(), "@alice/d", "@alice/g").await), Code::NotFolder);
    assert_eq!(code(world.rename(&alice(), "@alice/g", "@alice/d").await), Code::IsFolder);
    world.mkdir(&alice(), "@alice/h").await;
    assert_eq!(code(world.rename(&alice(), "@alice/h", "@alice/d").await), Code::NotEmpty);
    world.rename(&alice(), "@alice/d", "@alice/h").await.unwrap();
    assert_eq!(world.get(&alice(), "@alice/h/e/f").await.unwrap(), b"x");
    world.mkdir(&bob(), "@bob/in").await;
    world.grant(&bob(), "@bob/in", "alice", Right::Both, 100).await;
    assert_eq!(code(world.rename(&alice(), "@alice/g", "@bob/in/g").await), Code::OtherHome);
    let parent = world.home(&alice()).await;
    world.put(&alice(), "@alice/i", b"x").await.unwrap();
    let (name, new_name) = ("g".parse().unwrap(), "i".parse().unwrap());
    let request = RenameRequest { parent, name, new_parent: parent, new_name, no_replace: true };
    assert_eq!(code(world.service.fs_rename(&alice(), request).await), Code::Exists);
}

async fn links(world: World) {
    let parent = world.home(&alice()).await;
    let request = |target: Option<String>| CreateRequest {
        parent,
        name: "l".parse().unwrap(),
        kind: Kind::Symlink,
        mode: 0o777,
        flag: None,
        target,
        copy_of: None,
    };
    assert_eq!(code(world.service.fs_create(&alice(), request(None)).await), Code::BadRequest);
    let long = "x".repeat(sss_common::limits::SYMLINK_MAX + 1);
    assert_eq!(code(world.service.fs_create(&alice(), request(Some(long))).await), Code::NameTooLong);
    let attr = world.service.fs_create(&alice(), request(Some("some/where".into()))).await.unwrap().attr;
    assert_eq!((attr.kind, attr.size), (Kind::Symlink, 10));
    assert_eq!(world.read(&alice(), attr.node, attr.version).await.unwrap(), b"some/where");
    for target in ["", "a\0b"] {
        assert!(world.service.fs_create(&alice(), request(Some(target.into()))).await.is_err(), "{target:?}");
    }
    let onto = world.checkin(&alice(), attr.node, attr.version, &[(0, b"else")], 4).await;
    assert_eq!(
        (code(onto), code(world.put(&alice(), "@alice/l", b"else").await)),
        (Code::BadRequest, Code::BadRequest)
    );
}

async fn attributes_of_others_are_kept(world: World) {
    world.put(&alice(), "@alice/f", b"text").await.unwrap();
    let node = world.attr(&alice(), "@alice/f").await.unwrap().node;
    let set = |who: Caller, name: &str, value: &[u8], mode| {
        let (service, xattr) = (world.service.clone(), Xattr { name: name.into(), value: value.into() });
        async move { service.fs_setxattr(&who, SetXattrRequest { node, xattr, mode }).await }
    };
    set(alice(), "user.a", b"1", XattrMode::Any).await.unwrap();
    assert_eq!(code(set(alice(), "user.a", b"2", XattrMode::Create).await), Code::Exists);
    assert_eq!(code(set(alice(), "user.b", b"2", XattrMode::Replace).await), Code::NotFound);
    assert_eq!(code(set(alice(), "user.3s.flag", b"2", XattrMode::Any).await), Code::BadName);
    world.grant(&alice(), "@alice/f", "bob", Right::Checkout, 100).await;
    assert_eq!(code(set(bob(), "user.a", b"3", XattrMode::Any).await), Code::NoRight);
    let listed = world.service.fs_xattrs(&bob(), NodeRequest { node }).await.unwrap().xattrs;
    assert_eq!(listed, [Xattr { name: "user.a".into(), value: b"1".into() }]);
    world.put(&alice(), "@alice/f", b"new content").await.unwrap();
    assert_eq!(world.service.fs_xattrs(&alice(), NodeRequest { node }).await.unwrap().xattrs.len(), 1);
    let largest = vec![0; sss_common::limits::XATTR_VALUE_MAX];
    set(alice(), "user.large", &largest, XattrMode::Any).await.unwrap();
    let over = vec![0; sss_common::limits::XATTR_VALUE_MAX + 1];
    assert_eq!(code(set(alice(), "user.large", &over, XattrMode::Any).await), Code::TooLarge);
    let remove = RemoveXattrRequest { node, name: "user.a".into() };
    world.service.fs_removexattr(&alice(), remove.clone()).await.unwrap();
    assert_eq!(code(world.service.fs_removexattr(&alice(), remove).await), Code::NotFound);
}

async fn modes_and_times(world: World) {
    world.put(&alice(), "@alice/f", b"text").await.unwrap();
    world.grant(&alice(), "@alice/f", "bob", Right::Both, 100).await;
    let node = world.attr(&alice(), "@alice/f").await.unwrap().node;
    let set = |mode, mtime_ns| SetAttrRequest { node, mode, mtime_ns };
    let attr = world.service.fs_setattr(&alice(), set(Some(0o100_755), Some(FileTime(5)))).await.unwrap();
    assert_eq!((attr.mode, attr.mtime_ns), (0o755, FileTime(5)));
    assert_eq!(code(world.service.fs_setattr(&bob(), set(Some(0o777), None)).await), Code::NoRight);
    assert_eq!(
        world.service.fs_setattr(&bob(), set(None, Some(FileTime(7)))).await.unwrap().mtime_ns,
        FileTime(7)
    );
}

async fn a_put_makes_the_folders_on_its_way(world: World) {
    world.put(&alice(), "@alice/a/b/c/f", b"x").await.unwrap();
    assert_eq!(world.attr(&alice(), "@alice/a/b/c").await.unwrap().kind, Kind::Folder);
    assert_eq!(code(world.put(&alice(), "@alice/a/b/c/f/g", b"x").await), Code::NotFolder);
    assert_eq!(code(world.put(&alice(), "@alice/a/b", b"x").await), Code::IsFolder);
}

async fn who_put_at_the_same_time_into_new_folders_all_succeed(world: World) {
    let paths: Vec<String> = (0..20).map(|i| format!("@alice/new/deep/{}/f{i}", i % 3)).collect();
    let puts = paths.iter().map(|path| async { world.put(&alice(), path, path.as_bytes()).await });
    for (path, outcome) in paths.iter().zip(futures::future::join_all(puts).await) {
        assert_eq!(outcome.unwrap(), Version(1), "{path}");
        assert_eq!(world.get(&alice(), path).await.unwrap(), path.as_bytes());
    }
    // One name cannot be both.
    let paths = ["@alice/odd", "@alice/odd/below"];
    let puts = paths.map(|path| async { world.put(&alice(), path, b"x").await });
    let outcomes = futures::future::join_all(puts).await;
    let refused: Vec<Code> =
        outcomes.into_iter().filter_map(|outcome| outcome.err()).map(|failure| failure.code).collect();
    assert!(matches!(refused[..], [Code::NotFolder | Code::IsFolder]), "{refused:?}");
}

async fn who_put_the_same_new_document_at_the_same_time_make_it_once(world: World) {
    for (name, only_if) in [("absent", Precondition::Absent), ("any", Precondition::None)] {
        let path: DocPath = format!("@alice/{name}/f").parse().unwrap();
        let who = alice();
        let puts = (0..8).map(|i| world.service.put_document(&who, &path, None, only_if, whole(&[i; 10])));
        let outcomes = futures::future::join_all(puts).await;
        let made = outcomes.iter().filter(|outcome| matches!(outcome, Ok((_, true)))).count();
        assert_eq!(made, 1, "{name}");
        let refused = outcomes.into_iter().filter_map(|outcome| outcome.err());
        assert!(refused.map(|failure| failure.code).all(|code| code == Code::VersionMoved), "{name}");
    }
}

/// As `rsync -aX` updates, and as editors save that know of no attributes.
async fn a_rename_onto_a_document_takes_other_attributes_along(world: World) {
    let set = async |node, name: &str, value: &[u8]| {
        let xattr = Xattr { name: name.into(), value: value.into() };
        let request = SetXattrRequest { node, xattr, mode: XattrMode::Any };
        world.service.fs_setxattr(&alice(), request).await.unwrap();
    };
    let of = async |node| world.service.fs_xattrs(&alice(), NodeRequest { node }).await.unwrap().xattrs;
    world.put(&alice(), "@alice/f", b"old").await.unwrap();
    world.grant(&alice(), "@alice/f", "bob", Right::Checkout, 100).await;
    let document = world.attr(&alice(), "@alice/f").await.unwrap().node;
    set(document, "user.a", b"old").await;
    set(document, "user.gone", b"old").await;
    world.put(&alice(), "@alice/.f.tmp", b"new").await.unwrap();
    let draft = world.attr(&alice(), "@alice/.f.tmp").await.unwrap().node;
    world.share(&alice(), "@alice/.f.tmp", "carol").await.unwrap();
    set(draft, "user.a", b"new").await;
    world.rename(&alice(), "@alice/.f.tmp", "@alice/f").await.unwrap();
    let brought = [Xattr { name: "user.a".into(), value: b"new".into() }];
    assert_eq!(of(document).await, brought);
    assert_eq!(world.get(&bob(), "@alice/f").await.unwrap(), b"new", "its grants are its own");
    assert_eq!(code(world.get(&caller("carol"), "@alice/f").await), Code::NotFound, "and not the draft's");
    world.put(&alice(), "@alice/.f.tmp", b"newer").await.unwrap();
    world.rename(&alice(), "@alice/.f.tmp", "@alice/f").await.unwrap();
    assert_eq!(of(document).await, brought, "what has none leaves those that are there");
}
