//! Drafts that outlive their mount.

use std::path::PathBuf;

use rsa::RsaPrivateKey;

use super::*;
use crate::identity::UserKey;
use crate::recovery::{Label, Store, store};
use crate::remote::fault::Fault;

/// A machine on which drafts are kept.
struct Machine {
    folder: tempfile::TempDir,
    key: Arc<UserKey>,
}

impl Machine {
    fn new() -> Machine {
        let key = RsaPrivateKey::new(&mut rand::rngs::OsRng, 2048).unwrap();
        Machine { folder: tempfile::tempdir().unwrap(), key: Arc::new(UserKey::of(&key).unwrap()) }
    }

    fn mount(&self, site: &Site, uid: &str) -> Mount {
        self.mount_keeping_in(self.folder.path().into(), site, uid)
    }

    fn mount_keeping_in(&self, folder: PathBuf, site: &Site, uid: &str) -> Mount {
        let label = Label { target: format!("{uid}@localhost:1"), identity: "/id".into() };
        let store = Store::new(folder, self.key.clone(), label);
        let fault = FaultRemote::new(site.server.login(uid, "client1"));
        let options = MountOptions {
            machine: Some("client1".parse().unwrap()),
            recovery: Some(Arc::new(store)),
            clock: site.clock.clone(),
            ..MountOptions::default()
        };
        Mount { fs: Fs::new(fault.clone(), options, Handle::current()), fault }
    }

    fn kept(&self) -> usize {
        store::all(self.folder.path()).len()
    }
}

/// A folder with a document in it.
async fn folder_with(mount: &Mount, folder: &str, name: &str, text: &str) {
    let ino = mount.fs.mkdir(ROOT, OsStr::new(folder), 0o755).await.unwrap().ino;
    let (_, fh) = mount.fs.create(ME, ino, OsStr::new(name), 0o644, BOTH, true).await.unwrap();
    mount.put(fh, 0, text);
    mount.close(fh).await.unwrap();
}

/// alice has written `text` at an offset of her document `a`, which was saved as `saved`, and not closed it.
async fn unsaved(
    machine: &Machine,
    site: &Site,
    saved: &str,
    access: Access,
    at: u64,
    text: &str,
) -> (Mount, FileHandle) {
    let alice = machine.mount(site, "alice");
    alice.save("a", saved).await.unwrap();
    let fh = alice.open("a", access).await.unwrap();
    alice.put(fh, at, text);
    (alice, fh)
}

/// The same, with all of it written anew.
async fn rewritten(machine: &Machine, site: &Site) -> (Mount, FileHandle) {
    unsaved(machine, site, "old", EMPTY, 0, "new").await
}

