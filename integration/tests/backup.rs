//! The restore drill: backups of a store at work, what comes back from them and what does not.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use sss_integration::thief::{copy, merge};
use sss_integration::{Cmd, Done, Mount, Store, bash, eventually, noise};

/// A failure for people: an exit code, what happened, and a second line with what to do.
#[track_caller]
fn explained(done: Done) -> Done {
    assert!(!done.success(), "should have failed:\n{}", done.account());
    let lines = done.err().lines().filter(|line| !line.trim().is_empty()).count();
    assert!(lines >= 2 && !done.err().contains("panicked"), "two lines:\n{}", done.account());
    done
}

/// As UPKEEP.md has it, but for the length.
fn make_pair(store: &Store, name: &str, bits: u32) {
    let bits = format!("rsa_keygen_bits:{bits}");
    let (private, public) = (store.path(&format!("{name}.key")), store.path(&format!("{name}.pub")));
    Cmd::new("openssl").args(["genpkey", "-algorithm", "RSA", "-pkeyopt", &bits, "-out"]).arg(&private).ok();
    Cmd::new("openssl").args(["pkey", "-pubout", "-in"]).arg(private).arg("-out").arg(public).ok();
}

fn backup(store: &Store, out: &str) -> Cmd {
    let key = store.path("backup.pub");
    store.tool("3s-server").arg("backup").arg(store.path("data")).arg(store.path(out)).arg("--key").arg(key)
}

fn restore(store: &Store, from: &str, to: &str) -> Cmd {
    let key = store.path("backup.key");
    store.tool("3s-server").arg("restore").arg(store.path(from)).arg(store.path(to)).arg("--key").arg(key)
}

/// Puts another folder in the place of the store's data directory, which goes aside.
fn serve_instead(store: &mut Store, folder: &str, aside: &str) {
    fs::rename(store.path("data"), store.path(aside)).unwrap();
    fs::rename(store.path(folder), store.path("data")).unwrap();
    store.start_server();
}

fn read(mount: &Mount, name: &str) -> Result<Vec<u8>, Errno> {
    fs::read(mount.at(name)).map_err(|error| Errno::from_io_error(&error).unwrap())
}

/// Content that says itself whether it is whole: as many bytes as their value says, all of that value.
fn marked(value: u8) -> Vec<u8> {
    vec![value; 1 + usize::from(value) * 1500]
}

fn is_whole(content: &[u8]) -> bool {
    content.first().is_some_and(|value| content == marked(*value))
}

/// Creates, changes, renames and removes documents in `busy` until it is told to stop.
fn be_busy(mount: &Mount, stop: &AtomicBool) -> u32 {
    fs::create_dir(mount.at("busy")).unwrap();
    let mut round = 0u32;
    while !stop.load(Ordering::Relaxed) {
        let name = format!("busy/{}", round % 7);
        match round % 5 {
            0..=2 => mount.write(&name, marked((round % 200) as u8 + 1)),
            // What is not there cannot be renamed or removed, and that is fine.
            3 => drop(fs::rename(mount.at(&name), mount.at(format!("busy/r{}", round % 3)))),
            _ => drop(fs::remove_file(mount.at(&name))),
        }
        round += 1;
    }
    round
}

