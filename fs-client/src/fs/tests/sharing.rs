//! Two users, conflicts, and a server that goes away.

use super::*;

#[tokio::test]
async fn a_home_is_seen_as_far_as_it_is_shared() {
    let site = Site::new();
    let (alice, bob) = (site.mount("alice"), site.mount("bob"));
    alice.save("shared", "for bob").await.unwrap();
    alice.save("private", "x").await.unwrap();
    assert_eq!(errno(bob.walk("@alice").await), libc::ENOENT);
    alice.grant("shared", "bob", "checkout").await;
    assert_eq!(bob.names(ROOT).await, [".", "..", "@alice"]);
    assert_eq!(bob.names(bob.ino("@alice").await).await, [".", "..", "shared"]);
    assert_eq!(bob.walk("@alice/shared").await.unwrap().perm, 0o400);
    assert_eq!(bob.cat("@alice/shared").await.unwrap(), "for bob");
    assert_eq!(errno(bob.open("@alice/shared", WRITE).await), libc::EACCES);
    assert_eq!(errno(bob.walk("@alice/private").await), libc::ENOENT);
}

#[tokio::test]
async fn who_may_only_check_in_writes_a_part_without_reading() {
    let site = Site::new();
    let (alice, bob) = (site.mount("alice"), site.mount("bob"));
    alice.save("a", "0123456789").await.unwrap();
    alice.grant("a", "bob", "checkin").await;
    let fh = bob.open("@alice/a", WRITE).await.unwrap();
    bob.put(fh, 4, "xx");
    bob.close(fh).await.unwrap();
    assert_eq!(site.content("alice", "a"), b"0123xx6789");
    assert!(!bob.fault.calls().contains(&"read"));
    assert_eq!(errno(bob.open("@alice/a", READ).await), libc::EACCES);
    assert_eq!(bob.walk("@alice/a").await.unwrap().perm, 0o200);
    assert_eq!(alice.xattr("a", "user.3s.author").await.unwrap(), "bob");
    assert_eq!(alice.xattr("a", "user.3s.owner").await.unwrap(), "alice");
}

#[tokio::test]
async fn a_conflict_keeps_both() {
    let site = Site::new();
    let (alice, bob) = (site.mount("alice"), site.mount("bob"));
    alice.save("report.pdf", "0123456789").await.unwrap();
    alice.grant("report.pdf", "bob", "both").await;
    let fh = alice.open("report.pdf", BOTH).await.unwrap();
    alice.put(fh, 2, "MINE");
    bob.save("@alice/report.pdf", "his").await.unwrap();
    assert_eq!(errno(alice.fs.flush(fh).await), libc::ESTALE);
    assert_eq!(errno(alice.fs.flush(fh).await), libc::ESTALE, "later calls agree");
    assert_eq!(errno(alice.fs.write(fh, 0, &Bytes::from_static(b"x"))), libc::ESTALE);
    alice.fs.release(fh).await;
    assert_eq!(site.content("alice", "report.pdf"), b"his");
    let (name, content) = site.conflict("alice");
    assert!(name.starts_with("report (conflict alice client1 ") && name.ends_with("Z).pdf"), "{name}");
    assert_eq!(content, b"01MINE6789");
    let why = alice.xattr("report.pdf", "user.3s.why").await.unwrap();
    assert!(why.contains(&name), "{why}");
    assert_eq!(alice.cat("report.pdf").await.unwrap(), "his");
}

#[tokio::test]
async fn a_conflict_in_a_folder_that_may_not_be_written_goes_home() {
    let site = Site::new();
    let (alice, bob) = (site.mount("alice"), site.mount("bob"));
    alice.save("a", "base").await.unwrap();
    alice.grant("a", "bob", "both").await;
    let fh = bob.open("@alice/a", EMPTY).await.unwrap();
    bob.put(fh, 0, "bob's work");
    alice.save("a", "newer").await.unwrap();
    assert_eq!(errno(bob.close(fh).await), libc::ESTALE);
    let (name, content) = site.conflict("bob");
    assert!(name.starts_with("a (conflict bob client1 "), "{name}");
    assert_eq!(content, b"bob's work");
    assert_eq!(site.content("alice", "a"), b"newer");
}

