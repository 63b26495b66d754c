//! What editors do when they save, as the server sees it.

use super::*;

on_both_stores! {
    a_backup_that_was_copied_shows_nobody_what_the_document_did_not
    a_backup_shows_nobody_what_the_document_did_not
    a_copy_of_a_draft_shows_nobody_what_the_document_did_not
    a_save_that_moves_the_old_file_away_keeps_the_document
    a_save_with_a_backup_that_is_renamed_into_place
    a_backup_that_is_made_again
    a_name_that_somebody_else_fills_is_a_new_document
    a_name_that_is_filled_later_is_a_new_document
    a_plain_rename_is_no_backup
    a_document_that_is_moved_back_is_itself
}

/// What vim does by default: the file becomes `f~`, a new `f` is written, `f~` is deleted.
async fn a_save_that_moves_the_old_file_away_keeps_the_document(world: World) {
    world.put(&alice(), "@alice/f", b"old text").await.unwrap();
    world.grant(&alice(), "@alice/f", "bob", Right::Checkout, 100).await;
    let before = world.attr(&alice(), "@alice/f").await.unwrap();
    world.rename(&alice(), "@alice/f", "@alice/f~").await.unwrap();
    let made = world.create(&alice(), "@alice/f", Kind::File).await.unwrap();
    assert_eq!((made.attr.node, made.attr.version), (before.node, before.version));
    let swapped = made.swapped.unwrap();
    assert_eq!(swapped.name.as_str(), "f~");
    assert_eq!(world.get(&alice(), "@alice/f~").await.unwrap(), b"old text", "the backup is there");
    assert_eq!(code(world.get(&bob(), "@alice/f~").await), Code::NotFound, "and is nobody else's");
    world.checkin(&alice(), before.node, before.version, &[(0, b"new")], 3).await.unwrap();
    let parent = world.home(&alice()).await;
    let remove = RemoveRequest { parent, name: "f~".parse().unwrap(), folder: false };
    world.service.fs_remove(&alice(), remove).await.unwrap();
    assert_eq!(world.get(&bob(), "@alice/f").await.unwrap(), b"new");
    assert_eq!(world.attr(&alice(), "@alice/f").await.unwrap().version, Version(2));
}

/// What `sed -i.bak` does.
async fn a_save_with_a_backup_that_is_renamed_into_place(world: World) {
    world.put(&alice(), "@alice/f", b"old text").await.unwrap();
    world.grant(&alice(), "@alice/f", "bob", Right::Checkout, 100).await;
    let before = world.attr(&alice(), "@alice/f").await.unwrap();
    world.put(&alice(), "@alice/sedXYZ", b"new").await.unwrap();
    world.rename(&alice(), "@alice/f", "@alice/f.bak").await.unwrap();
    let renamed = world.rename(&alice(), "@alice/sedXYZ", "@alice/f").await.unwrap();
    assert_eq!((renamed.attr.node, renamed.attr.version), (before.node, Version(2)));
    assert!(renamed.swapped.is_some());
    assert_eq!(world.get(&bob(), "@alice/f").await.unwrap(), b"new");
    assert_eq!(world.get(&alice(), "@alice/f.bak").await.unwrap(), b"old text");
}

/// What emacs does: the backup stays, and the next save makes it again.
async fn a_backup_that_is_made_again(world: World) {
    world.put(&alice(), "@alice/f", b"0").await.unwrap();
    world.grant(&alice(), "@alice/f", "bob", Right::Checkout, 100).await;
    let node = world.attr(&alice(), "@alice/f").await.unwrap().node;
    for n in 1..4u8 {
        world.rename(&alice(), "@alice/f", "@alice/f~").await.unwrap();
        let made = world.create(&alice(), "@alice/f", Kind::File).await.unwrap();
        assert_eq!(made.attr.node, node);
        world.checkin(&alice(), node, made.attr.version, &[(0, &[b'0' + n])], 1).await.unwrap();
        assert_eq!(world.get(&bob(), "@alice/f").await.unwrap(), [b'0' + n]);
        assert_eq!(world.get(&alice(), "@alice/f~").await.unwrap(), [b'0' + n - 1]);
    }
}

async fn a_name_that_somebody_else_fills_is_a_new_document(world: World) {
    world.mkdir(&alice(), "@alice/d").await;
    world.grant(&alice(), "@alice/d", "bob", Right::Both, 100).await;
    world.put(&alice(), "@alice/d/f", b"old").await.unwrap();
    let before = world.attr(&alice(), "@alice/d/f").await.unwrap();
    world.rename(&alice(), "@alice/d/f", "@alice/d/f~").await.unwrap();
    let made = world.create(&bob(), "@alice/d/f", Kind::File).await.unwrap();
    assert!(made.swapped.is_none() && made.attr.node != before.node);
}

async fn a_name_that_is_filled_later_is_a_new_document(world: World) {
    world.put(&alice(), "@alice/f", b"old").await.unwrap();
    world.rename(&alice(), "@alice/f", "@alice/f~").await.unwrap();
    world.wait(11);
    assert!(world.create(&alice(), "@alice/f", Kind::File).await.unwrap().swapped.is_none());
}

async fn a_plain_rename_is_no_backup(world: World) {
    world.put(&alice(), "@alice/draft", b"old").await.unwrap();
    world.grant(&alice(), "@alice/draft", "bob", Right::Checkout, 100).await;
    world.rename(&alice(), "@alice/draft", "@alice/final").await.unwrap();
    assert!(world.create(&alice(), "@alice/draft", Kind::File).await.unwrap().swapped.is_none());
    assert_eq!(world.get(&bob(), "@alice/final").await.unwrap(), b"old", "the grant went with the document");
    assert_eq!(code(world.get(&bob(), "@alice/draft").await), Code::NotFound);
}

