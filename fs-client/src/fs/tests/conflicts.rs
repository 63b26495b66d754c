//! Drafts that could not be checked in, and versions that came in between.

use super::*;
use crate::remote::fault::Fault;

#[tokio::test]
async fn emptying_a_document_is_durable_when_it_is_closed() {
    let site = Site::new();
    let alice = site.mount("alice");
    alice.save("a", "old").await.unwrap();
    let fh = alice.open("a", EMPTY).await.unwrap();
    alice.fs.flush(fh).await.unwrap();
    assert_eq!(site.content("alice", "a"), b"");
    alice.put(fh, 0, "new");
    alice.close(fh).await.unwrap();
    let new = Access { create: true, ..WRITE };
    let (_, fh) = alice.fs.create(ME, ROOT, OsStr::new("b"), 0o644, new, true).await.unwrap();
    alice.fs.flush(fh).await.unwrap();
    alice.put(fh, 0, "new");
    alice.close(fh).await.unwrap();
    assert_eq!(alice.xattr("b", "user.3s.version").await.unwrap(), "1", "no empty version first");
}

#[tokio::test]
async fn an_own_version_is_not_taken_for_a_foreign_one() {
    let site = Site::new();
    let alice = site.mount("alice");
    let (_, fh) = alice.create("a").await.unwrap();
    alice.put(fh, 0, "mine");
    // The repetition of a call whose answer was lost, on a server that was started anew in between.
    let detail = "someone else checked in since".to_owned();
    alice.fault.plan(move |call| {
        let moved = RemoteError::refused(Code::VersionMoved, detail.clone());
        (call == "checkin").then_some(Fault::After(moved))
    });
    alice.close(fh).await.unwrap();
    alice.fault.plug();
    assert_eq!(site.server.files("alice").len(), 1, "no conflict copy");
    assert_eq!(alice.cat("a").await.unwrap(), "mine");
}

#[tokio::test]
async fn a_pin_moves_on_with_an_own_check_in() {
    let site = Site::new();
    let (alice, bob) = (site.mount("alice"), site.mount("bob"));
    alice.save("a", "0123456789").await.unwrap();
    alice.grant("a", "bob", "both").await;
    let fh = alice.open("a", BOTH).await.unwrap();
    alice.put(fh, 0, "own");
    alice.fs.flush(fh).await.unwrap();
    alice.fault.calls();
    bob.save("@alice/a", "his").await.unwrap();
    assert_eq!(alice.fs.read(fh, 0, 100).await.unwrap(), "own3456789");
    assert_eq!(alice.fault.calls(), ["read"], "it is pinned still");
    alice.put(fh, 3, "X");
    assert_eq!(errno(alice.close(fh).await), libc::ESTALE);
    assert_eq!(site.conflict("alice").1, b"ownX456789");
}

#[tokio::test]
async fn a_copy_without_its_base_is_not_made() {
    let site = Site::new();
    let (alice, bob) = (site.mount("alice"), site.mount("bob"));
    alice.save("a", "0123456789").await.unwrap();
    alice.grant("a", "bob", "both").await;
    let fh = alice.open("a", BOTH).await.unwrap();
    alice.put(fh, 0, "MINE");
    bob.save("@alice/a", "his").await.unwrap();
    alice.fault.plan(|call| {
        let gone = RemoteError::refused(Code::VersionGone, "gone");
        (call == "read" || call == "open").then_some(Fault::Before(gone))
    });
    assert_eq!(errno(alice.fs.flush(fh).await), libc::ESTALE);
    assert!(alice.fs.files.get(&fh).unwrap().document.is_dirty(), "the draft stays");
    assert_eq!(site.server.files("alice").len(), 1, "and no half of a copy");
    alice.fault.plug();
    assert_eq!(errno(alice.close(fh).await), libc::ESTALE);
    assert_eq!(site.conflict("alice").1, b"MINE456789");
}

