//! Certificates that are renewed, and revoked, under running mounts.

#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use sss_integration::{Mount, Nobody, Store, bash, eventually, needs_root};

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

/// The same user and node with another key pair, in a folder of its own.
fn other_pair(store: &Store) -> PathBuf {
    let renewed = store.path("renewed");
    fs::create_dir(&renewed).unwrap();
    for name in ["user.key", "user.pub"] {
        fs::copy(store.identity("alice").join(name), renewed.join(name)).unwrap();
    }
    enroll(store, &renewed);
    renewed
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
    let renewed = other_pair(&store);
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

#[test]
fn a_revoked_machine_comes_back_with_another_certificate() {
    let store = Store::start();
    let id = store.identity("alice");
    let alice = store.mount("alice");
    alice.write("f", "before");
    let mut draft = File::create(alice.at("draft")).unwrap();
    draft.write_all(b"before, ").unwrap();
    revoke(&store, &id.join("client.crt"));
    eventually(SEEN, "the machine is out", || fs::read(alice.at("f")).is_err());

    let renewed = other_pair(&store);
    for name in ["client.key", "client.crt"] {
        fs::rename(renewed.join(name), id.join(name)).unwrap();
    }
    eventually(Duration::from_secs(60), "the mount logs in with the other certificate", || {
        fs::read(alice.at("f")).is_ok_and(|content| content == b"before")
    });
    draft.write_all(b"and after").unwrap();
    drop(draft);
    assert_eq!(alice.read("draft"), b"before, and after");
}

#[test]
fn clients_refuse_a_revoked_server() {
    let mut store = Store::start();
    let id = store.identity("alice");
    let alice = store.mount("alice");
    alice.write("f", "before");
    let at_first = fs::read(id.join("ca.crl")).unwrap();

    // The server's key was stolen: another certificate for the server, and the old one is taken back.
    let stolen = store.path("stolen");
    fs::create_dir(&stolen).unwrap();
    let names = ["server.crt", "server.key"];
    let copy = |from: &Path, to: &Path| names.map(|name| fs::copy(from.join(name), to.join(name)).unwrap());
    copy(&store.path("tls"), &stolen);
    let hosts = ["--host", "127.0.0.1", "--host", "localhost", "--renew", "-o"];
    store.tool("3s-ca").arg("issue-server").arg(store.path("ca")).args(hosts).arg(store.path("tls")).ok();
    revoke(&store, &stolen.join("server.crt"));
    eventually(SEEN, "the list is handed over", || count(&alice, "a newer revocation list is in force") == 1);
    eventually(SEEN, "and kept", || fs::read(id.join("ca.crl")).unwrap() != at_first);
    let show = |path: &Path| store.tool("3s-ca").arg("show").arg(path).ok().out();
    assert_eq!(show(&id.join("ca.crl")), show(&store.path("ca/ca.crl")));
    assert_eq!(alice.read("f"), b"before");

    // The thief poses as the server, at its place.
    let good = store.path("good");
    fs::create_dir(&good).unwrap();
    copy(&store.path("tls"), &good);
    store.stop_server();
    copy(&stolen, &store.path("tls"));
    store.start_server();
    eventually(SEEN, "the running mount refuses it", || {
        fs::read(alice.at("g")).is_err() && alice.why(".").contains("is revoked")
    });
    assert!(fs::write(alice.at("h"), "secret").is_err());
    store.mount_fails("alice").says("is revoked");

    store.stop_server();
    copy(&good, &store.path("tls"));
    store.start_server();
    eventually(SEEN, "the mount goes on with the real one", || {
        fs::read(alice.at("f")).is_ok_and(|f| f == b"before")
    });
}

#[test]
fn a_list_that_cannot_be_kept_counts_for_the_mount() {
    if !needs_root("a_list_that_cannot_be_kept_counts_for_the_mount") {
        return;
    }
    let store = Store::start();
    let nobody = Nobody::new(&store, "alice");
    let id = nobody.folder().join("id");
    // Files of his own in a folder of root's.
    bash("chown root \"$ID\"; chmod 755 \"$ID\"").env("ID", &id).ok();
    nobody.script("\"$PROGRAM\" mount \"$SERVER\" \"$N/mnt\" --identity \"$N/id\"").ok();
    revoke(&store, &store.identity("bob").join("client.crt"));
    let log = || nobody.script("cat \"$N\"/state/3s/*.log").ok().out();
    let told = sss_integration::wait::holds_within(SEEN, || log().contains("counts for this mount only"));
    nobody.script("\"$PROGRAM\" unmount \"$N/mnt\"").ok();
    assert!(told && log().contains("a newer revocation list is in force"), "{}", log());
}

#[test]
fn what_ends_is_told_in_time() {
    let store = Store::start();
    let id = store.identity("alice");
    let days = |days: &str| {
        let enroll = store.tool("3s-ca").arg("enroll").arg(store.path("ca"));
        enroll.args(["--uid", "alice", "--node", "client1", "--days", days, "-o"]).arg(&id).ok();
    };
    days("5");
    let (command, mountpoint) = store.mount_command("alice");
    let said = command.ok();
    let status = || store.tool("3s").arg("status").arg(&mountpoint).run();
    let first = status();
    days("300");
    let second = status();
    store.tool("3s").arg("unmount").arg(&mountpoint).ok();
    assert_eq!(said.err().lines().count(), 1, "{}", said.account());
    assert!(said.err().contains("client.crt ends in 5 days"), "{}", said.account());
    assert!(
        first.out().contains("ends:    ") && first.out().contains("client.crt ends in 5 days"),
        "{}",
        first.account()
    );
    assert!(second.success() && !second.out().contains("ends: "), "{}", second.account());
    let log = fs::read_dir(store.path("state/3s")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(fs::read_to_string(log).unwrap().matches("client.crt ends in 5 days").count(), 1);
}