async fn a_document_that_is_moved_back_is_itself(world: World) {
    world.put(&alice(), "@alice/f", b"text").await.unwrap();
    let before = world.attr(&alice(), "@alice/f").await.unwrap();
    world.rename(&alice(), "@alice/f", "@alice/f~").await.unwrap();
    let back = world.rename(&alice(), "@alice/f~", "@alice/f").await.unwrap();
    assert!(back.swapped.is_none());
    assert_eq!((back.attr.node, back.attr.version), (before.node, before.version));
    assert_eq!(code(world.get(&alice(), "@alice/f~").await), Code::NotFound, "no copy stays behind");
}

/// carol may read the folder, and only write this document in it.
async fn narrowed(world: &World) {
    world.mkdir(&alice(), "@alice/d").await;
    world.put(&alice(), "@alice/d/salaries", b"old").await.unwrap();
    world.put(&alice(), "@alice/d/menu", b"old").await.unwrap();
    world.grant(&alice(), "@alice/d", "carol", Right::Checkout, 100).await;
    world.grant(&alice(), "@alice/d", "bob", Right::Both, 100).await;
    world.grant(&alice(), "@alice/d/salaries", "carol", Right::Checkin, 50).await;
    assert_eq!(code(world.get(&carol(), "@alice/d/salaries").await), Code::NoRight);
}

async fn a_backup_shows_nobody_what_the_document_did_not(world: World) {
    narrowed(&world).await;
    for name in ["salaries", "menu"] {
        let (path, backup) = (format!("@alice/d/{name}"), format!("@alice/d/{name}~"));
        world.rename(&alice(), &path, &backup).await.unwrap();
        let made = world.create(&alice(), &path, Kind::File).await.unwrap();
        assert!(made.swapped.is_some());
    }
    assert_eq!(code(world.get(&carol(), "@alice/d/salaries~").await), Code::NoRight);
    assert_eq!(
        world.get(&carol(), "@alice/d/menu~").await.unwrap(),
        b"old",
        "what limits nobody there limits nobody here"
    );
    assert_eq!(world.get(&bob(), "@alice/d/salaries~").await.unwrap(), b"old");
    world.wait(50);
    assert_eq!(
        world.get(&carol(), "@alice/d/salaries").await.unwrap(),
        b"old",
        "the narrower grant has ended"
    );
    assert_eq!(
        code(world.get(&carol(), "@alice/d/salaries~").await),
        Code::NoRight,
        "it might have been renewed"
    );
}

async fn a_copy_of_a_draft_shows_nobody_what_the_document_did_not(world: World) {
    narrowed(&world).await;
    let folder = world.attr(&bob(), "@alice/d").await.unwrap().node;
    let home = world.home(&bob()).await;
    world.grant(&bob(), "@bob", "carol", Right::Both, 100).await;
    let document = world.attr(&bob(), "@alice/d/salaries").await.unwrap().node;
    let private = world.mkdir(&alice(), "@alice/private").await;
    let copy = async |parent, name: &str, of| {
        let request = CreateRequest {
            parent,
            name: name.parse().unwrap(),
            kind: Kind::File,
            mode: 0o600,
            flag: None,
            target: None,
            copy_of: Some(of),
        };
        let made = world.service.fs_create(&bob(), request).await.unwrap().attr;
        world.checkin(&bob(), made.node, made.version, &[(0, b"draft")], 5).await.unwrap();
    };
    copy(folder, "beside", document).await;
    copy(folder, "of-what-is-hidden", private).await;
    copy(folder, "of-what-is-gone", NodeId::random()).await;
    copy(home, "at-home", document).await;
    for path in ["@alice/d/beside", "@alice/d/of-what-is-hidden", "@alice/d/of-what-is-gone", "@bob/at-home"]
    {
        assert_eq!(code(world.get(&carol(), path).await), Code::NoRight, "{path}");
        assert_eq!(world.get(&bob(), path).await.unwrap(), b"draft", "{path}");
    }
    assert_eq!(world.get(&alice(), "@alice/d/beside").await.unwrap(), b"draft");
}

/// As vim with `backupcopy=yes`, nano -B and emacs do: by creating it, or by a PUT.
async fn a_backup_that_was_copied_shows_nobody_what_the_document_did_not(world: World) {
    narrowed(&world).await;
    for name in ["salaries~", "salaries.bak", "salaries.~1~"] {
        let path = format!("@alice/d/{name}");
        world.create(&alice(), &path, Kind::File).await.unwrap();
        world.put(&alice(), &path, b"old").await.unwrap();
        assert_eq!(code(world.get(&carol(), &path).await), Code::NoRight, "{name}");
    }
    world.put(&alice(), "@alice/d/salaries.orig", b"old").await.unwrap();
    assert_eq!(code(world.get(&carol(), "@alice/d/salaries.orig").await), Code::NoRight);
    world.put(&alice(), "@alice/d/menu.bak", b"old").await.unwrap();
    world.put(&alice(), "@alice/d/notes.bak", b"nobody's").await.unwrap();
    assert_eq!(world.get(&carol(), "@alice/d/menu.bak").await.unwrap(), b"old");
    assert_eq!(world.get(&carol(), "@alice/d/notes.bak").await.unwrap(), b"nobody's");
}
