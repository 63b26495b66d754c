//! A store's folder, ready to be copied: making RSA keys takes seconds, copying them does not.
//!
//! It is kept beside the binaries under a name that changes with them, and made anew when they change.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::binaries::{PROGRAMS, folder, program};
use crate::command::Cmd;

/// Identities that every store has: folder under `ids/`, user, node. `alice2` is alice on a second machine.
pub const USERS: [(&str, &str, &str); 4] = [
    ("alice", "alice", "client1"),
    ("bob", "bob", "client2"),
    ("carol", "carol", "client3"),
    ("alice2", "alice", "client4"),
];

/// Copies the fixture to `dir`, which becomes a folder with `ca/`, `tls/`, `ids/` and `data/`.
pub fn copy_to(dir: &Path) {
    let shelf = folder().join("3s-fixture");
    fs::create_dir_all(&shelf).unwrap_or_else(|e| panic!("{}: {e}", shelf.display()));
    let lock = File::create(shelf.join("lock")).expect("the fixture's lock file can be made");
    flock(&lock, FlockOperation::LockExclusive).expect("a lock file can be locked");
    let made = shelf.join(fingerprint());
    if !made.is_dir() {
        sweep(&shelf);
        make(&shelf.join("unfinished"));
        fs::rename(shelf.join("unfinished"), &made).expect("the fixture can be renamed");
    }
    Cmd::new("cp").arg("-aT").arg(&made).arg(dir).ok();
}

/// Changes when one of the programs does.
fn fingerprint() -> String {
    let mut hasher = DefaultHasher::new();
    include_str!("fixture.rs").hash(&mut hasher);
    for name in PROGRAMS {
        let meta = fs::metadata(program(name)).expect("the programs are there");
        (meta.size(), meta.mtime(), meta.mtime_nsec()).hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

/// Removes fixtures of other binaries and an unfinished one.
fn sweep(shelf: &Path) {
    for entry in fs::read_dir(shelf).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn make(dir: &Path) {
    let at = |name: &str| -> PathBuf { dir.join(name) };
    fs::create_dir_all(at("ids")).expect("the fixture's folder can be made");
    let ca = || Cmd::new(program("3s-ca"));
    let server = || Cmd::new(program("3s-server"));
    ca().arg("init").arg(at("ca")).ok();
    ca().arg("issue-server")
        .arg(at("ca"))
        .args(["--host", "127.0.0.1", "--host", "localhost", "-o"])
        .arg(at("tls"))
        .ok();
    server().arg("init").arg(at("data")).ok();
    for (id, uid, node) in USERS {
        let dir = at("ids").join(id);
        if id != uid {
            // A user's second machine gets the user's key and a certificate of its own.
            let first = at("ids").join(uid);
            Cmd::new("mkdir").args(["-m", "700"]).arg(&dir).ok();
            Cmd::new("cp").arg("-a").arg(first.join("user.key")).arg(first.join("user.pub")).arg(&dir).ok();
        }
        ca().arg("enroll").arg(at("ca")).args(["--uid", uid, "--node", node, "-o"]).arg(&dir).ok();
        // The server's public key, carried to the client by hand: `3s verify` trusts this one.
        Cmd::new("cp").arg(at("data").join("server.pub")).arg(&dir).ok();
        if id == uid {
            server().args(["user", "add"]).arg(at("data")).arg(uid).arg(dir.join("user.pub")).ok();
        }
    }
}
