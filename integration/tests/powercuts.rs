//! A power cut that takes the page cache: what was confirmed was durable before it was confirmed.
//!
//! The server's data folder is a disk that loses what was not synced ([`sss_integration::disk`]). It is frozen at the moment the
//! answer came, and another server starts on what is left. To show that a missing fsync would be noticed, each
//! kind of fsync is left out once; then the same question must have another answer.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use sss_common::durable::{self, Access};
use sss_integration::disk::{Cut, Disk, Frozen};
use sss_integration::thief::{copy, merge, read_with_a_server};
use sss_integration::{Store, noise};

/// More than the server writes to a pack in one piece.
const LARGE: usize = 7 << 20;

/// A store whose data folder is on a disk.
struct Rig {
    store: Store,
    disk: Option<Disk>,
}

impl Rig {
    fn start() -> Rig {
        // A removal is confirmed on a mount when it is committed; here the keys are erased by then.
        let mut store = Store::with().config("[documents]\nerase_delay = \"0s\"").start();
        store.stop_server();
        let disk = Disk::over(&store.path("data")).unwrap();
        store.start_server();
        Rig { store, disk: Some(disk) }
    }

    fn disk(&self) -> &Disk {
        self.disk.as_ref().expect("it is plugged in until the cut")
    }

    /// The power goes: the server ends, the disk keeps what it had at the moment `frozen`.
    fn cut(&mut self) {
        self.store.kill_server();
        self.disk.take().expect("there is one cut").unplug().unwrap();
    }

    /// Whether a server on what `frozen` has left knows these documents.
    fn keeps(&mut self, frozen: &Frozen, cut: Cut, documents: &[(&str, &[u8])]) -> Result<(), String> {
        self.boot(frozen, cut, None);
        let names: Vec<_> = documents.iter().map(|(name, _)| *name).collect();
        let found = read_with_a_server(&mut self.store, &names)?;
        for ((name, content), found) in documents.iter().zip(found) {
            let found = found.map_err(|errno| format!("{cut:?}: {name}: {errno}"))?;
            if found != *content {
                return Err(format!("{cut:?}: {name} holds something else"));
            }
        }
        Ok(())
    }

    /// Puts what is left into the data folder, and on top of it what a thief copied before.
    fn boot(&self, frozen: &Frozen, cut: Cut, stolen: Option<&Path>) {
        let data = self.store.path("data");
        let _ = fs::remove_dir_all(&data);
        frozen.image(cut, &data).unwrap();
        if let Some(stolen) = stolen {
            merge(stolen, &data);
        }
    }
}

const CUTS: [Cut; 2] = [Cut::OnlySynced, Cut::NamesAhead];

/// What a power cut destroys when an fsync is left out.
#[track_caller]
fn destroys(outcome: Result<(), String>, what: &str) {
    let why = outcome.expect_err("nobody would notice that the fsync is missing");
    assert!(why.contains(what), "{why}");
}

/// No server comes up.
const NO_SERVER: &str = "it ended";

/// Saves three documents while the fsyncs that `ignored` names do nothing, and cuts the power.
fn saved_and_kept(ignored: fn(&str) -> bool) -> Result<(), String> {
    let mut rig = Rig::start();
    let alice = rig.store.mount("alice");
    rig.disk().ignore_syncs_of(ignored);
    let (medium, large) = (noise(300_000, 1), noise(LARGE, 2));
    alice.write("small", "a few bytes");
    alice.write("medium", &medium);
    alice.write("large", &large);
    alice.write("medium", &large[..400_000]);
    let frozen = rig.disk().freeze();
    rig.cut();
    drop(alice);
    let documents: [(&str, &[u8]); 3] =
        [("small", b"a few bytes"), ("medium", &large[..400_000]), ("large", &large)];
    CUTS.iter().try_for_each(|cut| rig.keeps(&frozen, *cut, &documents))
}

#[test]
fn what_was_saved_is_kept() {
    saved_and_kept(|_| false).unwrap();
}

#[test]
fn a_pack_that_is_not_synced_would_be_noticed() {
    destroys(saved_and_kept(|path| path.starts_with("/packs/") && !path.ends_with('/')), "medium: ");
}

#[test]
fn a_packs_folder_that_is_not_synced_would_be_noticed() {
    destroys(saved_and_kept(|path| path.starts_with("/packs/") && path.ends_with('/')), "medium: ");
}

#[test]
fn a_database_that_is_not_synced_would_be_noticed() {
    destroys(saved_and_kept(|path| path.starts_with("/meta.db")), "small: ");
}

