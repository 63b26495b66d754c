//! Scrubbing a store, with a server on it and without.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use sss_integration::{Cmd, Store, noise};

fn scrub(store: &Store) -> Cmd {
    store.tool("3s-server").arg("scrub").arg(store.path("data"))
}

/// The packs that have files, largest first.
fn packs(store: &Store) -> Vec<PathBuf> {
    let folders = fs::read_dir(store.path("data/packs")).unwrap();
    let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    let mut packs: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    packs.sort_by_key(|pack| std::cmp::Reverse(fs::metadata(pack).unwrap().len()));
    packs
}

fn flip(file: &Path, at: u64) {
    let open = fs::File::options().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    open.read_exact_at(&mut byte, at).unwrap();
    open.write_all_at(&[byte[0] ^ 0x40], at).unwrap();
}

#[test]
fn a_clean_store_is_found_clean_and_left_as_it_is() {
    let mut store = Store::start();
    let alice = store.mount("alice");
    alice.write("small", "a small document");
    alice.write("large", noise(3 << 20, 1));
    alice.sh("touch signed; setfattr -n user.3s.flag -v integrity signed; mkdir d; ln -s nowhere d/link");
    alice.write("signed", noise(300_000, 2));
    // A hole, an end inside a block, a later version, and one document's packs in another.
    alice.sh("truncate -s 2M signed; truncate -s 100001 small; echo more >> small; cp large d/copy; mv signed d/copy");
    let clean = |store: &Store| {
        let done = scrub(store).ok();
        let out = done.out();
        assert!(out.starts_with("scrubbed ") && out.lines().count() == 1, "{}", done.account());
        assert!(out.contains(": no damage"), "{}", done.account());
        assert_eq!(done.err(), "", "quiet in a pipe");
        out
    };
    clean(&store);
    alice.unmount();
    clean(&store);
    store.stop_server();
    let keyring = fs::read(store.path("data/keyring")).unwrap();
    let out = clean(&store);
    assert!(out.starts_with("scrubbed 4 documents, "), "small, large, d/copy and d/link: {out}");
    assert_eq!(fs::read(store.path("data/keyring")).unwrap(), keyring);

    // With the keyring elsewhere, and slowly.
    let elsewhere = store.path("elsewhere");
    fs::rename(store.path("data/keyring"), &elsewhere).unwrap();
    let refused = scrub(&store).fails();
    assert_eq!((refused.code(), refused.out().as_str()), (Some(1), ""));
    assert_eq!(refused.err().lines().count(), 2, "{}", refused.account());
    scrub(&store).arg("--keyring").arg(&elsewhere).args(["--rate", "1GiB"]).ok().says("no damage");
}

#[test]
fn damage_is_reported_by_path_and_ends_with_1() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.sh("mkdir plans");
    alice.write("plans/good.pdf", noise(200_000, 3));
    alice.write("plans/bad\nname.pdf", noise(400_000, 4));
    let packs = packs(&store);
    let [bad, _] = &packs[..] else { panic!("two packs: {packs:?}") };
    flip(bad, 48 + 65_552 + 7);
    let id = bad.file_name().unwrap().to_str().unwrap();
    let done = scrub(&store).fails();
    assert_eq!(done.code(), Some(1));
    let out = done.out();
    let [line, summary] = out.lines().collect::<Vec<_>>()[..] else { panic!("{}", done.account()) };
    assert_eq!(
        line,
        format!("damaged: @alice/plans/bad\\nname.pdf, version 1: block 1 of pack {id} does not verify")
    );
    assert!(summary.starts_with("scrubbed 2 documents, 2 versions, 2 packs, "), "{summary}");
    assert!(summary.ends_with(": 1 damaged version of 1 document"), "{summary}");
    assert_eq!(done.err().lines().count(), 2, "what, and what to do: {}", done.account());

    // It found what a reader without a cache finds, and reading the other goes on.
    alice.unmount();
    let alice = store.mount("alice");
    assert!(fs::read(alice.at("plans/bad\nname.pdf")).is_err());
    assert_eq!(alice.read("plans/good.pdf"), noise(200_000, 3));
    flip(bad, 48 + 65_552 + 7);
    scrub(&store).ok().says("no damage");
    fs::rename(bad, store.path("away")).unwrap();
    scrub(&store).fails().says(&format!("pack {id} is missing"));
}

#[test]
fn a_store_that_is_not_there_says_what_to_do() {
    let done = Store::start().tool("3s-server").args(["scrub", "/nowhere"]).fails();
    assert_eq!(done.err().lines().count(), 2, "{}", done.account());
}

#[test]
fn documents_that_come_and_go_meanwhile_are_no_damage() {
    let store = Store::with().config("[documents]\nkeep_superseded = \"1s\"\n").start();
    let alice = store.mount("alice");
    alice.write("large", noise(5 << 20, 5));
    for number in 0..50u64 {
        alice.write(&format!("small-{number}"), noise(100, number + 10));
    }
    let stop = AtomicBool::new(false);
    let rounds = std::thread::scope(|scope| {
        let busy = scope.spawn(|| {
            let mut rounds = 0u64;
            while !stop.load(Ordering::Relaxed) {
                for (number, size) in [100, 70_000, 300_000].into_iter().enumerate() {
                    alice.write(&format!("passing-{number}"), noise(size, rounds + 1));
                }
                alice.write("small-7", noise(200, rounds + 1));
                for number in 0..3 {
                    fs::remove_file(alice.at(format!("passing-{number}"))).unwrap();
                }
                rounds += 1;
            }
            rounds
        });
        // Ends the other thread, also when a scrub finds something.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let end = Stop(&stop);
        for _ in 0..8 {
            let done = scrub(&store).ok();
            assert!(done.out().contains(": no damage"), "{}", done.account());
        }
        // Slowly, so that many erasures fall into one scrub: at least four seconds for the large document alone.
        let done = scrub(&store).args(["--rate", "1MiB"]).ok();
        assert!(done.out().contains(": no damage"), "{}", done.account());
        drop(end);
        busy.join().unwrap()
    });
    assert!(rounds >= 5, "the store was busy: {rounds} rounds");
}
