//! Drills: a thief with copies of everything but the old keyring, and a server that is killed while it works.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sss_integration::thief::{copy, merge, read_with_a_server};
use sss_integration::{Cmd, Store, eventually, needs_root, noise};

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
    merge(&old, &data);
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

fn drill(store: &Store) -> Cmd {
    store.tool("3s-server").arg("drill").arg(store.path("data"))
}

/// Every file of a folder with its bytes, except lock files and what any reader of the database makes beside it: a table
/// in shared memory and an empty log.
fn content_of(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let listed = Cmd::new("find").arg(folder).args(["-type", "f", "-not", "-name", "*lock"]).ok().out();
    let mut files: Vec<PathBuf> = listed.lines().map(PathBuf::from).collect();
    files.sort();
    let read = files.into_iter().map(|file| (file.clone(), fs::read(file).unwrap()));
    let beside = |file: &Path, bytes: &[u8]| {
        file.ends_with("meta.db-shm") || (file.ends_with("meta.db-wal") && bytes.is_empty())
    };
    read.filter(|(file, bytes)| !beside(file, bytes)).collect()
}

#[test]
fn the_drill_passes_on_a_store_in_use_and_leaves_it_as_it_was() {
    let mut store = Store::start();
    let alice = store.mount("alice");
    alice.sh("for i in 1 2 3 4 5; do echo $i > doc$i; done; rm doc2; echo again > doc3");
    alice.unmount();
    store.stop_server();
    // What a drill leaves that was killed goes away with the next one.
    let data = store.path("data");
    let left = data.join("drill-0123456789abcdef");
    fs::create_dir(&left).unwrap();
    fs::write(left.join("3s-drill.lock"), "").unwrap();
    fs::write(data.join("keyring.drill-0123456789abcdef"), "left").unwrap();
    // What only looks a little like it is not a drill's.
    fs::create_dir(data.join("drill-reports")).unwrap();
    fs::write(data.join("drill-reports/of-mine"), "kept").unwrap();
    let before = content_of(&data);
    let done = drill(&store).ok();
    assert!(done.out().contains("the drill passed"), "{}", done.out());
    assert!(!done.out().contains("FAILED"), "{}", done.out());
    let mut after = content_of(&data);
    assert!(!left.exists());
    after.push((data.join("keyring.drill-0123456789abcdef"), b"left".to_vec()));
    after.sort();
    let mut before = before;
    before.sort();
    assert!(before == after, "the drill changed something");
}

#[test]
fn the_drill_passes_beside_a_server_whose_users_write_and_delete() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.write("kept", b"kept");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let busy = scope.spawn(|| {
            let mut rounds = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                alice.write("busy", noise(70_000, rounds + 1));
                fs::remove_file(alice.at("busy")).unwrap();
                rounds += 1;
            }
            rounds
        });
        let done = drill(&store).run();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(done.success(), "{}{}", done.out(), done.err());
        assert!(busy.join().unwrap() > 0);
    });
    assert_eq!(alice.read("kept"), b"kept");
    assert_eq!(alice.sh("ls").out(), "kept");
    assert_eq!(
        store.tool("3s-server").args(["user", "list"]).arg(store.path("data")).ok().out().lines().count(),
        3
    );
}

#[test]
fn the_drill_fails_where_erasing_is_left_out() {
    let mut store = Store::start();
    store.stop_server();
    let done = drill(&store).env("SSS_SKIP", "erasing").fails();
    for name in ["small", "large"] {
        assert!(done.out().contains(&format!("FAILED `{name}`, which was removed")), "{}", done.out());
    }
    assert!(done.out().contains("ok     `kept`, which was kept, opens today"), "{}", done.out());
    assert!(done.err().contains("the drill failed"), "{}", done.err());
    assert_eq!(done.err().lines().count(), 2, "{}", done.err());
}

/// A file system in a file, mounted; both go with it.
struct Image {
    file: PathBuf,
    mountpoint: PathBuf,
}

impl Image {
    fn mount(store: &Store) -> Image {
        let image = Image { file: store.path("image"), mountpoint: store.fresh_dir("loop-") };
        fs::File::create(&image.file).unwrap().set_len(96 << 20).unwrap();
        Cmd::new("mkfs.ext4").args(["-q", "-F"]).arg(&image.file).ok();
        Cmd::new("mount").args(["-o", "loop"]).arg(&image.file).arg(&image.mountpoint).ok();
        image
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        Cmd::new("umount").arg(&self.mountpoint).run();
    }
}

#[test]
fn a_disk_image_searched_raw_has_no_erased_key_and_no_plaintext() {
    if !needs_root("a_disk_image_searched_raw_has_no_erased_key_and_no_plaintext") {
        return;
    }
    let mut store = Store::start();
    store.stop_server();
    let image = Image::mount(&store);
    let data = image.mountpoint.join("data");
    store.tool("3s-server").arg("init").arg(&data).ok();
    let drill = || store.tool("3s-server").arg("drill").arg(&data).arg("--search");
    let done = drill().arg(&image.file).ok();
    let whole = format!("no erased key and no plaintext in the 96 MiB of {}", image.file.display());
    assert!(done.out().contains(&whole), "{}", done.out());

    // Searching proves something: another image is told from this one, and what is there is found.
    let other = store.path("other-image");
    fs::write(&other, noise(1 << 20, 9)).unwrap();
    let refused = drill().arg(&other).fails();
    assert!(refused.err().contains("is not found in it"), "{}", refused.err());
    let done = drill().arg(&image.file).env("SSS_SKIP", "erasing").fails();
    assert!(done.out().contains("FAILED `small`"), "{}", done.out());
    let done = drill().arg(&image.file).env("SSS_SKIP", "overwriting").fails();
    let left = format!("FAILED 1 erased keys and 0 pieces of plaintext in {}", image.file.display());
    assert!(done.out().contains(&left), "the old keyring's bytes: {}", done.out());
}
