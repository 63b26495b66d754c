//! The server dies at every place that has a name (`3s-server failpoints`): whatever was confirmed is there, whatever was
//! removed is gone for good, the server comes up again and finishes by itself, and the audit log is whole and has what was
//! confirmed. One test for each place. What it wrote is still in the kernel then; `powercuts.rs` takes that away too.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use sss_integration::binaries::program;
use sss_integration::thief::{copy, merge, read_with_a_server};
use sss_integration::{Cmd, Mount, Store, eventually, noise};

/// Places outside of a running server, which have tests of their own.
const ELSEWHERE: [&str; 4] = ["rotate.", "backup.", "restore.", "user-remove."];

/// A test for each place, and the list of them.
macro_rules! deaths {
    ($($test:ident at $place:literal,)*) => {
        $(#[test]
        fn $test() {
            nothing_is_lost_and_nothing_revived($place);
        })*

        const TESTED: &[&str] = &[$($place),*];
    };
}

deaths! {
    a_pack_is_durable at "checkin.pack-durable",
    a_check_in_is_committed at "checkin.committed",
    a_removal_is_committed at "remove.committed",
    an_erasure_begins at "erase.begin",
    a_keyring_is_written at "keyring.written",
    a_keyring_is_renamed at "keyring.renamed",
    a_keyring_is_durable at "keyring.durable",
    an_erasure_is_staged at "erase.staged",
    an_erasure_is_committed at "erase.committed",
    an_erasure_is_done at "erase.done",
    versions_are_dropped at "versions.dropped",
    trash_is_deleted at "trash.deleted",
}

#[test]
fn every_place_has_a_test() {
    let listed = Cmd::new(program("3s-server")).arg("failpoints").ok().out();
    let here = |name: &&str| !ELSEWHERE.iter().any(|other| name.starts_with(other));
    let places: Vec<&str> = listed.lines().filter(here).collect();
    assert!(!places.is_empty(), "a build without failpoints cannot be tested");
    assert_eq!(
        places, TESTED,
        "a new place gets a line in `deaths!`, or its family a test of its own and a line in ELSEWHERE"
    );
}

/// How many rows a question about the metadata has for an answer.
fn count(data: &Path, table: &str) -> u64 {
    const ASK: &str = "import sqlite3, sys
db = sqlite3.connect(f'file:{sys.argv[1]}?mode=ro', uri=True)
print(db.execute(f'select count(*) from {sys.argv[2]}').fetchone()[0])";
    let asked = Cmd::new("python3").args(["-c", ASK]).arg(data.join("meta.db")).arg(table).ok();
    asked.out().trim().parse().unwrap()
}

fn await_nothing_left(data: &Path) {
    eventually(Duration::from_secs(20), "keys are erased and packs deleted", || {
        count(data, "erasures") == 0 && count(data, "trash") == 0
    });
}

struct Round {
    names: [&'static str; 4],
    old: Vec<u8>,
    new: Vec<u8>,
    kept: Vec<u8>,
}

impl Round {
    fn prepare(alice: &Mount) -> Round {
        let round = Round {
            names: ["doomed", "doomed-large", "kept", "changed"],
            old: noise(100_000, 1),
            new: noise(120_000, 2),
            kept: noise(200_000, 3),
        };
        alice.write("doomed", b"a small one");
        alice.write("doomed-large", &round.kept);
        alice.write("kept", &round.kept);
        alice.write("changed", &round.old);
        round
    }
}

/// Writes and says whether that was confirmed.
fn overwrite(path: &Path, content: &[u8]) -> bool {
    let write = || -> std::io::Result<()> {
        let mut file = fs::File::options().write(true).truncate(true).open(path)?;
        std::io::Write::write_all(&mut file, content)?;
        Ok(rustix::fs::fsync(&file)?)
    };
    write().is_ok()
}

/// What was confirmed and what the audit log says of it since it had `before` rows.
fn check_log(store: &Store, before: usize, place: &str, confirmed: &[(bool, &str, &str)]) {
    let rows = store.audit_log();
    for (confirmed, action, path) in confirmed {
        let of_it = |row: &&serde_json::Value| {
            row["action"] == *action && row["path"] == *path && row["outcome"] == "allowed"
        };
        let found = rows[before..].iter().filter(of_it).count();
        assert!(
            found > 0 || !confirmed,
            "{place}: {action} of {path} was confirmed and is not in the audit log"
        );
    }
}

fn is_gone(path: &Path) -> bool {
    match fs::read(path) {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(Errno::from_io_error(&error), Some(Errno::NOENT), "{}", path.display());
            true
        }
    }
}

fn nothing_is_lost_and_nothing_revived(place: &str) {
    let mut store = Store::with().config("[documents]\nkeep_superseded = \"1s\"").start();
    let (data, old, today) = (store.path("data"), store.path("old"), store.path("today"));
    let alice = store.mount("alice");
    let round = Round::prepare(&alice);
    alice.unmount();
    store.stop_server();
    copy(&data, &old);

    let logged = store.audit_log().len();
    store.fail_at(Some(place));
    store.start_server();
    let alice = store.mount_with("alice", &["-o", "timeout=2"]);
    let changed = overwrite(&alice.at("changed"), &round.new);
    let granted = alice.try_set("kept", "user.3s.grant.bob", "checkout,1h").is_ok();
    let removed = ["doomed", "doomed-large"].map(|name| fs::remove_file(alice.at(name)).is_ok());
    store.await_end(&format!("it never comes to {place}"));
    let acts = [
        (changed, "checkin", "@alice/changed"),
        (granted, "grant", "@alice/kept"),
        (removed[0], "delete", "@alice/doomed"),
        (removed[1], "delete", "@alice/doomed-large"),
    ];
    check_log(&store, logged, place, &acts);
    store.fail_at(None);
    store.start_server();
    check_log(&store, logged, place, &acts);
    drop(alice);

    let alice = store.mount("alice");
    assert!(alice.read("kept") == round.kept, "a document that was kept");
    let now = alice.read("changed");
    assert!(now == round.new || (!changed && now == round.old), "the last version that was confirmed");
    for (name, removed) in ["doomed", "doomed-large"].iter().zip(removed) {
        let path = alice.at(name);
        assert!(is_gone(&path) || !removed, "{name} was removed and is back");
        let _ = fs::remove_file(&path);
    }
    await_nothing_left(&data);
    alice.unmount();
    store.stop_server();

    // A thief puts everything back that was copied before, and has today's keyring.
    fs::rename(&data, &today).unwrap();
    copy(&today, &data);
    merge(&old, &data);
    let seen = read_with_a_server(&mut store, &round.names).unwrap();
    assert!(seen[0].is_err() && seen[1].is_err(), "what was removed opens");
    assert!(seen[2].as_ref() == Ok(&round.kept), "what was kept does not open");
    assert!(seen[3].as_ref() == Ok(&now), "what was changed does not open");
    fs::remove_dir_all(&data).unwrap();
    fs::rename(&today, &data).unwrap();
    store.start_server();
    let alice = store.mount("alice");
    alice.sh("rm -f kept changed");
    alice.unmount();
    await_nothing_left(&data);
}
