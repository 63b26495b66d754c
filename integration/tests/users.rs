//! Users that an administrator removes, and documents that are handed over.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use sss_integration::{Cmd, Store, eventually, noise};

const SOON: Duration = Duration::from_secs(15);

fn user(store: &Store, command: &str) -> Cmd {
    store.tool("3s-server").args(["user", command]).arg(store.path("data"))
}

fn users(store: &Store) -> Vec<String> {
    let listed = user(store, "list").ok().out();
    listed.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

fn receipts(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

fn is_gone(path: &Path) -> bool {
    fs::read(path).is_err_and(|error| Errno::from_io_error(&error) == Some(Errno::NOENT))
}

#[test]
fn a_user_is_removed_beside_a_running_server() {
    let store = Store::start();
    let (alice, bob) = (store.mount("alice"), store.mount("bob"));
    alice.sh("mkdir -p d/e");
    alice.write("small", "alice's");
    alice.write("d/e/large", noise(300_000, 1));
    alice.write("d/e/large", noise(300_000, 2));
    alice.grant("small", "bob", "checkout,1h");
    alice.grant("d", "bob", "both,1h");
    bob.write("@alice/d/bobs", "a guest's");
    bob.sh("mkdir inbox");
    bob.grant("inbox", "alice", "both,1h");
    alice.write("@bob/inbox/hers", "for bob");
    assert_eq!(bob.read("@alice/small"), b"alice's");
    let id = alice.get("d/e/large", "user.3s.id").unwrap();

    user(&store, "remove").arg("alice").fails().says("--yes");
    assert_eq!(bob.read("@alice/small"), b"alice's", "nothing happened yet");
    let kept = store.path("receipts");
    let removed = user(&store, "remove").args(["alice", "--yes", "--receipts"]).arg(&kept).ok();
    removed
        .says("removed alice, with 5 documents and folders; their keys are erased")
        .says("wrote 3 deletion receipts");
    eventually(SOON, "bob's mount hears of it", || is_gone(&bob.at("@alice/small")));
    assert!(is_gone(&bob.at("@alice/d/bobs")), "what a guest had there went with the home");
    eventually(SOON, "the mount's session is over", || {
        fs::read(alice.at("small")).is_err_and(|e| Errno::from_io_error(&e) == Some(Errno::KEYEXPIRED))
    });
    store.mount_command("alice").0.fails().says("the login was refused");
    // What she made with bob is bob's.
    assert_eq!(bob.read("inbox/hers"), b"for bob");
    assert_eq!(bob.get("inbox/hers", "user.3s.owner").unwrap(), "bob");
    bob.sh("rm inbox/hers");
    assert_eq!(users(&store), ["bob", "carol"]);

    // The keys are erased when the command returns, and the receipts say so.
    assert_eq!(receipts(&kept).len(), 3);
    for receipt in receipts(&kept) {
        let verify = store.tool("3s").arg("verify").arg(&receipt).arg("--server-key");
        verify.arg(store.path("data/server.pub")).ok().says("@alice/");
    }
    let large = fs::read_to_string(kept.join(format!("{id}.receipt"))).unwrap();
    assert!(large.contains("@alice/d/e/large") && large.contains("epoch: "), "{large}");
    let rows = store.audit_log();
    let of =
        |action: &str| rows.iter().filter(|row| row["action"] == action && row["user"].is_null()).count();
    assert_eq!((of("user-disable"), of("user-remove"), of("delete"), of("receipt")), (1, 1, 5, 3));

    // The name is not given again, and the same command has nothing left to do.
    user(&store, "add")
        .arg("alice")
        .arg(store.identity("alice").join("user.pub"))
        .fails()
        .says("not given again");
    let again = user(&store, "remove").args(["alice", "--yes", "--receipts"]).arg(&kept).ok();
    again.says("with 0 documents").says("wrote 0 deletion receipts");
    user(&store, "remove").args(["alina", "--yes"]).fails().says("no user alina");
    bob.unmount();
}

#[test]
fn a_removal_that_is_cut_is_finished_by_the_same_command() {
    let mut store = Store::start();
    let doomed = ["alice", "bob", "carol"];
    for uid in doomed {
        let mount = store.mount(uid);
        mount.write("f", noise(100_000, 5));
        mount.unmount();
    }
    store.stop_server();
    for (uid, place) in doomed.iter().zip(["user-remove.shut", "user-remove.emptied", "user-remove.removed"])
    {
        let remove = || user(&store, "remove").args([uid, "--yes"]);
        remove().env("SSS_FAILPOINT", place).fails().says(place);
        remove().ok().says(&format!("removed {uid}"));
        assert!(!users(&store).contains(&(*uid).to_owned()));
        let packs = fs::read_dir(store.path("data/packs")).unwrap().flatten();
        let left: usize =
            packs.filter_map(|folder| fs::read_dir(folder.path()).ok()).map(Iterator::count).sum();
        let others = doomed.iter().rev().position(|other| other == uid).unwrap();
        assert_eq!(left, others, "without a server the command deletes the packs: {place}");
    }
    // The server starts on what is left.
    store.start_server();
    store.audit_log();
}

#[test]
fn documents_are_handed_over_beside_a_running_server() {
    let store = Store::start();
    let (alice, bob, carol) = (store.mount("alice"), store.mount("bob"), store.mount("carol"));
    alice.sh("mkdir d");
    alice.set("d", "user.3s.flag", "integrity");
    for seed in [1, 2] {
        alice.write("d/signed", noise(200_000, seed));
    }
    alice.write("plain", "alice's");
    alice.grant("d", "carol", "checkout,1h");
    alice.grant("d", "bob", "checkout,1h");
    let (id, signature) = (alice.get("d/signed", "user.3s.id"), alice.get("d/signed", "user.3s.signature"));
    assert_eq!(bob.read("@alice/d/signed"), noise(200_000, 2));
    assert!(is_gone(&bob.at("alice/plain")));
    bob.write("taken", "bob's");

    let transfer = || user(&store, "transfer").args(["alice", "bob"]);
    transfer().args(["--into", "taken"]).fails().says("taken in the home of bob");
    transfer().args(["--into", "@x"]).fails().says("does not begin with `@`");
    user(&store, "transfer").args(["alice", "alice"]).fails().says("already");
    transfer().ok().says("3 documents and folders of alice are @bob/alice now");

    // The mounts hear of it, without being mounted anew.
    eventually(SOON, "bob's mount shows what was handed over", || {
        fs::read(bob.at("alice/plain")).is_ok_and(|content| content == b"alice's")
    });
    assert_eq!(bob.read("alice/d/signed"), noise(200_000, 2));
    eventually(SOON, "alice's mount is empty", || is_gone(&alice.at("plain")));
    assert!(is_gone(&alice.at("d/signed")));
    eventually(SOON, "carol reads it where it is now", || {
        fs::read(carol.at("@bob/alice/d/signed")).is_ok_and(|content| content == noise(200_000, 2))
    });
    // Identity, history and signature are as they were.
    assert_eq!(bob.get("alice/d/signed", "user.3s.id"), id);
    assert_eq!(bob.get("alice/d/signed", "user.3s.signature"), signature);
    assert_eq!(bob.get("alice/d/signed", "user.3s.version").unwrap(), "2");
    assert_eq!(bob.get("alice/d/signed", "user.3s.author").unwrap(), "alice");
    assert_eq!(bob.get("alice/d/signed", "user.3s.owner").unwrap(), "bob");
    store.tool("3s").arg("verify").arg(bob.at("alice/d/signed")).ok().says("alice");
    // bob is the owner: writes, shares, deletes; the grants to others stayed, the one to himself is gone.
    let grants = bob.sh("getfattr -d -m 'user.3s.grant' alice/d").out();
    assert!(grants.contains("grant.carol") && !grants.contains("grant.bob"), "{grants}");
    bob.write("alice/d/signed", "bob's");
    bob.grant("alice/plain", "alice", "checkout,1h");
    eventually(SOON, "alice reads what bob shares with her", || {
        fs::read(alice.at("@bob/alice/plain")).is_ok_and(|content| content == b"alice's")
    });
    bob.sh("rm alice/d/signed");
    // The kernel believes a name for a second.
    eventually(SOON, "alice's home goes on", || fs::write(alice.at("plain"), "a new one").is_ok());
    assert_eq!(bob.read("alice/plain"), b"alice's");
    let rows = store.audit_log();
    assert!(
        rows.iter().any(|row| row["action"] == "user-transfer"
            && row["detail"] == "alice to bob"
            && row["path"] == "@bob/alice"),
        "{rows:?}"
    );
    for mount in [alice, bob, carol] {
        mount.unmount();
    }
}
