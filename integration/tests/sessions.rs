//! Sessions and servers that go away, and mounts that stay calm.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Signal, kill_process};
use sss_integration::{Store, bash, eventually};

#[test]
fn a_newer_login_replaces_the_session_and_why_names_the_node() {
    let store = Store::start();
    let first = store.mount("alice");
    first.write("f", "x");
    let second = store.mount("alice2");
    assert_eq!(second.read("f"), b"x");
    eventually(Duration::from_secs(10), "the first mount's session is over", || {
        fs::read(first.at("f")).is_err_and(|e| Errno::from_io_error(&e) == Some(Errno::KEYREVOKED))
    });
    first.sh_fails("cat f").says("Key has been revoked");
    first.sh_fails("ls").says("Key has been revoked");
    let why = first.why(".");
    assert!(why.contains("client4"), "names the node that took the session: {why}");
    second.write("f", "y");
    assert_eq!(second.read("f"), b"y", "the newer session stays");
}

#[test]
fn unmounting_logs_out() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.write("f", "x");
    // The audit log lies in the database in the clear.
    let database = store.path("data").join("meta.db").display().to_string();
    // The word stands in the schema too; a row more is what counts.
    let count = || bash(&format!("cat {database}* | grep -ao logout | wc -l")).ok().out();
    let before = count();
    let heard = || count() != before;
    alice.unmount();
    eventually(Duration::from_secs(10), "the server has a logout in its audit log", heard);
}

#[test]
fn sigterm_checks_in_unmounts_and_ends() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.write("f", "x");
    let processes = alice.processes();
    assert_eq!(processes.len(), 1, "one process serves a mount");
    kill_process(processes[0], Signal::TERM).unwrap();
    eventually(Duration::from_secs(30), "the process ends", || alice.processes().is_empty());
    assert!(!sss_integration::mount::is_mounted(alice.root()), "the mount is gone, not hanging");
    drop(alice);
    assert_eq!(store.mount("alice").read("f"), b"x");
}

#[test]
fn a_mount_outlives_a_server_restart() {
    let mut store = Store::start();
    let alice = store.mount("alice");
    alice.write("f", "before");
    store.stop_server();
    store.start_server();
    eventually(Duration::from_secs(20), "the mount recovers by itself", || fs::read(alice.at("f")).is_ok());
    assert_eq!(alice.read("f"), b"before");
    alice.write("f", "after");
    assert_eq!(alice.read("f"), b"after");
}

#[test]
fn a_server_that_is_away_is_reported_quickly_and_forgotten_when_it_is_back() {
    let mut store = Store::start();
    let alice = store.mount_with("alice", &["-o", "timeout=2"]);
    alice.write("f", "x");
    store.kill_server();
    let start = Instant::now();
    alice.script("cat other").within(Duration::from_secs(30)).fails().says("Connection timed out");
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    let start = Instant::now();
    for _ in 0..5 {
        alice.script("ls").within(Duration::from_secs(30)).run();
    }
    assert!(start.elapsed() < Duration::from_secs(30), "`ls` is never wedged: {:?}", start.elapsed());
    alice.script("echo y > g").within(Duration::from_secs(30)).fails().says("Connection timed out");
    assert!(!alice.why(".").is_empty(), "there is a reason");
    store.start_server();
    eventually(Duration::from_secs(20), "the mount recovers by itself", || fs::read(alice.at("f")).is_ok());
    alice.write("g", "y");
    assert_eq!(alice.read("g"), b"y");
}

#[test]
fn a_server_that_hangs_is_reported_within_the_deadline() {
    let store = Store::start();
    let alice = store.mount_with("alice", &["-o", "timeout=2"]);
    alice.write("f", "x");
    store.signal_server(Signal::STOP);
    let start = Instant::now();
    let done = alice.script("cat other").within(Duration::from_secs(60)).run();
    let took = start.elapsed();
    store.signal_server(Signal::CONT);
    assert!(done.err().contains("Connection timed out"), "{}", done.account());
    assert!(took < Duration::from_secs(20), "{took:?}");
    eventually(Duration::from_secs(20), "the mount recovers by itself", || fs::read(alice.at("f")).is_ok());
}

#[test]
fn unmounting_without_a_server_ends_and_says_that_not_everything_was_checked_in() {
    let mut store = Store::start();
    let alice = store.mount_with("alice", &["-o", "timeout=2"]);
    alice.write("f", "x");
    let mut draft = fs::OpenOptions::new().append(true).open(alice.at("f")).unwrap();
    store.kill_server();
    draft.write_all(b"a draft").unwrap();
    let refused = Errno::from_io_error(&draft.sync_all().unwrap_err());
    assert_eq!(refused, Some(Errno::TIMEDOUT));
    drop(draft);

    let start = Instant::now();
    let unmount = store.tool("3s").arg("unmount").arg(alice.root()).within(Duration::from_secs(60)).run();
    assert!(start.elapsed() < Duration::from_secs(60));
    eventually(Duration::from_secs(30), "the mount's process ends", || alice.processes().is_empty());
    assert!(!sss_integration::mount::is_mounted(alice.root()));
    assert!(!unmount.success(), "a draft that is nowhere is no success: {}", unmount.account());
    let said = unmount.err();
    assert!(said.contains("is unmounted, but not everything could be checked in"), "{said}");
    assert!(said.lines().count() >= 2, "a second line says what to do: {said}");

    // The server never saw it: what is there is the version before.
    store.start_server();
    assert_eq!(store.mount("alice").read("f"), b"x");
}

#[test]
fn a_mount_in_the_foreground_ends_with_ctrl_c() {
    let store = Store::start();
    let (_, mountpoint) = store.mount_command("alice");
    let mut child = std::process::Command::new(sss_integration::binaries::program("3s"))
        .args(["mount", &format!("alice@{}", store.addr())])
        .arg(&mountpoint)
        .arg("--identity")
        .arg(store.identity("alice"))
        .arg("--foreground")
        .env("XDG_RUNTIME_DIR", store.path("run"))
        .env("XDG_STATE_HOME", store.path("state"))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mounted = sss_integration::wait::holds_within(Duration::from_secs(30), || {
        sss_integration::mount::is_mounted(&mountpoint) || !matches!(child.try_wait(), Ok(None))
    });
    let was_mounted = sss_integration::mount::is_mounted(&mountpoint);
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    let _ = kill_process(pid, Signal::INT);
    let ended = sss_integration::wait::holds_within(Duration::from_secs(30), || {
        !matches!(child.try_wait(), Ok(None))
    });
    if !ended {
        child.kill().unwrap();
        child.wait().unwrap();
        sss_integration::Cmd::new("fusermount3").arg("-uz").arg(&mountpoint).run();
    }
    assert!(mounted && was_mounted, "it mounts");
    assert!(ended, "it ends with SIGINT");
    assert!(!sss_integration::mount::is_mounted(&mountpoint), "and leaves no mount");
}
