//! A right that ends, ends.

use std::time::Duration;

use parking_lot::Mutex;
use sss_common::Clock;
use tokio_util::sync::CancellationToken;

use super::rights::Pages;
use super::*;

/// Tells what was dropped.
#[derive(Clone, Default)]
struct Dropped(Arc<Mutex<Vec<INodeNo>>>, Arc<tokio::sync::Notify>);

impl Pages for Dropped {
    fn drop_pages(&self, ino: INodeNo) -> std::io::Result<()> {
        self.0.lock().push(ino);
        self.1.notify_one();
        Ok(())
    }
}

impl Dropped {
    async fn until(&self, ino: INodeNo) {
        let there = async {
            while !self.0.lock().contains(&ino) {
                self.1.notified().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), there).await.expect("pages are dropped");
    }
}

#[tokio::test]
async fn a_timer_ends_a_right_in_an_open_file() {
    let site = Site::new();
    let (alice, bob) = (site.mount("alice"), site.mount("bob"));
    alice.save("a", "secret").await.unwrap();
    // The server's clock stands; the grant has 30 ms of it left when bob opens.
    alice.grant("a", "bob", "checkout,1s").await;
    site.clock.advance(Duration::from_millis(970));
    let dropped = Dropped::default();
    bob.fs.set_notifier(dropped.clone());
    let ino = bob.ino("@alice/a").await;
    let fh = bob.fs.open(ME, ino, READ).await.unwrap();
    assert_eq!(bob.fs.read(fh, 0, 100).await.unwrap(), "secret");
    site.clock.advance(Duration::from_millis(100));
    dropped.until(ino).await;
    assert_eq!(
        errno(bob.fs.read(fh, 0, 100).await),
        libc::EACCES,
        "nothing that was fetched before is given"
    );
    let why = bob.fs.getxattr(ino, "user.3s.why").await.unwrap();
    assert_eq!(String::from_utf8(why).unwrap(), "the grant ended");
    assert!(site.clock.now().0 > 0);
}

