//! Certificates that are renewed, and revoked, under running mounts.

#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use sss_integration::{Mount, Store, eventually};

/// When a mount that looks at its identity every few seconds has seen it.
const SEEN: Duration = Duration::from_secs(30);

fn enroll(store: &Store, out: &Path) {
    store
        .tool("3s-ca")
        .arg("enroll")
        .arg(store.path("ca"))
        .args(["--uid", "alice", "--node", "client1", "-o"])
        .arg(out)
        .ok();
}

/// Revokes a certificate, and lets the server know.
fn revoke(store: &Store, certificate: &Path) {
    store.tool("3s-ca").arg("revoke").arg(store.path("ca")).arg(certificate).ok();
    fs::copy(store.path("ca/ca.crl"), store.path("tls/ca.crl")).unwrap();
    let read = |store: &Store| store.server_log().matches("read the certificates and the CRL again").count();
    let before = read(store);
    store.signal_server(Signal::HUP);
    eventually(SEEN, "the server has read its files again", || read(store) > before);
}

fn count(mount: &Mount, words: &str) -> usize {
    mount.log().matches(words).count()
}

const TAKEN_UP: &str = "the identity was renewed";
const NOT_USED: &str = "the renewed identity is not used";

#[test]
fn a_renewed_certificate_is_taken_up_by_a_running_mount() {
    let store = Store::start();
    let id = store.identity("alice");
    let alice = store.mount("alice");
    alice.write("read", "read");
    let read = File::open(alice.at("read")).unwrap();
    let mut draft = File::create(alice.at("draft")).unwrap();
    draft.write_all(b"before, ").unwrap();

    let old = store.path("old.crt");
    fs::copy(id.join("client.crt"), &old).unwrap();
    enroll(&store, &id);
    eventually(SEEN, "the renewed certificate is taken up", || count(&alice, TAKEN_UP) == 1);
    revoke(&store, &old);
    // The old certificate is refused by now, and the mount works.
    alice.write("after", "after");
    let mut bytes = [0; 4];
    read.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"read", "an open descriptor goes on");
    draft.write_all(b"and after").unwrap();
    drop((draft, read));
    assert_eq!(alice.read("draft"), b"before, and after");
    assert_eq!((count(&alice, TAKEN_UP), count(&alice, NOT_USED)), (1, 0), "{}", alice.log());
    alice.unmount();
    assert_eq!(store.mount("alice").read("draft"), b"before, and after", "it is on the server");
}

#[test]
fn half_of_a_renewal_is_not_taken_up_and_does_no_harm() {
    let store = Store::start();
    let id = store.identity("alice");
    let alice = store.mount("alice");
    alice.write("f", "before");
    // Another key pair, whose certificate comes before its key.
    let renewed = store.path("renewed");
    fs::create_dir(&renewed).unwrap();
    for name in ["user.key", "user.pub"] {
        fs::copy(id.join(name), renewed.join(name)).unwrap();
    }
    enroll(&store, &renewed);
    fs::copy(renewed.join("client.crt"), id.join("client.crt")).unwrap();
    eventually(SEEN, "half of it is told of", || count(&alice, NOT_USED) == 1);
    assert!(alice.log().contains("client.key is not the key of"), "{}", alice.log());
    assert_eq!(alice.read("f"), b"before");

    fs::rename(renewed.join("client.key"), id.join("client.key")).unwrap();
    eventually(SEEN, "the whole is taken up", || count(&alice, TAKEN_UP) == 1);
    assert_eq!(count(&alice, NOT_USED), 1, "once: {}", alice.log());
    alice.write("f", "after");
    assert_eq!(alice.read("f"), b"after");

    // Another node's: not at all.
    fs::copy(store.identity("bob").join("client.crt"), id.join("client.crt")).unwrap();
    fs::copy(store.identity("bob").join("client.key"), id.join("client.key")).unwrap();
    eventually(SEEN, "another node's is told of", || count(&alice, "it is of the node client2") == 1);
    assert_eq!(alice.read("f"), b"after");
}