#[test]
fn a_store_at_work_is_backed_up_and_comes_back_without_what_was_deleted_since() {
    let mut store = Store::start();
    make_pair(&store, "backup", 3072);
    let log = store.path("deletion-log");
    store.stop_server();
    store.use_deletion_log(&log);
    store.start_server();
    let alice = store.mount("alice");
    let kept: Vec<(String, Vec<u8>)> = (0..24u64)
        .map(|n| (format!("kept-{n}"), noise([90, 70_000, 400_000][n as usize % 3], n + 1)))
        .collect();
    kept.iter().for_each(|(name, content)| alice.write(name, content));
    alice.sh("mkdir -p doomed/folder");
    let (small, large) = (b"a doomed small document".to_vec(), noise(200_000, 70));
    alice.write("doomed/folder/small", &small);
    alice.write("doomed/large", &large);

    // Three backups in the midst of it; the last is the one that counts.
    let stop = AtomicBool::new(false);
    let rounds = std::thread::scope(|scope| {
        let writer = scope.spawn(|| be_busy(&alice, &stop));
        eventually(Duration::from_secs(60), "the writer is at work", || alice.at("busy/r0").exists());
        for out in ["one", "two", "three"] {
            backup(&store, out).ok().says("the store as of");
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    assert!(rounds > 20, "only {rounds} changes were made beside the backups");
    alice.sh("rm -r doomed");
    alice.write("late", "checked in after the backup");
    let deleted = || fs::read_to_string(&log).unwrap().lines().count();
    let before = deleted();
    alice.sh("rm late");
    eventually(Duration::from_secs(10), "the log has it all", || deleted() > before);
    alice.unmount();
    store.stop_server();
    assert!(!store.path("data/backup.tmp").exists());

    // Without the log all is back: the drill's own proof.
    let told = restore(&store, "three", "back").arg("--no-deletions").ok();
    assert!(told.out().contains("is back") && told.out().contains("revoked"), "{}", told.account());
    let told = restore(&store, "three", "new").arg("--deletions").arg(&log).ok();
    assert!(told.out().contains("deleted again") && told.out().contains("revoked"), "{}", told.account());
    restore(&store, "one", "first").arg("--deletions").arg(store.path("data")).ok();

    // The same log goes on with the restored store.
    serve_instead(&mut store, "new", "old");
    let alice = store.mount("alice");
    for (name, content) in &kept {
        assert!(alice.read(name) == *content, "{name} was there throughout");
    }
    for entry in fs::read_dir(alice.at("busy")).unwrap() {
        let name = format!("busy/{}", entry.unwrap().file_name().to_str().unwrap());
        let content = alice.read(&name);
        let version = alice.get(&name, "user.3s.version").unwrap();
        let start = &content[..content.len().min(8)];
        // Created and not yet closed for the first time, at the moment of the backup: empty, and of no version.
        let unborn = version == "0" && content.is_empty();
        assert!(
            unborn || is_whole(&content),
            "{name}, version {version}: {} bytes, beginning {start:?}",
            content.len()
        );
    }
    for gone in ["doomed", "doomed/large", "doomed/folder/small", "late"] {
        assert_eq!(read(&alice, gone).unwrap_err(), Errno::NOENT, "{gone}");
    }
    alice.write("next", "a store like any other");
    let before = deleted();
    alice.sh("rm kept-23");
    eventually(Duration::from_secs(10), "the log goes on", || deleted() > before);
    alice.unmount();
    store.stop_server();

    // Rows and packs put back by force find no keys.
    copy(&store.path("data"), &store.path("forced"));
    merge(&store.path("back"), &store.path("forced"));
    serve_instead(&mut store, "forced", "new");
    let alice = store.mount("alice");
    for doomed in ["doomed/large", "doomed/folder/small"] {
        assert!(alice.at(doomed).exists(), "its row is back");
        let found = read(&alice, doomed);
        assert!(found.is_err(), "{doomed} opened: {} bytes", found.unwrap().len());
    }
    assert!(alice.read("kept-1") == kept[1].1, "a document that was kept opens, or this proves nothing");
    alice.unmount();
    store.stop_server();

    // And in the store without the log it opens, which proves that the replay did it. Its log is an older one by now.
    explained(server_with_data(&store, "back").run()).says("the deletion log goes on to entry");
    store.use_deletion_log(&store.path("another-log"));
    serve_instead(&mut store, "back", "forced");
    let alice = store.mount("alice");
    assert!(alice.read("doomed/large") == large && alice.read("doomed/folder/small") == small);
    alice.unmount();
    store.stop_server();

    // The first backup, by the old data directory's log.
    fs::remove_file(store.path("another-log")).unwrap();
    serve_instead(&mut store, "first", "back");
    let alice = store.mount("alice");
    assert!(kept.iter().all(|(name, content)| alice.read(name) == *content));
    assert_eq!(read(&alice, "doomed/large").unwrap_err(), Errno::NOENT);
}

fn server_with_data(store: &Store, data: &str) -> Cmd {
    let mut arguments = store.server_arguments();
    arguments[1] = store.path(data).display().to_string();
    store.tool("3s-server").args(arguments).within(Duration::from_secs(30))
}

#[test]
fn a_lost_keyring_medium_comes_back_with_the_backup_and_a_plain_copy_without_it_does_not_start() {
    let mut store = Store::start();
    make_pair(&store, "backup", 3072);
    store.stop_server();
    let stick = store.path("stick");
    fs::create_dir(&stick).unwrap();
    fs::rename(store.path("data/keyring"), stick.join("keyring")).unwrap();
    store.use_keyring(&stick.join("keyring"));
    store.start_server();
    let alice = store.mount("alice");
    alice.write("f", "content");
    backup(&store, "b").arg("--keyring").arg(stick.join("keyring")).ok();
    explained(backup(&store, "none").run()).says("keyring");
    assert!(!store.path("none").exists());
    alice.unmount();
    store.stop_server();
    fs::remove_dir_all(&stick).unwrap();

    // A copy of the data directory, as a file backup has it.
    Cmd::new("cp").arg("-a").arg(store.path("data")).arg(store.path("copied")).ok();
    let tree = || {
        bash("cd \"$D\" && find . -type f ! -name lock | sort | xargs sha256sum")
            .env("D", store.path("copied"))
            .ok()
            .out()
    };
    let before = tree();
    let arguments: Vec<String> = store.server_arguments();
    let plain = arguments.iter().take_while(|argument| *argument != "--keyring").cloned().map(|argument| {
        if argument == store.path("data").display().to_string() {
            store.path("copied").display().to_string()
        } else {
            argument
        }
    });
    let refused = store.tool("3s-server").args(plain).within(Duration::from_secs(30)).run();
    explained(refused).says("the keyring is missing");
    assert_eq!(tree(), before, "nothing was written");

    let other = store.path("stick2");
    fs::create_dir(&other).unwrap();
    restore(&store, "b", "new").arg("--no-deletions").arg("--keyring").arg(other.join("keyring")).ok();
    assert!(!store.path("new/keyring").exists());
    store.use_keyring(&other.join("keyring"));
    serve_instead(&mut store, "new", "old");
    assert_eq!(store.mount("alice").read("f"), b"content");
}

#[test]
fn mistakes_are_told_and_leave_nothing_behind() {
    let mut store = Store::start();
    make_pair(&store, "backup", 3072);
    make_pair(&store, "other", 3072);
    make_pair(&store, "short", 2048);
    let alice = store.mount("alice");
    (0..8).for_each(|n| alice.write(&format!("f{n}"), noise(1 << 20, n + 1)));
    let bare = |out: &str| store.tool("3s-server").arg("backup").arg(store.path("data")).arg(store.path(out));
    explained(bare("b").run()).says("openssl genpkey");
    explained(bare("b").arg("--key").arg(store.path("short.pub")).run()).says("2048 bits");
    explained(bare("b").arg("--key").arg(store.path("backup.key")).run()).says("this is a private key");
    explained(bare("b").arg("--key").arg(store.path("data/server.pub")).run()).says("the server's own");
    explained(backup(&store, "nowhere/b").run()).says("nowhere");
    // A disk that is full, as a limit on what one file may have: larger than the database, smaller than the backup.
    let limited = bash("trap '' XFSZ; ulimit -f 6000; \"$S\" backup \"$D\" \"$O\" --key \"$K\"")
        .env("S", sss_integration::binaries::program("3s-server"))
        .env("D", store.path("data"))
        .env("O", store.path("b"))
        .env("K", store.path("backup.pub"))
        .run();
    explained(limited).says("free room");
    assert!(!store.path("b").exists() && !store.path("b.partial").exists());
    assert!(!store.path("data/backup.tmp").exists());

    fs::copy(store.path("backup.pub"), store.path("data/backup.pub")).unwrap();
    bare("b").ok();
    explained(bare("b").run()).says("already there");
    alice.unmount();

    let none = |to: &str| restore(&store, "b", to).arg("--no-deletions");
    explained(restore(&store, "b", "new").run()).says("--no-deletions");
    explained(none("data").run()).says("already there");
    let wrong = |key: &str| {
        let tool = store.tool("3s-server").arg("restore").arg(store.path("b")).arg(store.path("new"));
        explained(tool.arg("--no-deletions").arg("--key").arg(store.path(key)).run())
    };
    wrong("other.key").says("does not open with this private key");
    wrong("backup.pub").says("this is a public key");
    wrong("missing.key").says("missing.key");
    let bytes = fs::read(store.path("b")).unwrap();
    fs::write(store.path("b"), &bytes[..bytes.len() / 2]).unwrap();
    explained(none("new").run()).says("block").says("cut");
    fs::write(store.path("b"), [&bytes[..bytes.len() / 2], b"?", &bytes[bytes.len() / 2 + 1..]].concat())
        .unwrap();
    explained(none("new").run()).says("does not verify");
    fs::write(store.path("b"), "not a backup").unwrap();
    explained(none("new").run()).says("not a backup");
    fs::write(store.path("b"), &bytes).unwrap();
    explained(restore(&store, "b", "new").arg("--deletions").arg(store.path("b")).run())
        .says("no deletion log");
    for left in ["new", "new.restoring"] {
        assert!(!store.path(left).exists(), "{left} was left");
    }

    // A log of another store, at the server's start.
    store.tool("3s-server").arg("init").arg(store.path("second")).ok();
    store.stop_server();
    let log = store.path("log");
    store.use_deletion_log(&log);
    store.start_server();
    store.stop_server();
    explained(server_with_data(&store, "second").run()).says("another store");
    assert!(Path::new(&log).exists());
}