#[tokio::test]
async fn two_closes_make_one_copy_and_writers_wait_for_neither() {
    let site = Site::new();
    let (alice, bob) = (site.mount("alice"), site.mount("bob"));
    alice.save("a", "0123456789").await.unwrap();
    alice.grant("a", "bob", "both").await;
    let (one, two) = (alice.open("a", BOTH).await.unwrap(), alice.open("a", BOTH).await.unwrap());
    alice.put(one, 0, "MINE");
    bob.save("@alice/a", "his").await.unwrap();
    let (fs, written) = (alice.fs.clone(), Arc::new(Mutex::new(Vec::new())));
    let seen = written.clone();
    alice.fault.plan(move |call| {
        if call == "create" {
            seen.lock().push(errno(fs.write(two, 4, &Bytes::from_static(b"late"))));
        }
        None
    });
    let (first, second) = tokio::join!(alice.fs.flush(one), alice.fs.flush(two));
    alice.fault.plug();
    assert_eq!((errno(first), errno(second)), (libc::ESTALE, libc::ESTALE));
    assert_eq!(*written.lock(), [libc::ESTALE], "what would be in no copy is refused");
    assert_eq!(site.conflict("alice").1, b"MINE456789");
}

#[tokio::test]
async fn a_refused_truncation_does_not_happen_later() {
    let site = Site::new();
    let alice = site.mount("alice");
    alice.save("a", "0123456789").await.unwrap();
    let ino = alice.ino("a").await;
    let three = lookup::Changes { size: Some(3), ..Default::default() };
    site.server.set_quota(Some(1));
    assert_eq!(errno(alice.fs.setattr(ME, ino, None, three).await), libc::EDQUOT);
    site.server.set_quota(None);
    assert!(alice.fs.documents.is_empty());
    assert_eq!(alice.cat("a").await.unwrap(), "0123456789");
    alice.fault.plan(|call| {
        let away = RemoteError::Unreachable("away".into());
        (call == "checkin").then_some(Fault::Before(away))
    });
    assert_eq!(errno(alice.fs.setattr(ME, ino, None, three).await), libc::ETIMEDOUT);
    alice.fault.plug();
    alice.fs.retry_now().await;
    assert!(alice.fs.documents.is_empty());
    assert_eq!(site.content("alice", "a"), b"012", "what may have happened does");
}

#[tokio::test]
async fn an_own_rename_does_not_show_a_foreign_version_under_old_pages() {
    let site = Site::new();
    let (alice, bob) = (site.mount("alice"), site.mount("bob"));
    alice.save("a", "one").await.unwrap();
    alice.grant("a", "bob", "both").await;
    let (ino, reader) = (alice.ino("a").await, alice.open("a", READ).await.unwrap());
    bob.save("@alice/a", "three").await.unwrap();
    alice.mv("a", "b").await.unwrap();
    assert_eq!(alice.fs.read(reader, 0, 100).await.unwrap(), "one", "what was opened, whole");
    assert_ne!(alice.ino("b").await, ino);
    assert_eq!(alice.cat("b").await.unwrap(), "three");
    alice.close(reader).await.unwrap();
}

#[tokio::test]
async fn what_is_written_to_an_open_backup_stays_in_the_backup() {
    let site = Site::new();
    let alice = site.mount("alice");
    alice.save("a", "old").await.unwrap();
    let open = alice.open("a", BOTH).await.unwrap();
    alice.mv("a", "a~").await.unwrap();
    alice.save("a", "new").await.unwrap();
    alice.put(open, 3, "er");
    assert_eq!(alice.fs.read(open, 0, 100).await.unwrap(), "older");
    alice.close(open).await.unwrap();
    assert_eq!(site.content("alice", "a~"), b"older");
    assert_eq!(site.content("alice", "a"), b"new");
}

