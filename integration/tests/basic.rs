//! Ordinary tools on a mount of one's own.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::Duration;

use rustix::io::Errno;
use sss_integration::{Cmd, Nobody, Store, bash, eventually, needs_root, noise};

#[test]
fn cat_cp_and_mv() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.sh("echo hello > a; test \"$(cat a)\" = hello");
    alice.sh("cp a b; cmp a b; mv b c; test ! -e b; test \"$(cat c)\" = hello");
    alice.sh("mkdir d; mv c d/; test \"$(cat d/c)\" = hello; test \"$(ls)\" = \"$(printf 'a\\nd')\"");
    alice.sh_fails("cat missing").says("No such file or directory");
}

#[test]
fn what_was_written_is_there_after_a_remount_and_a_server_restart() {
    let mut store = Store::start();
    let alice = store.mount("alice");
    let big = noise(3 << 20, 1);
    alice.write("small", "small");
    alice.write("big", &big);
    alice.write("empty", "");
    alice.unmount();
    store.stop_server();
    store.start_server();
    let alice = store.mount("alice");
    assert_eq!(alice.read("small"), b"small");
    assert!(alice.read("big") == big, "the content differs");
    assert_eq!(alice.read("empty"), b"");
}

#[test]
fn a_check_in_that_close_confirmed_survives_a_killed_server() {
    let mut store = Store::start();
    let alice = store.mount("alice");
    let big = noise(1 << 20, 2);
    alice.write("small", "small");
    alice.write("big", &big);
    store.kill_server();
    store.start_server();
    drop(alice);
    let alice = store.mount("alice");
    assert_eq!(alice.read("small"), b"small");
    assert!(alice.read("big") == big, "the content differs");
}

#[test]
fn cp_a_keeps_attributes_modes_and_times() {
    let store = Store::start();
    let alice = store.mount("alice");
    let local = store.fresh_dir("local-");
    bash("mkdir -p t/sub; echo one > t/one; echo two > t/sub/two; ln -s one t/link; chmod 640 t/one; chmod 755 t/sub/two
          touch -d '2020-02-03T04:05:06.123456789Z' t/one t/sub/two")
        .cwd(&local)
        .ok();
    alice
        .script("cp -a \"$L/t\" .; diff -r \"$L/t\" t; test \"$(readlink t/link)\" = one")
        .env("L", &local)
        .ok();
    for (name, mode) in [("t/one", 0o640), ("t/sub/two", 0o755)] {
        let meta = fs::metadata(alice.at(name)).unwrap();
        assert_eq!(meta.mode() & 0o7777, mode, "{name}");
        assert_eq!((meta.mtime(), meta.mtime_nsec()), (1_580_702_706, 123_456_789), "{name}");
    }
    alice.sh("setfattr -n user.note -v 'a note' t/one; setfattr -n user.bin -v 0x000102ff t/one; cp -a t u");
    assert_eq!(alice.get("u/one", "user.note").as_deref(), Ok("a note"));
    alice.sh("test \"$(getfattr --only-values -n user.bin u/one | od -An -tx1)\" = ' 00 01 02 ff'");
    alice.sh("setfattr -x user.note u/one");
    assert_eq!(alice.get("u/one", "user.note"), Err(Errno::NODATA));
}

#[test]
fn foreign_attribute_namespaces_are_answered() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.write("f", "x");
    for name in ["security.selinux", "trusted.x", "system.posix_acl_access"] {
        let got = alice.get("f", name).unwrap_err();
        assert!([Errno::NODATA, Errno::NOTSUP].contains(&got), "{name}: {got}");
        assert!(alice.try_set("f", name, "x").is_err(), "{name}");
    }
}

