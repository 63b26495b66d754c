//! Versions: what a reader sees, what a writer meets, what an editor keeps.

#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use rustix::io::Errno;
use sss_integration::{Mount, Store, eventually, noise};

/// A store with `f` by alice that bob may read and write.
fn shared(content: &[u8]) -> (Store, Mount, Mount) {
    let store = Store::start();
    let (alice, bob) = (store.mount("alice"), store.mount("bob"));
    alice.write("f", content);
    alice.grant("f", "bob", "both,1h");
    (store, alice, bob)
}

fn conflicts(mount: &Mount, dir: &str) -> Vec<String> {
    let names =
        fs::read_dir(mount.at(dir)).unwrap().flatten().map(|e| e.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains(" (conflict ")).collect()
}

fn version(mount: &Mount, name: &str) -> u64 {
    mount.get(name, "user.3s.version").unwrap().parse().unwrap()
}

#[test]
fn an_open_after_close_sees_the_new_version() {
    let (_store, alice, bob) = shared(b"0");
    for round in 1..=20u32 {
        let text = format!("round {round}");
        alice.write("f", &text);
        assert_eq!(bob.read("@alice/f"), text.as_bytes());
        bob.write("@alice/f", format!("{text}, bob"));
        assert_eq!(alice.read("f"), format!("{text}, bob").as_bytes());
    }
}

#[test]
fn sizes_and_new_names_are_seen_soon() {
    let (_store, alice, bob) = shared(b"12345");
    bob.sh("test $(stat -c %s @alice/f) = 5");
    alice.write("f", "123456789");
    eventually(Duration::from_secs(5), "bob's stat shows the new size", || {
        fs::metadata(bob.at("@alice/f")).unwrap().len() == 9
    });
}

#[test]
fn a_reader_sees_its_version_to_the_end() {
    let old = noise(3_000_000, 6);
    let (_store, alice, bob) = shared(&old);
    let reader = File::open(bob.at("@alice/f")).unwrap();
    let mut seen = vec![0; old.len()];
    reader.read_exact_at(&mut seen[..100_000], 0).unwrap();
    for seed in 7..10 {
        alice.write("f", noise(2_000_000, seed));
    }
    reader.read_exact_at(&mut seen[100_000..], 100_000).unwrap();
    assert!(seen == old, "the version that was opened, whole");
    assert!(bob.read("@alice/f") == noise(2_000_000, 9), "a new open sees the new version");
    // What the kernel has cached of the old one must not show through either way.
    reader.read_exact_at(&mut seen[..], 0).unwrap();
    assert!(seen == old, "still the version that was opened");
}

#[test]
fn versions_count_up_and_only_by_check_ins() {
    let (_store, alice, bob) = shared(b"x");
    let first = version(&alice, "f");
    alice.sh("cat f; chmod 600 f; setfattr -n user.note -v x f");
    assert_eq!(version(&alice, "f"), first);
    bob.write("@alice/f", "y");
    assert_eq!(version(&alice, "f"), first + 1);
    assert_eq!(alice.get("f", "user.3s.author").as_deref(), Ok("bob"));
}

#[test]
fn who_checks_in_second_gets_estale_and_a_copy_beside_it() {
    let (_store, alice, bob) = shared(b"base");
    // Alice owns the folder, so her copy stands beside the document.
    second_comes_too_late(&alice, "f", "HERS", &bob.at("@alice/f"), "bob was first");
    assert_eq!(alice.read("f"), b"bob was first", "the server's version stays");
    eventually(Duration::from_secs(10), "the draft is kept", || conflicts(&alice, ".").len() == 1);
    let copy = conflicts(&alice, ".").remove(0);
    assert!(copy.starts_with("f (conflict alice client1 ") && copy.ends_with(')'), "{copy}");
    assert_eq!(alice.read(&copy), b"HERS");
}

#[test]
fn a_conflict_in_a_folder_that_may_not_be_written_goes_to_the_own_home() {
    let store = Store::start();
    let (alice, bob) = (store.mount("alice"), store.mount("bob"));
    alice.write("notes.txt", "base");
    alice.grant("notes.txt", "bob", "both,1h");
    second_comes_too_late(&bob, "@alice/notes.txt", "his!", &alice.at("notes.txt"), "alice was first");
    eventually(Duration::from_secs(10), "the draft is kept", || conflicts(&bob, ".").len() == 1);
    let copy = conflicts(&bob, ".").remove(0);
    assert!(copy.starts_with("notes (conflict bob client2 ") && copy.ends_with(").txt"), "{copy}");
    assert_eq!(bob.read(&copy), b"his!");
    assert_eq!(alice.read("notes.txt"), b"alice was first");
    assert!(conflicts(&alice, ".").is_empty());
}

#[test]
fn close_itself_reports_the_conflict() {
    let (_store, alice, bob) = shared(b"base\n");
    // The shell's close of descriptor 3 is where dd, cp and friends learn of it.
    let go = alice.root().parent().unwrap().join("go");
    let script = format!(
        "import os, time\nfd = os.open('f', os.O_WRONLY)\nos.write(fd, b'mine')\nprint('written', flush=True)\n\
         while not os.path.exists({go:?}): time.sleep(0.02)\n\
         try:\n    os.close(fd)\n    print('closed')\nexcept OSError as e:\n    print(e.errno)\n"
    );
    let mut child = std::process::Command::new("python3")
        .args(["-c", &script])
        .current_dir(alice.root())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    assert_eq!(lines.next().unwrap().unwrap(), "written");
    bob.write("@alice/f", "bob's\n");
    fs::write(&go, "").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), Errno::STALE.raw_os_error().to_string());
    child.wait().unwrap();
}