async fn offer(mount: &Mount) {
    mount.fs.start().await.unwrap();
    mount.fs.clone().offer_kept(CancellationToken::new()).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_mount_cannot_check_in_is_kept_and_the_next_one_offers_it() {
    let (site, machine) = (Site::new(), Machine::new());
    let alice = machine.mount(&site, "alice");
    folder_with(&alice, "d", "a", "0123456789").await;
    let fh = alice.open("d/a", BOTH).await.unwrap();
    alice.put(fh, 0, "MINE");
    alice.fault.unplug();
    let failures = alice.fs.shutdown().await;
    let file = store::all(machine.folder.path()).remove(0).path;
    assert_eq!(failures.len(), 2, "the draft and the logout: {failures:?}");
    assert!(failures[0].why.starts_with("/d/a: "), "{failures:?}");
    assert!(failures[0].why.ends_with(&format!("kept in {}", file.display())), "{failures:?}");
    assert!(alice.fs.shutdown().await.iter().all(|failure| !failure.why.contains("/d/a")), "kept once");

    let bob = machine.mount(&site, "bob");
    offer(&bob).await;
    assert_eq!(machine.kept(), 1, "it is not bob's");
    let again = machine.mount(&site, "alice");
    again.fs.start().await.unwrap();
    again.fault.unplug();
    let offering = tokio::spawn(again.fs.clone().offer_kept(CancellationToken::new()));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(machine.kept(), 1, "what is not acknowledged stays kept");
    again.fault.plug();
    offering.await.unwrap();
    let (name, content) = site.conflict("alice");
    assert!(name.starts_with("d/a (conflict alice client1 2026-"), "{name}");
    assert_eq!(content, b"MINE456789", "with the base, which the server still had");
    assert_eq!(site.content("alice", "d/a"), b"0123456789");
    assert_eq!(machine.kept(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_that_comes_back_gets_the_last_check_ins() {
    let (site, machine) = (Site::new(), Machine::new());
    let alice = machine.mount(&site, "alice");
    let (_, fh) = alice.create("a").await.unwrap();
    alice.put(fh, 0, "late");
    let mut calls = 0;
    alice.fault.plan(move |_| {
        calls += 1;
        (calls < 4).then(|| Fault::Before(RemoteError::Unreachable("away".into())))
    });
    assert!(alice.fs.shutdown().await.is_empty());
    assert_eq!((site.content("alice", "a"), machine.kept()), (b"late".to_vec(), 0));
}

#[tokio::test(start_paused = true)]
async fn who_interrupts_a_second_time_waits_for_nothing_and_loses_nothing() {
    let (site, machine) = (Site::new(), Machine::new());
    let alice = machine.mount(&site, "alice");
    let (_, fh) = alice.create("a").await.unwrap();
    alice.put(fh, 0, "hurry");
    alice.fs.give_up();
    alice.fault.calls();
    let failures = alice.fs.shutdown().await;
    assert!(failures[0].why.contains("interrupted; what was written is kept in"), "{failures:?}");
    assert_eq!(machine.kept(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_kept_is_said() {
    let (site, machine) = (Site::new(), Machine::new());
    let file = machine.folder.path().join("no-folder");
    std::fs::write(&file, "").unwrap();
    let alice = machine.mount_keeping_in(file, &site, "alice");
    let (_, fh) = alice.create("a").await.unwrap();
    alice.put(fh, 0, "nowhere");
    alice.fault.unplug();
    let failures = alice.fs.shutdown().await;
    assert!(failures[0].why.contains("lost: it could not be kept on this machine"), "{failures:?}");
}

#[tokio::test(start_paused = true)]
async fn a_check_in_that_had_happened_after_all_makes_no_copy_of_ones_own() {
    let (site, machine) = (Site::new(), Machine::new());
    let (alice, _) = rewritten(&machine, &site).await;
    alice.fault.plan(|call| {
        let away = RemoteError::Unreachable("away".into());
        Some(if call == "checkin" { Fault::After(away) } else { Fault::Before(away) })
    });
    alice.fs.shutdown().await;
    assert_eq!((site.content("alice", "a"), machine.kept()), (b"new".to_vec(), 1));
    let again = machine.mount(&site, "alice");
    offer(&again).await;
    assert_eq!((site.server.files("alice").len(), machine.kept()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_base_that_is_gone_does_not_keep_what_was_written() {
    let (site, machine) = (Site::new(), Machine::new());
    let (alice, _) = unsaved(&machine, &site, "0123456789", BOTH, 4, "MINE").await;
    alice.fault.unplug();
    alice.fs.shutdown().await;
    let again = machine.mount(&site, "alice");
    again.save("a", "other").await.unwrap();
    offer(&again).await;
    assert_eq!(site.conflict("alice").1, b"\0\0\0\0MINE\0\0");
    assert_eq!(machine.kept(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_is_gone_sends_the_copy_home() {
    let (site, machine) = (Site::new(), Machine::new());
    let alice = machine.mount(&site, "alice");
    folder_with(&alice, "d", "a", "old").await;
    let fh = alice.open("d/a", EMPTY).await.unwrap();
    alice.put(fh, 0, "new");
    alice.fault.unplug();
    alice.fs.shutdown().await;
    let again = machine.mount(&site, "alice");
    let folder = again.ino("d").await;
    again.fs.unlink(folder, OsStr::new("a")).await.unwrap();
    again.fs.rmdir(ROOT, OsStr::new("d")).await.unwrap();
    offer(&again).await;
    let (name, content) = site.conflict("alice");
    assert!(name.starts_with("a (conflict"), "{name}");
    assert_eq!((content, machine.kept()), (b"new".to_vec(), 0));
}

/// What is large goes through the spool and comes back whole, holes and all.
#[tokio::test(start_paused = true)]
async fn a_large_draft_with_holes_comes_back_whole() {
    let (site, machine) = (Site::new(), Machine::new());
    let alice = machine.mount(&site, "alice");
    alice.save("a", &"x".repeat(200_000)).await.unwrap();
    let fh = alice.open("a", BOTH).await.unwrap();
    let ino = alice.ino("a").await;
    alice.fault.unplug();
    let cut = lookup::Changes { size: Some(100), ..Default::default() };
    alice.fs.setattr(ME, ino, Some(fh), cut).await.unwrap();
    alice.put(fh, 6_000_000, "end");
    alice.fs.shutdown().await;
    let again = machine.mount(&site, "alice");
    offer(&again).await;
    let mut whole = vec![0; 6_000_003];
    whole[..100].fill(b'x');
    whole[6_000_000..].copy_from_slice(b"end");
    assert!(site.conflict("alice").1 == whole);
    assert_eq!(machine.kept(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_refused_close_leaves_a_spare_until_the_draft_is_saved() {
    let (site, machine) = (Site::new(), Machine::new());
    let alice = machine.mount(&site, "alice");
    let (_, fh) = alice.create("a").await.unwrap();
    alice.put(fh, 0, "one");
    alice.fault.unplug();
    alice.fs.flush(fh).await.unwrap_err();
    assert_eq!(machine.kept(), 1);
    alice.put(fh, 3, " and two");
    alice.close(fh).await.unwrap_err();
    assert_eq!(machine.kept(), 1, "the newer takes the older one's place");
    let spare = store::all(machine.folder.path()).remove(0);
    assert!(spare.claim().unwrap().is_none(), "while its mount lives it is nobody else's");
    alice.fault.plug();
    alice.fs.retry_now().await;
    assert_eq!((site.content("alice", "a"), machine.kept()), (b"one and two".to_vec(), 0));
}

#[tokio::test(start_paused = true)]
async fn the_spare_of_a_process_that_was_killed_is_offered() {
    let (site, machine) = (Site::new(), Machine::new());
    let (alice, fh) = rewritten(&machine, &site).await;
    alice.fault.unplug();
    alice.close(fh).await.unwrap_err();
    drop(alice);
    let again = machine.mount(&site, "alice");
    offer(&again).await;
    assert_eq!((site.conflict("alice").1, machine.kept()), (b"new".to_vec(), 0));
}

#[tokio::test(start_paused = true)]
async fn a_close_says_what_is_neither_on_the_server_nor_on_the_disk() {
    let (site, machine) = (Site::new(), Machine::new());
    let file = machine.folder.path().join("no-folder");
    std::fs::write(&file, "").unwrap();
    let alice = machine.mount_keeping_in(file, &site, "alice");
    let (_, fh) = alice.create("a").await.unwrap();
    alice.put(fh, 0, "nowhere");
    alice.fault.unplug();
    let failure = alice.close(fh).await.unwrap_err();
    assert_eq!(failure.errno, Errno::ETIMEDOUT);
    assert!(failure.why.contains("nor could it be kept on this machine"), "{failure}");
}

/// A check-in whose answer was lost is settled as what it was, whatever was looked at in between.
#[tokio::test(start_paused = true)]
async fn a_spare_changes_nothing_of_what_is_saved() {
    let (site, machine) = (Site::new(), Machine::new());
    let (alice, fh) = unsaved(&machine, &site, "0123456789", BOTH, 0, "AB").await;
    let ino = alice.ino("a").await;
    alice.fault.plan(|call| {
        let away = RemoteError::Unreachable("away".into());
        Some(if call == "checkin" { Fault::After(away) } else { Fault::Before(away) })
    });
    alice.fs.flush(fh).await.unwrap_err();
    alice.fault.unplug();
    for size in [3, 10] {
        let size = lookup::Changes { size: Some(size), ..Default::default() };
        alice.fs.setattr(ME, ino, Some(fh), size).await.unwrap();
    }
    alice.fs.flush(fh).await.unwrap_err();
    alice.fault.plug();
    alice.close(fh).await.unwrap();
    assert_eq!((site.content("alice", "a"), machine.kept()), (b"AB2\0\0\0\0\0\0\0".to_vec(), 0));
}

/// Whatever the server says at the end: only what it acknowledged is not kept.
#[tokio::test(start_paused = true)]
async fn every_refusal_at_the_end_keeps_the_draft() {
    for code in [
        Code::SessionReplaced,
        Code::SessionExpired,
        Code::SessionRevoked,
        Code::NotLoggedIn,
        Code::LoginRefused,
        Code::Throttled,
        Code::Quota,
        Code::DiskFull,
        Code::Internal,
        Code::Unavailable,
        Code::Integrity,
    ] {
        let (site, machine) = (Site::new(), Machine::new());
        let (alice, _) = rewritten(&machine, &site).await;
        alice.fault.plan(move |_| Some(Fault::Before(RemoteError::refused(code, "no"))));
        let failures = alice.fs.shutdown().await;
        assert!(failures[0].why.contains("/a: no; what was written is kept in"), "{code}: {failures:?}");
        drop(alice);
        let again = machine.mount(&site, "alice");
        offer(&again).await;
        assert_eq!((site.conflict("alice").1, machine.kept()), (b"new".to_vec(), 0), "{code}");
    }
}