#[test]
fn folders() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.sh("mkdir -p a/b/c; echo x > a/b/c/f");
    alice.sh_fails("mkdir a").says("File exists");
    alice.sh_fails("rmdir a/b").says("Directory not empty");
    alice.sh_fails("rmdir a/b/c/f").says("Not a directory");
    alice.sh_fails("rm a/b").says("Is a directory");
    alice.sh_fails("mv a a/b/c/").says("subdirectory of itself");
    alice.sh("rm a/b/c/f; rmdir a/b/c a/b a; test -z \"$(ls -A)\"");
}

#[test]
fn a_folder_with_more_entries_than_one_listing_has() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.sh("mkdir many; cd many; seq 1 2500 | xargs mkdir");
    alice.sh("test \"$(ls many | sort -n)\" = \"$(seq 1 2500)\"");
    alice.sh("rmdir many/*; test -z \"$(ls many)\"");
}

#[test]
fn tar_there_and_back() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.sh("mkdir -p src/x; for i in $(seq 60); do echo \"file $i\" > src/x/$i; done; ln -s x/1 src/link
              tar cf t.tar src; mkdir out; tar xf t.tar -C out; diff -r --no-dereference src out/src
              test \"$(readlink out/src/link)\" = x/1");
}

#[test]
fn rsync_with_attributes_copies_once() {
    let store = Store::start();
    let alice = store.mount("alice");
    let local = store.fresh_dir("local-");
    bash("mkdir t; for i in 1 2 3; do echo $i > t/$i; done").cwd(&local).ok();
    let rsync =
        || Cmd::new("rsync").args(["-aX", "--itemize-changes"]).arg(local.join("t")).arg(alice.root());
    rsync().ok().says(">f+++++++++ t/1");
    let again = rsync().ok().out();
    assert!(!again.contains(">f"), "a second run has nothing to copy: {again}");
    alice.script("diff -r \"$L/t\" t").env("L", &local).ok();
}

#[test]
fn rsync_with_attributes_updates_them() {
    let store = Store::start();
    let alice = store.mount("alice");
    let local = store.fresh_dir("local-");
    let rsync = || Cmd::new("rsync").arg("-aX").arg(local.join("f")).arg(alice.root()).ok();
    bash("echo one > f; setfattr -n user.a -v one f; setfattr -n user.gone -v one f").cwd(&local).ok();
    rsync();
    alice.grant("f", "bob", "checkout,1h");
    bash("echo other > f; setfattr -n user.a -v two f; setfattr -n user.b -v two f; setfattr -x user.gone f")
        .cwd(&local)
        .ok();
    rsync();
    assert_eq!(alice.read("f"), b"other\n");
    assert_eq!(alice.get("f", "user.a").as_deref(), Ok("two"));
    assert_eq!(alice.get("f", "user.b").as_deref(), Ok("two"));
    assert_eq!(alice.get("f", "user.gone"), Err(Errno::NODATA));
}

#[test]
fn sed_in_place_and_append() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.sh("printf 'a b\\n' > f; sed -i s/b/c/ f; test \"$(cat f)\" = 'a c'; echo more >> f; test \"$(cat f)\" = \"$(printf 'a c\\nmore')\"");
    alice.sh("for i in $(seq 20); do echo $i >> g; done; test \"$(cat g)\" = \"$(seq 20)\"");
}

#[test]
fn vim_saves() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.sh("printf 'one a\\ntwo a\\n' > f; vim -u NONE -es -c '%s/a/b/' -c wq f; test \"$(cat f)\" = \"$(printf 'one b\\ntwo b')\"");
    alice.sh("test \"$(ls -A)\" = f");
}

#[test]
fn truncate_shrinks_and_grows() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.sh("head -c 200000 /dev/urandom > f; cp f g; truncate -s 70001 f; head -c 70001 g | cmp - f
              truncate -s 150000 f; test $(stat -c %s f) = 150000; tail -c +70002 f | cmp - <(head -c 79999 /dev/zero)
              : > f; test ! -s f");
}

