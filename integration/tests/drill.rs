//! Drills: a thief with copies of everything but the old keyring, and a server that is killed while it works.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use sss_integration::{Cmd, Store, eventually, noise};

/// Puts the rows of an old database that are missing in today's one back into it.
const MERGE: &str = r#"
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("pragma foreign_keys = off")
db.execute("attach ? as old", (sys.argv[2],))
for (table,) in db.execute("select name from old.sqlite_master where type = 'table' and name not like 'sqlite_%'").fetchall():
    db.execute(f'insert or ignore into main."{table}" select * from old."{table}"')
db.commit()
"#;

fn copy(from: &Path, to: &Path) {
    Cmd::new("cp").arg("-aT").arg(from).arg(to).ok();
}

/// Reads a document as alice, on whatever is in the store's data folder now. `Err` also when the server does not start.
fn read_with_a_server(store: &mut Store, names: &[&str]) -> Result<Vec<Result<Vec<u8>, Errno>>, String> {
    store.try_start_server()?;
    let (command, mountpoint) = store.mount_command("alice");
    let mounted = command.run();
    let found = mounted.success().then(|| {
        let read =
            |name: &&str| fs::read(mountpoint.join(name)).map_err(|e| Errno::from_io_error(&e).unwrap());
        let found = names.iter().map(read).collect();
        store.tool("3s").arg("unmount").arg(&mountpoint).ok();
        found
    });
    store.stop_server();
    found.ok_or_else(|| mounted.err())
}

#[test]
fn what_was_deleted_does_not_open_with_any_copy_but_the_old_keyring() {
    let mut store = Store::start();
    let (small, large, kept) = (b"a doomed small document".to_vec(), noise(200_000, 60), noise(150_000, 61));
    let names = ["small", "large", "kept"];
    let alice = store.mount("alice");
    for (name, content) in names.iter().zip([&small, &large, &kept]) {
        alice.write(name, content);
    }
    alice.unmount();
    store.stop_server();
    let (data, old, today) = (store.path("data"), store.path("old"), store.path("today"));
    copy(&data, &old);

    store.start_server();
    let alice = store.mount("alice");
    let keyring = fs::read(data.join("keyring")).unwrap();
    alice.sh("rm small large");
    eventually(Duration::from_secs(10), "the root key is replaced", || {
        fs::read(data.join("keyring")).is_ok_and(|now| now != keyring)
    });
    alice.unmount();
    store.stop_server();
    fs::rename(&data, &today).unwrap();

    // The drill's own proof: the copy is complete, and with the old keyring it opens.
    copy(&old, &data);
    let seen = read_with_a_server(&mut store, &names).unwrap();
    assert_eq!(seen[0].as_ref(), Ok(&small));
    assert!(seen[1].as_ref() == Ok(&large) && seen[2].as_ref() == Ok(&kept), "the copy from before opens");

    // The old copy with today's keyring.
    fs::remove_dir_all(&data).unwrap();
    copy(&old, &data);
    fs::copy(today.join("keyring"), data.join("keyring")).unwrap();
    if let Ok(seen) = read_with_a_server(&mut store, &names[..2]) {
        assert!(seen.iter().all(Result::is_err), "a deleted document opened with today's keyring");
    }

    // Today's folder, into which all that was deleted is put back: rows and packs.
    fs::remove_dir_all(&data).unwrap();
    copy(&today, &data);
    Cmd::new("cp").args(["-an"]).arg(old.join("packs/.")).arg(data.join("packs/")).ok();
    Cmd::new("python3").args(["-c", MERGE]).arg(data.join("meta.db")).arg(old.join("meta.db")).ok();
    let seen = read_with_a_server(&mut store, &names).unwrap();
    assert!(seen[..2].iter().all(Result::is_err), "the rows are back and the keys are not: {:?}", &seen[..2]);
    assert!(seen[2].as_ref() == Ok(&kept), "a document that was kept opens, or the drill proves nothing");
}

#[test]
fn what_close_confirmed_survives_a_server_that_is_killed_while_it_works() {
    let mut store = Store::start();
    let mut confirmed: Vec<(String, Vec<u8>)> = Vec::new();
    for round in 0..5u64 {
        let alice = store.mount_with("alice", &["-o", "timeout=2"]);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut done = Vec::new();
                for i in 0..1000u64 {
                    let name = format!("{round}-{i}");
                    // Some within a metadata row, some with a pack, some with several blocks.
                    let content = noise([100, 70_000, 300_000][(i % 3) as usize], round * 1000 + i + 1);
                    let write = || -> std::io::Result<()> {
                        let file = fs::File::create(alice.at(&name))?;
                        std::io::Write::write_all(&mut &file, &content)?;
                        Ok(rustix::fs::fsync(&file)?)
                    };
                    if write().is_err() {
                        break;
                    }
                    done.push((name, content));
                }
                done
            });
            // The kill falls at another moment of the work in each round.
            let first = alice.at(format!("{round}-{}", 3 + round * 2));
            eventually(Duration::from_secs(60), "the writer is at work", || first.exists());
            store.kill_server();
            confirmed.extend(writer.join().unwrap());
        });
        store.start_server();
        drop(alice);
        let alice = store.mount("alice");
        for (name, content) in &confirmed {
            assert!(alice.read(name) == *content, "{name} was confirmed and is not whole after a kill");
        }
        alice.unmount();
    }
    assert!(confirmed.len() >= 25, "only {} documents were written", confirmed.len());
}
