//! What was written outlives its session, its user and its mount.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Signal, kill_process};
use sss_integration::{Cmd, Done, Mount, Store, eventually, mount::is_mounted};

const LONG: Duration = Duration::from_secs(60);

/// A program that has written and not closed. It is one of its own: a test that starts a program closes what it has open,
/// in that program, and a `close` checks in.
struct Draft(Child);

impl Draft {
    /// Ends the program, and with it its last handle.
    fn close(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A mount with a draft that is not on the server: of 11 bytes of `old content` the first three are `NEW`.
fn with_draft(store: &Store) -> (Mount, Draft) {
    const PROGRAM: &str = "import os, sys
f = os.open('d/f', os.O_RDWR)
os.pwrite(f, b'NEW', 0)
print('written', flush=True)
sys.stdin.read()";
    let alice = store.mount_with("alice", &["-o", "timeout=2"]);
    alice.sh("mkdir d");
    alice.write("d/f", "old content");
    let mut command = Command::new("python3");
    command.args(["-c", PROGRAM]).current_dir(alice.root()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut draft = Draft(command.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(draft.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "written\n");
    (alice, draft)
}

/// The same, and the server is away when the program closes it.
fn with_refused_draft(store: &mut Store) -> Mount {
    let (alice, draft) = with_draft(store);
    store.kill_server();
    draft.close();
    alice
}

/// `3s unmount` fails, and says where what was written is.
fn unmount_fails(store: &Store, alice: &Mount) -> Done {
    store.tool("3s").arg("unmount").arg(alice.root()).within(LONG).fails().says("kept in ")
}

/// Ends a mount that cannot check in.
#[track_caller]
fn end(alice: Mount, how: impl FnOnce(&Mount)) {
    how(&alice);
    eventually(LONG, "the mount's process ends", || alice.processes().is_empty());
    assert!(!is_mounted(alice.root()));
}

fn kept(store: &Store) -> Vec<PathBuf> {
    let folder = fs::read_dir(store.path("state/3s/recovery")).into_iter().flatten().flatten();
    folder.map(|entry| entry.path()).collect()
}

/// One draft is kept, sealed, and every command that should names it; `3s recover --to` gives the bytes, and the next mount
/// makes a conflict copy of them.
#[track_caller]
fn comes_back(store: &Store) {
    let files = kept(store);
    assert_eq!(files.len(), 1, "{files:?}");
    let file = files[0].display().to_string();
    let mode = |path: &PathBuf| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&files[0]), mode(&store.path("state/3s/recovery"))), (0o600, 0o700));
    let sealed = fs::read(&files[0]).unwrap();
    assert!(!sealed.windows(3).any(|window| window == b"NEW"), "sealed");

    store.tool("3s").args(["recover"]).ok().says(&file).says("/d/f");
    // It lists every mount of the machine, also another test's that does not answer.
    store.tool("3s").args(["status"]).run().says(&file).says("/d/f");
    let to = store.fresh_dir("back-");
    fs::write(to.join("f"), "mine").unwrap();
    store.tool("3s").args(["recover", "--to"]).arg(&to).ok().says("/d/f -> ");
    assert_eq!(fs::read(to.join("f")).unwrap(), b"mine", "nothing is written over");
    assert_eq!(fs::read(to.join("f.1")).unwrap(), WITHOUT_BASE);

    let alice = store.mount("alice");
    eventually(LONG, "the draft is on the server", || kept(store).is_empty());
    let copies = alice.sh("cd d; ls f' (conflict alice '*").out();
    assert_eq!(copies.lines().count(), 1, "{copies}");
    assert_eq!(alice.read(&format!("d/{}", copies.trim())), WHOLE);
    assert_eq!(alice.read("d/f"), b"old content");
    store.tool("3s").args(["recover"]).ok().says("nothing is kept");
}

/// When the server is there again.
#[track_caller]
fn comes_back_with(store: &mut Store) {
    store.start_server();
    comes_back(store);
}

const WITHOUT_BASE: &[u8] = b"NEW\0\0\0\0\0\0\0\0";
const WHOLE: &[u8] = b"NEW content";

#[test]
fn a_server_that_is_away_at_3s_unmount() {
    let mut store = Store::start();
    let alice = with_refused_draft(&mut store);
    end(alice, |alice| {
        let done = unmount_fails(&store, alice);
        let file = kept(&store)[0].display().to_string();
        done.says("not everything could be checked in").says(&format!("kept in {file}")).says("3s recover");
    });
    comes_back_with(&mut store);
}

#[test]
fn a_server_that_is_away_at_fusermount() {
    let mut store = Store::start();
    let alice = with_refused_draft(&mut store);
    end(alice, |alice| {
        Cmd::new("fusermount3").arg("-u").arg(alice.root()).ok();
        eventually(LONG, "the log says where it is", || {
            let log = alice.log();
            kept(&store).first().is_some_and(|file| log.contains(&format!("kept in {}", file.display())))
        });
    });
    comes_back_with(&mut store);
}

#[test]
fn a_server_that_is_away_at_sigterm_while_the_file_is_open() {
    let mut store = Store::start();
    let (alice, draft) = with_draft(&store);
    store.kill_server();
    end(alice, |alice| kill_process(alice.processes()[0], Signal::TERM).unwrap());
    draft.close();
    comes_back_with(&mut store);
}

#[test]
fn a_server_that_is_away_at_umount_lazily_and_a_second_signal() {
    let mut store = Store::start();
    let (alice, draft) = with_draft(&store);
    store.signal_server(Signal::STOP);
    let process = alice.processes()[0];
    end(alice, |alice| {
        kill_process(process, Signal::TERM).unwrap();
        eventually(LONG, "it is unmounted", || !is_mounted(alice.root()));
        kill_process(process, Signal::TERM).unwrap();
        eventually(Duration::from_secs(5), "nothing waits for the server", || alice.processes().is_empty());
    });
    draft.close();
    store.signal_server(Signal::CONT);
    store.kill_server();
    comes_back_with(&mut store);
}

#[test]
fn a_server_that_comes_back_while_the_mount_ends_gets_the_draft() {
    let mut store = Store::start();
    let alice = with_refused_draft(&mut store);
    end(alice, |alice| {
        Cmd::new("fusermount3").arg("-u").arg(alice.root()).ok();
        store.start_server();
    });
    assert!(kept(&store).is_empty());
    assert_eq!(store.mount("alice").read("d/f"), b"NEW content");
}

#[test]
fn a_session_that_was_replaced() {
    let store = Store::start();
    let (alice, draft) = with_draft(&store);
    let second = store.mount("alice2");
    eventually(LONG, "the first mount's session is over", || fs::read(alice.at("d/f")).is_err());
    draft.close();
    second.unmount();
    end(alice, |alice| drop(unmount_fails(&store, alice)));
    comes_back(&store);
}

#[test]
fn a_user_who_was_disabled() {
    let store = Store::start();
    let user = |what: &str| {
        store.tool("3s-server").args(["user", what]).arg(store.path("data")).arg("alice").ok();
    };
    let (alice, draft) = with_draft(&store);
    user("disable");
    eventually(LONG, "the mount is out", || fs::read(alice.at("d/f")).is_err());
    draft.close();
    end(alice, |alice| drop(unmount_fails(&store, alice)));
    user("enable");
    comes_back(&store);
}

#[test]
fn a_mount_that_was_killed_after_a_refused_close() {
    let mut store = Store::start();
    let alice = with_refused_draft(&mut store);
    eventually(LONG, "a spare is on the disk", || !kept(&store).is_empty());
    end(alice, |alice| {
        kill_process(alice.processes()[0], Signal::KILL).unwrap();
        Cmd::new("fusermount3").arg("-uz").arg(alice.root()).ok();
    });
    comes_back_with(&mut store);
}

#[test]
fn a_short_outage_leaves_nothing_behind() {
    let mut store = Store::start();
    let alice = with_refused_draft(&mut store);
    eventually(LONG, "a spare is on the disk", || !kept(&store).is_empty());
    store.tool("3s").args(["recover", "--discard"]).ok().says("a mount still tries to check it in");
    store.start_server();
    eventually(LONG, "the mount has saved it, and the spare is gone", || kept(&store).is_empty());
    assert_eq!(alice.read("d/f"), WHOLE);
    alice.unmount();
}

#[test]
fn what_is_discarded_is_gone() {
    let mut store = Store::start();
    let (alice, draft) = with_draft(&store);
    store.kill_server();
    end(alice, |alice| kill_process(alice.processes()[0], Signal::TERM).unwrap());
    draft.close();
    let other = store.identity("bob");
    let foreign = store.tool("3s").args(["recover", "--to"]).arg(store.fresh_dir("back-"));
    foreign.arg("--identity").arg(other).fails().says("the user's key does not open it");
    store.tool("3s").args(["recover", "--discard"]).ok().says("is discarded");
    assert!(kept(&store).is_empty());
    store.tool("3s").args(["recover", "--list"]).ok().says("nothing is kept");
}