/// Removes a document while the fsyncs that `ignored` names do nothing, and cuts the power. A thief puts back what
/// was copied before; what was removed stays closed and the rest is there.
fn removed_and_gone(ignored: fn(&str) -> bool) -> Result<(), String> {
    let mut rig = Rig::start();
    let alice = rig.store.mount("alice");
    let (doomed, kept) = (noise(200_000, 3), noise(250_000, 4));
    alice.write("doomed", &doomed);
    alice.write("kept", &kept);
    let stolen = rig.store.path("stolen");
    copy(&rig.store.path("data"), &stolen);
    rig.disk().ignore_syncs_of(ignored);
    alice.sh("rm doomed");
    let frozen = rig.disk().freeze();
    rig.cut();
    drop(alice);
    for cut in CUTS {
        rig.keeps(&frozen, cut, &[("kept", &kept)])?;
        rig.boot(&frozen, cut, Some(&stolen));
        let found = read_with_a_server(&mut rig.store, &["doomed", "kept"])?;
        if found[0].is_ok() {
            return Err(format!("{cut:?}: what was removed opens again"));
        }
        if found[1].as_ref() != Ok(&kept) {
            return Err(format!("{cut:?}: what was kept does not open"));
        }
    }
    Ok(())
}

#[test]
fn what_was_removed_stays_gone() {
    removed_and_gone(|_| false).unwrap();
}

/// A file in the data folder that is not the database: the keyring, under whatever name it is written.
fn is_keyring(path: &str) -> bool {
    !path[1..].contains('/') && path.len() > 1 && !path.starts_with("/meta.db")
}

#[test]
fn a_keyring_that_is_not_synced_before_it_takes_its_place_would_be_noticed() {
    destroys(removed_and_gone(is_keyring), NO_SERVER);
}

#[test]
fn a_keyrings_folder_that_is_not_synced_would_be_noticed() {
    destroys(removed_and_gone(|path| path == "/"), NO_SERVER);
}

#[test]
fn an_answer_has_its_fsyncs_before_it() {
    let rig = Rig::start();
    let alice = rig.store.mount("alice");
    let synced_by = |action: &dyn Fn()| {
        rig.disk().take_syncs();
        action();
        rig.disk().take_syncs()
    };
    let database = |path: &&String| path.starts_with("/meta.db");

    let small = synced_by(&|| alice.write("small", "a few bytes"));
    assert!(small.iter().any(|path| database(&path)), "{small:?}");
    assert!(!small.iter().any(|path| path.starts_with("/packs/")), "a small one has no pack: {small:?}");

    let content = noise(300_000, 5);
    let saved = synced_by(&|| alice.write("saved", &content));
    let last = |which: &dyn Fn(&String) -> bool| {
        saved.iter().rposition(which).unwrap_or_else(|| panic!("{saved:?}"))
    };
    let pack = last(&|path| path.starts_with("/packs/") && !path.ends_with('/'));
    let folder = last(&|path| path.starts_with("/packs/") && path.ends_with('/'));
    let committed = last(&|path| path.starts_with("/meta.db"));
    assert!(pack < folder && folder < committed, "the pack, its name, then its row: {saved:?}");

    let removed = synced_by(&|| drop(alice.sh("rm saved")));
    let keyring = removed.iter().filter(|path| is_keyring(path)).count();
    assert!(keyring >= 2, "the keyring is replaced twice: {removed:?}");
    assert!(removed.iter().filter(|path| *path == "/").count() >= 2, "and so is its name: {removed:?}");
    drop(alice);
}

/// Writes files durably while the fsyncs that `ignored` names do nothing, cuts the power, and says what the
/// folder holds then.
fn durable_files(ignored: fn(&str) -> bool, cut: Cut) -> Vec<(String, Vec<u8>)> {
    let scratch = tempfile::tempdir().unwrap();
    let (place, left) = (scratch.path().join("disk"), scratch.path().join("left"));
    fs::create_dir(&place).unwrap();
    fs::write(place.join("replaced"), "old").unwrap();
    let disk = Disk::over(&place).unwrap();
    disk.ignore_syncs_of(ignored);
    durable::replace(&place.join("replaced"), b"new", Access::Secret).unwrap();
    durable::create(&place.join("created"), b"new", Access::Public).unwrap();
    durable::InPlace::create(&place.join("in place"), b"new", Access::Secret).unwrap();
    disk.freeze().image(cut, &left).unwrap();
    disk.unplug().unwrap();
    let mut found: Vec<_> = fs::read_dir(&left)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    found.sort();
    found
}

#[test]
fn a_durable_file_needs_the_fsync_of_its_content_and_of_its_folder() {
    let named = |name: &str, content: &str| (name.to_string(), content.as_bytes().to_vec());
    let whole = [named("created", "new"), named("in place", "new"), named("replaced", "new")];
    for cut in CUTS {
        assert_eq!(durable_files(|_| false, cut), whole, "{cut:?}");
        let contents_lost = [named("created", ""), named("in place", ""), named("replaced", "")];
        assert_eq!(durable_files(|path| !path.ends_with('/'), cut), contents_lost, "{cut:?}");
    }
    assert_eq!(durable_files(|path| path.ends_with('/'), Cut::OnlySynced), [named("replaced", "old")]);
}