#[test]
fn dd_64_mib_arrives() {
    let store = Store::start();
    let alice = store.mount("alice");
    let content = noise(64 << 20, 3);
    let local = store.path("local");
    fs::write(&local, &content).unwrap();
    let sum = |path: &std::path::Path| Cmd::new("sha256sum").stdin(fs::read(path).unwrap()).ok().out();
    Cmd::new("dd")
        .arg(format!("if={}", local.display()))
        .arg(format!("of={}", alice.at("big").display()))
        .args(["bs=1M", "conv=fsync"])
        .ok();
    let expected = sum(&local);
    assert_eq!(sum(&alice.at("big")), expected);
    alice.unmount();
    let alice = store.mount("alice");
    assert_eq!(sum(&alice.at("big")), expected, "read cold, through a fresh mount");
}

#[test]
fn holes_read_as_zeroes() {
    let store = Store::start();
    let alice = store.mount("alice");
    let file = fs::File::options().read(true).write(true).create_new(true).open(alice.at("sparse")).unwrap();
    file.write_all_at(b"start", 0).unwrap();
    file.write_all_at(b"end", 5_000_000).unwrap();
    drop(file);
    let mut expected = vec![0; 5_000_003];
    expected[..5].copy_from_slice(b"start");
    expected[5_000_000..].copy_from_slice(b"end");
    assert!(alice.read("sparse") == expected, "the content differs");
}

#[test]
fn writes_in_the_middle_change_nothing_else() {
    let store = Store::start();
    let alice = store.mount("alice");
    let mut expected = noise(1_000_000, 4);
    alice.write("f", &expected);
    let file = fs::File::options().write(true).open(alice.at("f")).unwrap();
    for (at, len) in [(0, 1), (65_535, 2), (131_072, 65_536), (500_001, 3), (999_999, 1)] {
        let patch = noise(len, at as u64 + 9);
        file.write_all_at(&patch, at as u64).unwrap();
        expected[at..at + len].copy_from_slice(&patch);
    }
    drop(file);
    assert!(alice.read("f") == expected, "through the mount that wrote");
    alice.unmount();
    assert!(store.mount("alice").read("f") == expected, "through a fresh mount");
}

#[test]
fn symlinks() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.sh("echo x > f; ln -s f l; test \"$(cat l)\" = x; test \"$(readlink l)\" = f; rm l; test \"$(cat f)\" = x");
    alice.sh("ln -s nowhere dangling; test -L dangling");
    alice.sh_fails("cat dangling").says("No such file or directory");
}

#[test]
fn what_cannot_be_is_refused() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.sh("echo x > f");
    alice.sh_fails("ln f hard").says("Operation not permitted");
    alice.sh_fails("mkfifo p").says("Operation not permitted");
    alice.sh_fails("touch @carol").says("Invalid argument");
    alice.sh_fails("mkdir @x").says("Invalid argument");
    alice.sh_fails("python3 -c 'import os; os.rename(\"f\", \"@f\")'").says("Invalid argument");
    alice.sh("mkdir d; touch d/@fine");
    alice.sh_fails("touch $(head -c 256 /dev/zero | tr '\\0' x)").says("File name too long");
    alice.sh("touch $(head -c 255 /dev/zero | tr '\\0' x)");
}

#[test]
fn a_mapped_page_that_is_written_is_checked_in() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.write("f", vec![b'.'; 100_000]);
    let script = "import mmap, sys\n\
                  with open('f', 'r+b') as f:\n    m = mmap.mmap(f.fileno(), 0)\n    m[70000:70005] = b'hello'\n    m.flush()\n    m.close()\n";
    Cmd::new("python3").arg("-").stdin(script).cwd(alice.root()).ok();
    let mut expected = vec![b'.'; 100_000];
    expected[70_000..70_005].copy_from_slice(b"hello");
    assert!(alice.read("f") == expected, "the content differs");
    alice.unmount();
    assert!(store.mount("alice").read("f") == expected, "through a fresh mount");
}