#[tokio::test]
async fn a_revocation_reaches_an_open_file_and_a_new_grant_too() {
    let site = Site::new();
    let (alice, bob) = (site.mount("alice"), site.mount("bob"));
    alice.save("a", "secret").await.unwrap();
    alice.grant("a", "bob", "checkout,1h").await;
    let dropped = Dropped::default();
    bob.fs.set_notifier(dropped.clone());
    let cancel = CancellationToken::new();
    let events = tokio::spawn(bob.fs.clone().run_events(cancel.clone()));
    let ino = bob.ino("@alice/a").await;
    let fh = bob.fs.open(ME, ino, READ).await.unwrap();
    assert_eq!(bob.fs.read(fh, 0, 100).await.unwrap(), "secret");
    // Until the events are followed, a revocation is repeated: each makes an event.
    let revoke = async {
        loop {
            let file = alice.ino("a").await;
            let _ = alice.fs.removexattr(file, "user.3s.grant.bob").await;
            let _ = tokio::time::timeout(Duration::from_millis(50), dropped.1.notified()).await;
            if bob.fs.read(fh, 0, 100).await.is_err() {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), revoke).await.unwrap();
    assert!(dropped.0.lock().contains(&ino));
    assert_eq!(errno(bob.fs.read(fh, 0, 100).await), libc::EACCES);
    alice.grant("a", "bob", "checkout,1h").await;
    assert_eq!(bob.fs.read(fh, 0, 100).await.unwrap(), "secret");
    cancel.cancel();
    events.await.unwrap();
}

#[tokio::test]
async fn what_was_written_under_a_right_that_ended_is_kept_at_home() {
    let site = Site::new();
    let (alice, bob) = (site.mount("alice"), site.mount("bob"));
    alice.save("a", "base").await.unwrap();
    alice.grant("a", "bob", "both,10s").await;
    let fh = bob.open("@alice/a", BOTH).await.unwrap();
    bob.put(fh, 0, "draft");
    site.clock.advance(Duration::from_secs(11));
    assert_eq!(errno(bob.close(fh).await), libc::EACCES);
    assert_eq!(site.content("alice", "a"), b"base");
    assert_eq!(site.conflict("bob").1, b"draft");
}

#[tokio::test]
async fn a_replaced_session_says_so_everywhere() {
    let site = Site::new();
    let alice = site.mount("alice");
    alice.save("a", "x").await.unwrap();
    let ino = alice.ino("a").await;
    let fh = alice.open("a", READ).await.unwrap();
    let dropped = Dropped::default();
    alice.fs.set_notifier(dropped.clone());
    let other = site.mount_from("alice", "client2");
    assert_eq!(errno(alice.open("a", READ).await), libc::EKEYREVOKED);
    assert_eq!(errno(alice.fs.read(fh, 0, 1).await), libc::EKEYREVOKED);
    assert_eq!(errno(alice.create("b").await), libc::EKEYREVOKED);
    dropped.until(ino).await;
    assert_eq!(alice.fs.lookup(ROOT, OsStr::new("a")).await.unwrap().ino, ino, "what is known can be named");
    assert!(alice.fs.getattr(ino).await.is_ok());
    for ino in [ROOT, ino] {
        let why = String::from_utf8(alice.fs.getxattr(ino, "user.3s.why").await.unwrap()).unwrap();
        assert!(why.contains("client2"), "{why}");
    }
    assert_eq!(other.cat("a").await.unwrap(), "x");
}

#[tokio::test]
async fn the_end_of_a_session_reaches_own_documents_too() {
    let site = Site::new();
    let alice = site.mount("alice");
    alice.save("a", "own").await.unwrap();
    alice.save("gone", "deleted").await.unwrap();
    let dropped = Dropped::default();
    alice.fs.set_notifier(dropped.clone());
    let ino = alice.ino("a").await;
    let (own, gone) = (alice.open("a", BOTH).await.unwrap(), alice.open("gone", READ).await.unwrap());
    assert_eq!(alice.fs.read(own, 0, 100).await.unwrap(), "own");
    assert_eq!(alice.fs.read(gone, 0, 100).await.unwrap(), "deleted");
    alice.fs.unlink(ROOT, OsStr::new("gone")).await.unwrap();
    let cancel = CancellationToken::new();
    let events = tokio::spawn(alice.fs.clone().run_events(cancel.clone()));
    while !alice.fault.calls().contains(&"events") {
        tokio::task::yield_now().await;
    }
    site.server.set_disabled("alice", true);
    dropped.until(ino).await;
    assert_eq!(errno(alice.fs.read(own, 0, 100).await), libc::EKEYEXPIRED);
    assert_eq!(errno(alice.fs.read(gone, 0, 100).await), libc::EKEYEXPIRED);
    // Once a login was refused, nothing is even written into a draft any more.
    let refused = async {
        while alice.fs.write(own, 0, &Bytes::from_static(b"x")).is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), refused).await.expect("the mount is suspended");
    let why = String::from_utf8(alice.fs.getxattr(ROOT, "user.3s.why").await.unwrap()).unwrap();
    assert!(why.contains("disabled"), "{why}");
    assert!(!events.is_finished(), "logins are tried on");
    cancel.cancel();
    events.await.unwrap();
}

#[tokio::test]
async fn the_event_of_a_replaced_session_ends_the_mount() {
    let site = Site::new();
    let alice = site.mount("alice");
    let cancel = CancellationToken::new();
    let events = tokio::spawn(alice.fs.clone().run_events(cancel));
    while !alice.fault.calls().contains(&"events") {
        tokio::task::yield_now().await;
    }
    site.mount_from("alice", "client2");
    tokio::time::timeout(Duration::from_secs(20), events).await.expect("the events end").unwrap();
    assert_eq!(errno(alice.fs.opendir(ROOT).await), libc::EKEYREVOKED);
}