/// In a process of its own: where this one starts another, a copy of every descriptor is closed in it, and each
/// `close` checks in.
fn python(mount: &Mount, script: &str) {
    mount.script("exec python3 -c \"$SCRIPT\"").env("SCRIPT", script).ok();
}

/// Opens and writes on one mount, saves on the other, and has the first one's `fsync` refused.
fn second_comes_too_late(late: &Mount, name: &str, words: &str, there: &std::path::Path, first: &str) {
    let script = format!(
        "import os, errno
fd = os.open('{name}', os.O_WRONLY)
os.write(fd, b'{words}')
with open('{}', 'w') as other: other.write('{first}')
try:
    os.fsync(fd)
    raise SystemExit('checked in over the other version')
except OSError as e:
    assert e.errno == errno.ESTALE, e
try: os.close(fd)
except OSError as e: assert e.errno == errno.ESTALE, e",
        there.display()
    );
    python(late, &script);
}

#[test]
fn two_handles_of_one_mount_share_a_draft() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.write("f", "aaaa");
    python(
        &alice,
        "import os
one, two = os.open('f', os.O_RDWR), os.open('f', os.O_RDWR)
os.pwrite(one, b'1', 0)
os.pwrite(two, b'2', 3)
assert os.pread(one, 4, 0) == b'1aa2'
os.close(one)
os.close(two)",
    );
    assert_eq!(alice.read("f"), b"1aa2");
    assert!(conflicts(&alice, ".").is_empty(), "no conflict with oneself");
}

/// Grants, flag, owner and history as they must survive a save.
fn identity_of(mount: &Mount, name: &str) -> Vec<String> {
    ["user.3s.grant.bob", "user.3s.owner", "user.3s.flag"]
        .iter()
        .map(|a| mount.get(name, a).unwrap())
        .collect()
}

#[test]
fn vims_default_save_keeps_grants_flag_and_history() {
    let store = Store::start();
    let (alice, bob) = (store.mount("alice"), store.mount("bob"));
    alice.write("f.txt", "one a\n");
    alice.set("f.txt", "user.3s.flag", "integrity");
    alice.grant("f.txt", "bob", "checkout,1h");
    let (before, first) = (identity_of(&alice, "f.txt"), version(&alice, "f.txt"));
    for settings in
        ["", "set backup", "set backupcopy=no", "set backupcopy=yes", "set backup backupcopy=no writebackup"]
    {
        alice.sh("printf 'one a\\n' > f.txt");
        alice
            // By default vim makes no backups of what lies in /tmp.
            .script("vim -u NONE -es -c 'set backupskip=' -c \"$S\" -c '%s/a/b/' -c wq f.txt; test \"$(cat f.txt)\" = 'one b'")
            .env("S", settings)
            .ok();
        assert_eq!(identity_of(&alice, "f.txt"), before, "{settings}");
        assert_eq!(bob.read("@alice/f.txt"), b"one b\n", "{settings}");
    }
    assert!(version(&alice, "f.txt") >= first + 10, "history goes on");
    // `set backup` leaves a copy, and that is nobody else's.
    assert_eq!(alice.read("f.txt~"), b"one a\n");
    assert_eq!(alice.get("f.txt~", "user.3s.grant.bob"), Err(Errno::NODATA), "the backup is not shared");
    assert_eq!(fs::read(bob.at("@alice/f.txt~")).map_err(|e| e.kind()), Err(std::io::ErrorKind::NotFound));
}

#[test]
fn a_save_by_rename_keeps_grants_flag_and_history() {
    let store = Store::start();
    let (alice, bob) = (store.mount("alice"), store.mount("bob"));
    alice.write("d.odt", "old");
    alice.set("d.odt", "user.3s.flag", "integrity");
    alice.grant("d.odt", "bob", "checkout,1h");
    let (before, first) = (identity_of(&alice, "d.odt"), version(&alice, "d.odt"));
    // As LibreOffice, gedit, sed -i and many more do.
    alice.sh("echo new > .tmp123; sync .tmp123; mv .tmp123 d.odt; test ! -e .tmp123");
    assert_eq!(identity_of(&alice, "d.odt"), before);
    assert_eq!(bob.read("@alice/d.odt"), b"new\n");
    assert_eq!(version(&alice, "d.odt"), first + 1);
    alice.sh("sed -i s/new/newer/ d.odt");
    assert_eq!((identity_of(&alice, "d.odt"), bob.read("@alice/d.odt")), (before, b"newer\n".to_vec()));
}

#[test]
fn a_rename_to_a_backup_name_without_a_new_document_is_a_rename() {
    let store = Store::start();
    let (alice, bob) = (store.mount("alice"), store.mount("bob"));
    alice.write("f", "x");
    alice.grant("f", "bob", "checkout,1h");
    alice.sh("mv f f.bak; test ! -e f");
    assert_eq!(bob.read("@alice/f.bak"), b"x", "grants go with the document");
}