#[tokio::test]
async fn taking_the_flag_away_keeps_the_inode_and_what_is_open() {
    let site = Site::new();
    let alice = site.mount("alice");
    alice.save("a", "text").await.unwrap();
    let ino = alice.ino("a").await;
    let set = xattr::SetMode::from_flags(0);
    alice.fs.setxattr(ino, "user.3s.flag", b"integrity", set).await.unwrap();
    let open = alice.open("a", BOTH).await.unwrap();
    alice.fs.removexattr(ino, "user.3s.flag").await.unwrap();
    assert_eq!(alice.ino("a").await, ino);
    alice.put(open, 4, "!");
    alice.close(open).await.unwrap();
    assert_eq!(alice.cat("a").await.unwrap(), "text!");
}

#[tokio::test]
async fn a_newer_version_found_at_open_is_adopted_once_and_never_under_pages() {
    let site = Site::new();
    let (alice, bob) = (site.mount("alice"), site.mount("bob"));
    alice.save("a", "one").await.unwrap();
    alice.grant("a", "bob", "both").await;
    let pages = Arc::new(Dropped::default());
    bob.fs.set_notifier(pages.clone());
    let ino = bob.ino("@alice/a").await;
    alice.save("a", "three").await.unwrap();
    let fh = bob.fs.open(ME, ino, READ).await.unwrap();
    assert_eq!(bob.fs.read(fh, 0, 100).await.unwrap(), "three");
    assert_eq!(*pages.0.lock(), [ino], "the kernel forgets the old size");
    bob.close(fh).await.unwrap();
    alice.save("a", "fifth").await.unwrap();
    assert_eq!(errno(bob.fs.open(ME, ino, READ).await), libc::ESTALE, "it may have pages now");
    assert_eq!(bob.cat("@alice/a").await.unwrap(), "fifth");
    bob.fs.shutdown().await;
    alice.fs.shutdown().await;
    assert_eq!(site.server.pins(), 0);
}

#[derive(Default)]
struct Dropped(Mutex<Vec<INodeNo>>);

impl Pages for Arc<Dropped> {
    fn drop_pages(&self, ino: INodeNo) -> std::io::Result<()> {
        self.0.lock().push(ino);
        Ok(())
    }
}

#[tokio::test]
async fn an_old_listing_moves_nothing_back_and_a_rewound_one_is_new() {
    let site = Site::new();
    let alice = site.mount("alice");
    alice.save("a", "x").await.unwrap();
    let ino = alice.ino("a").await;
    let fh = alice.fs.opendir(ROOT).await.unwrap();
    let entry = alice.fs.readdir(ROOT, fh, 0).await.unwrap().into_iter().find_map(|item| match item {
        dir::DirItem::Entry(entry, _) => Some(entry),
        dir::DirItem::Dot(..) => None,
    });
    let entry = entry.unwrap();
    alice.mv("a", "b").await.unwrap();
    let long_ago = std::time::Instant::now().checked_sub(TTL).unwrap();
    let (attr, ttl) = alice.fs.bind(ROOT, &entry, long_ago).unwrap();
    assert_eq!((attr.ino, ttl), (ino, Duration::ZERO));
    assert_eq!(alice.fs.path_of(ino), "/b");
    let again = alice.fs.readdir(ROOT, fh, 0).await.unwrap();
    assert!(again.iter().any(|item| matches!(item, dir::DirItem::Entry(e, _) if e.name.as_str() == "b")));
}

#[tokio::test]
async fn a_refused_mknod_leaves_no_inode() {
    let site = Site::new();
    let alice = site.mount("alice");
    alice.fs.start().await.unwrap();
    alice.fault.plan(|call| {
        let full = RemoteError::refused(Code::NoRight, "no");
        (call == "checkin").then_some(Fault::Before(full))
    });
    alice.fs.mknod(ROOT, OsStr::new("n"), libc::S_IFREG | 0o600).await.unwrap_err();
    alice.fault.plug();
    alice.fs.retry_now().await;
    assert_eq!(alice.fs.tree.lock().len(), 2);
}
