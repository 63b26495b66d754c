//! An identity on its machine: who else could use it, and what of it lies in memory.

#![allow(clippy::unwrap_used)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Pid;
use sss_integration::{Mount, Nobody, Store, needs_root};

#[test]
fn an_identity_that_others_could_use_is_refused() {
    let store = Store::start();
    let alice = store.identity("alice");
    for (name, mode, chmod) in [
        ("client.key", 0o644, "chmod 600"),
        ("user.key", 0o660, "chmod 600"),
        ("ca.crt", 0o666, "chmod go-w"),
        ("", 0o777, "chmod 700"),
    ] {
        let path = alice.join(name);
        let before = path.metadata().unwrap().permissions();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        store.mount_fails("alice").says(&format!("(mode {mode:04o})")).says(chmod);
        fs::set_permissions(&path, before).unwrap();
    }
    // Who can change server.pub says which signatures are good.
    let mount = store.mount("alice");
    mount.sh("setfattr -n user.3s.flag -v integrity .; echo x > f");
    let verify = || store.tool("3s").arg("verify").arg(mount.at("f"));
    verify().ok();
    fs::set_permissions(alice.join("server.pub"), Permissions::from_mode(0o666)).unwrap();
    verify().fails().says("server.pub can be written by other users (mode 0666)");
}

#[test]
fn a_mount_leaves_no_core_and_lets_nobody_look_into_it() {
    let store = Store::start();
    let alice = store.mount("alice");
    let limits = fs::read_to_string(format!("/proc/{}/limits", pid(&alice))).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let words: Vec<&str> = core.split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"], "{core}");
    let status = fs::read_to_string(format!("/proc/{}/status", pid(&alice))).unwrap();
    let locked = status.lines().find(|line| line.starts_with("VmLck:")).unwrap();
    assert!(!locked.ends_with(" 0 kB"), "the key and the session are not locked: {locked}");

    if !needs_root("a_mount_leaves_no_core_and_lets_nobody_look_into_it (its second half, as `nobody`)") {
        return;
    }
    let nobody = Nobody::new(&store, "bob");
    nobody.script("\"$PROGRAM\" mount \"$SERVER\" \"$N/mnt\" --identity \"$N/id\"").ok();
    let found = nobody.script("pgrep -f -- \"--daemon-child.*$N/mnt\"").ok().out();
    // The same user's programs; `environ` asks for the right to attach a debugger, as `mem` does.
    let looked = nobody.script(&format!("head -c 1 /proc/{found}/environ")).run();
    let own = nobody.script("head -c 1 /proc/self/environ").run();
    nobody.script("\"$PROGRAM\" unmount \"$N/mnt\"").ok();
    assert!(own.success(), "{}", own.account());
    assert!(!looked.success() && looked.err().contains("Permission denied"), "{}", looked.account());
}

fn pid(mount: &Mount) -> i32 {
    let [pid] = mount.processes()[..] else { panic!("one process serves a mount") };
    Pid::as_raw(Some(pid))
}

#[test]
fn a_mounts_record_is_where_no_neighbour_can_be_before() {
    if !needs_root("a_mounts_record_is_where_no_neighbour_can_be_before") {
        return;
    }
    let store = Store::start();
    let nobody = Nobody::new(&store, "alice");
    // No session of this machine, no XDG_RUNTIME_DIR: the home.
    let script = |script: &str| nobody.script_in(&[("HOME", "")], script);
    let mount = "\"$PROGRAM\" mount \"$SERVER\" \"$N/mnt\" --identity \"$N/id\"";
    script(mount).ok();
    let record =
        script("stat -c '%a %U' \"$N/.local/state/3s/mounts\"; ls \"$N/.local/state/3s/mounts\"").run();
    let status = script("\"$PROGRAM\" status").run();
    script("\"$PROGRAM\" unmount \"$N/mnt\"").ok();
    assert!(
        record.out().starts_with("700 nobody\n") && record.out().ends_with(".json"),
        "{}",
        record.account()
    );
    assert!(status.out().contains("process:"), "{}", status.account());
    script("chmod 755 \"$N/.local/state/3s/mounts\"").ok();
    script(mount).fails().says("is open to other users (mode 0755)").says("chmod 700");
}

#[test]
fn other_users_are_held_to_mode_bits_and_never_come_to_grants() {
    if !needs_root("other_users_are_held_to_mode_bits_and_never_come_to_grants") {
        return;
    }
    let store = Store::start();
    let nobody = Nobody::new(&store, "bob");
    fs::set_permissions(store.path(""), Permissions::from_mode(0o755)).unwrap();
    let alice = store.mount_with("alice", &["-o", "allow_other"]);
    fs::set_permissions(alice.root(), Permissions::from_mode(0o755)).unwrap();
    alice.sh("echo secret > own; chmod 600 own; echo news > read; chmod 644 read; echo list > write; chmod 666 write");
    alice.sh("mkdir shut open; chmod 700 shut; chmod 777 open; echo x > shut/f; chmod 666 shut/f");
    alice.grant("write", "bob", "checkout,1h");
    let script = |script: &str| nobody.script(script).cwd(alice.root());

    for closed in [
        "cat own",
        "echo x >> own",
        "rm own",
        "echo x > new",
        "chmod 666 own",
        "cat shut/f",
        "echo x > read",
        "mv read r",
    ] {
        script(closed).fails();
    }
    assert_eq!(script("cat read").ok().out(), "news");
    script("echo more >> write; echo x > open/his; rm open/his").ok();
    assert_eq!(alice.read("write"), b"list\nmore\n");

    for grant in [
        "setfattr -n user.3s.grant.ALL -v both,1h write",
        "setfattr -n user.3s.grant.carol -v checkout,1h open",
        "setfattr -n user.3s.flag -v integrity write",
        "setfattr -x user.3s.grant.bob write",
    ] {
        script(grant).fails().says("Operation not permitted");
    }
    script("getfattr -n user.3s.grant.bob write").fails().says("Permission denied");
    script("getfattr -d write").ok().never_says("grant");
    script("setfattr -n user.note -v x write; getfattr -n user.3s.owner write").ok().says("alice");
    assert!(alice.get("write", "user.3s.grant.bob").unwrap().starts_with("checkout,"), "it is still there");
    assert!(alice.get("open", "user.3s.grant.carol").is_err());
}