#[test]
fn rename_over_a_document_replaces_its_content() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.sh("echo old > f; echo new > g; mv g f; test \"$(cat f)\" = new; test ! -e g");
    alice.sh("echo x > h; mv -n h f; test \"$(cat f)\" = new; test \"$(cat h)\" = x");
}

#[test]
fn a_document_that_was_removed_gives_nothing_to_who_has_it_open() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.sh("echo text > f; exec 3< f; rm f; test ! -e f");
    alice.sh_fails("echo text > f; exec 3< f; rm f; cat <&3").says("Stale file handle");
    // What was written here and is on no server can be gone on with, as programs do with their scratch files.
    alice.sh("exec 3> g; echo lost >&3; rm g; echo more >&3; exec 3>&-; test ! -e g");
}

#[test]
fn git_works_in_a_mount() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice
        .script("git init -q r; cd r; git config user.name a; git config user.email a@example.org
                 for i in $(seq 30); do echo $i > f$i; done; git add -A; git commit -qm one
                 echo more >> f1; git commit -qam two; test \"$(git log --oneline | wc -l)\" = 2
                 git fsck --strict; test -z \"$(git status --porcelain)\"; git clone -q . ../clone; diff f1 ../clone/f1")
        .env("HOME", store.fresh_dir("home-"))
        .ok();
}

#[test]
fn sqlite_works_in_a_mount() {
    let store = Store::start();
    let alice = store.mount("alice");
    let script = "import sqlite3\n\
                  db = sqlite3.connect('t.db')\n\
                  db.execute('create table t(x)')\n\
                  for i in range(10):\n    with db:\n        db.execute('insert into t values(?)', (i,))\n\
                  db.close()\n\
                  print(sqlite3.connect('t.db').execute('select count(*), sum(x) from t').fetchone())\n";
    let done = Cmd::new("python3").arg("-").stdin(script).cwd(alice.root()).ok();
    assert_eq!(done.out(), "(10, 45)");
}

#[test]
fn stored_modes_are_the_owners() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.sh("echo x > f; chmod 640 f; test \"$(stat -c %A f)\" = -rw-r-----; chmod 755 f; test \"$(stat -c %a f)\" = 755");
    alice.sh("umask 077; echo y > g; test \"$(stat -c %a g)\" = 600");
    alice.sh("test \"$(stat -c '%u %g' f)\" = \"$(id -u) $(id -g)\"");
}

#[test]
fn unmount_by_fusermount_checks_in_and_ends_the_process() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.write("f", "kept");
    Cmd::new("fusermount3").arg("-u").arg(alice.root()).ok();
    eventually(Duration::from_secs(30), "the mount's process ends", || alice.processes().is_empty());
    drop(alice);
    assert_eq!(store.mount("alice").read("f"), b"kept");
}

#[test]
fn a_busy_mount_is_not_unmounted() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.write("f", "x");
    let open = fs::File::open(alice.at("f")).unwrap();
    let done = store.tool("3s").arg("unmount").arg(alice.root()).fails();
    assert!(done.err().lines().count() >= 2, "says what to do: {}", done.account());
    drop(open);
    alice.unmount();
}

#[test]
fn an_ordinary_user_mounts() {
    if !needs_root(
        "an_ordinary_user_mounts (as root it becomes `nobody`; as an ordinary user every other test shows it)",
    ) {
        return;
    }
    let store = Store::start();
    let nobody = Nobody::new(&store, "alice");
    let as_nobody = |script: &str| nobody.script(script);
    let mounted = as_nobody("\"$PROGRAM\" mount \"$SERVER\" \"$N/mnt\" --identity \"$N/id\"").run();
    if mounted.success() {
        let used = as_nobody("cd \"$N/mnt\"; echo hello > f; cat f; stat -c %U f").run();
        as_nobody("cd /; \"$PROGRAM\" unmount \"$N/mnt\"").ok();
        assert!(used.success(), "{}", used.account());
        assert_eq!(used.out(), "hello\nnobody");
    }
    assert!(mounted.success(), "{}", mounted.account());
}