#[tokio::test]
async fn a_document_deleted_elsewhere_keeps_the_draft() {
    let site = Site::new();
    let (alice, bob) = (site.mount("alice"), site.mount("bob"));
    alice.save("a", "base").await.unwrap();
    alice.grant("a", "bob", "both").await;
    let fh = bob.open("@alice/a", EMPTY).await.unwrap();
    bob.put(fh, 0, "work");
    alice.fs.unlink(ROOT, OsStr::new("a")).await.unwrap();
    assert_eq!(errno(bob.close(fh).await), libc::ESTALE);
    assert_eq!(site.conflict("bob").1, b"work");
}

#[tokio::test]
async fn between_homes_a_rename_is_a_copy() {
    let site = Site::new();
    let (alice, bob) = (site.mount("alice"), site.mount("bob"));
    let folder = alice.fs.mkdir(ROOT, OsStr::new("d"), 0o755).await.unwrap();
    assert_eq!(folder.nlink, 2);
    alice.grant("d", "bob", "both").await;
    bob.save("mine", "x").await.unwrap();
    let to = bob.ino("@alice/d").await;
    let moved = bob.fs.rename(ROOT, OsStr::new("mine"), to, OsStr::new("mine"), RenameFlags::empty());
    assert_eq!(errno(moved.await), libc::EXDEV);
}

#[tokio::test]
async fn a_server_that_is_away_costs_nothing_but_time() {
    let site = Site::new();
    let alice = site.mount("alice");
    alice.save("a", "base").await.unwrap();
    let fh = alice.open("a", EMPTY).await.unwrap();
    alice.put(fh, 0, "draft");
    alice.fault.unplug();
    assert_eq!(errno(alice.fs.flush(fh).await), libc::ETIMEDOUT);
    assert_eq!(errno(alice.walk("a").await), libc::ETIMEDOUT);
    alice.put(fh, 5, " and more");
    alice.fs.release(fh).await;
    assert_eq!(alice.fs.documents.len(), 1, "the draft of the closed file is still here");
    alice.fs.retry_now().await;
    assert_eq!(alice.fs.documents.len(), 1);
    alice.fault.plug();
    alice.fs.retry_now().await;
    assert!(alice.fs.documents.is_empty());
    assert_eq!(site.content("alice", "a"), b"draft and more");
}

#[tokio::test]
async fn unmounting_saves_what_is_open_or_says_what_it_could_not() {
    let site = Site::new();
    let alice = site.mount("alice");
    let (_, fh) = alice.create("a").await.unwrap();
    alice.put(fh, 0, "open still");
    alice.fault.unplug();
    let failures = alice.fs.shutdown().await;
    assert!(failures[0].why.starts_with("/a: "), "{failures:?}");
    alice.fault.plug();
    assert!(alice.fs.shutdown().await.is_empty());
    assert_eq!(site.content("alice", "a"), b"open still");
}

#[tokio::test]
async fn a_quota_is_told_and_the_draft_stays() {
    let site = Site::new();
    let alice = site.mount("alice");
    let (_, fh) = alice.create("a").await.unwrap();
    alice.put(fh, 0, "too much");
    site.server.set_quota(Some(3));
    assert_eq!(errno(alice.fs.flush(fh).await), libc::EDQUOT);
    site.server.set_quota(None);
    alice.close(fh).await.unwrap();
    assert_eq!(site.content("alice", "a"), b"too much");
}

#[tokio::test]
async fn an_open_for_writing_gives_a_reader_nothing_back() {
    let site = Site::new();
    let (alice, bob) = (site.mount("alice"), site.mount("bob"));
    alice.save("a", "secret").await.unwrap();
    alice.grant("a", "bob", "both").await;
    let reader = bob.open("@alice/a", READ).await.unwrap();
    bob.fs.read(reader, 0, 100).await.unwrap();
    alice.grant("a", "bob", "checkin").await;
    bob.fs.rights_changed().await;
    let writer = bob.open("@alice/a", WRITE).await.unwrap();
    assert_eq!(errno(bob.fs.read(reader, 0, 100).await), libc::EACCES);
    bob.close(writer).await.unwrap();
}

#[tokio::test]
async fn what_the_kernel_forgets_is_forgotten() {
    let site = Site::new();
    let alice = site.mount("alice");
    for i in 0..50 {
        alice.save(&format!("f{i}"), "x").await.unwrap();
        let _ = alice.xattr(&format!("f{i}"), "user.none").await;
    }
    for ino in (3..1000).map(INodeNo) {
        alice.fs.forget(ino, 1000);
    }
    assert_eq!(alice.fs.tree.lock().len(), 2);
    assert!(alice.fs.documents.is_empty() && alice.fs.files.is_empty());
    assert_eq!(alice.cat("f7").await.unwrap(), "x");
}
