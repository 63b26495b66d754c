//! Bytes that change at rest are noticed: an error, never wrong content.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use sss_integration::{Cmd, Mount, Store, noise};

/// Every file below a folder, with its size.
fn files(dir: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => found.extend(files(&entry.path())),
            Ok(meta) => found.push((entry.path(), meta.len())),
            Err(_) => {}
        }
    }
    found
}

fn flip(file: &Path, at: u64) {
    let open = fs::File::options().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    open.read_exact_at(&mut byte, at).unwrap();
    open.write_all_at(&[byte[0] ^ 0x40], at).unwrap();
}

/// What a read that must not give wrong bytes gave.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Right,
    Refused(Errno),
}

#[track_caller]
fn look(mount: &Mount, name: &str, expected: &[u8]) -> Seen {
    match fs::read(mount.at(name)) {
        Ok(content) => {
            assert!(content == expected, "wrong bytes were given out for {name}");
            Seen::Right
        }
        Err(e) => Seen::Refused(Errno::from_io_error(&e).unwrap()),
    }
}

#[test]
fn a_flipped_byte_in_any_pack_is_eio_and_flipped_back_is_fine() {
    let mut store = Store::start();
    let documents: Vec<(String, Vec<u8>)> =
        [(70_000, "confidentiality"), (300_001, "integrity"), (1 << 20, "confidentiality")]
            .iter()
            .enumerate()
            .map(|(i, (size, flag))| (format!("{i}-{flag}"), noise(*size, i as u64 + 20)))
            .collect();
    let alice = store.mount("alice");
    for (name, content) in &documents {
        let flag = name.split_once('-').unwrap().1;
        alice.sh(&format!("touch {name}; setfattr -n user.3s.flag -v {flag} {name}"));
        alice.write(name, content);
    }
    alice.unmount();
    let packs: Vec<_> =
        files(&store.path("data/packs")).into_iter().filter(|(_, size)| *size > 60_000).collect();
    assert!(packs.len() >= documents.len(), "each of these documents has a pack: {packs:?}");
    for (pack, size) in &packs {
        for at in [0, 20, 48, size / 2, size - 1] {
            store.stop_server();
            flip(pack, at);
            store.start_server();
            let alice = store.mount("alice");
            let seen: Vec<Seen> =
                documents.iter().map(|(name, content)| look(&alice, name, content)).collect();
            let refused = seen.iter().filter(|seen| **seen == Seen::Refused(Errno::IO)).count();
            assert_eq!(refused, 1, "byte {at} of {}: {seen:?}\n{}", pack.display(), store.server_log());
            alice.unmount();
            store.stop_server();
            flip(pack, at);
            store.start_server();
        }
    }
    let alice = store.mount("alice");
    for (name, content) in &documents {
        assert_eq!(look(&alice, name, content), Seen::Right, "flipped back");
    }
}

#[test]
fn a_pack_that_is_cut_short_swapped_or_gone_is_eio() {
    let mut store = Store::start();
    let (one, two) = (noise(200_000, 31), noise(200_000, 32));
    let alice = store.mount("alice");
    alice.write("one", &one);
    alice.write("two", &two);
    alice.unmount();
    store.stop_server();
    let packs = files(&store.path("data/packs"));
    let [(a, size), (b, _)] = &packs[..] else { panic!("two documents, two packs: {packs:?}") };
    let keep = store.path("kept-pack");
    let mut try_with = |damage: &dyn Fn(), refused: usize| {
        Cmd::new("cp").arg(a).arg(&keep).ok();
        let other = fs::read(b).unwrap();
        damage();
        store.start_server();
        let alice = store.mount("alice");
        let seen = [look(&alice, "one", &one), look(&alice, "two", &two)];
        assert_eq!(
            seen.iter().filter(|s| matches!(s, Seen::Refused(Errno::IO))).count(),
            refused,
            "{seen:?}"
        );
        alice.unmount();
        store.stop_server();
        Cmd::new("cp").arg(&keep).arg(a).ok();
        fs::write(b, other).unwrap();
    };
    try_with(&|| fs::File::options().write(true).open(a).unwrap().set_len(size - 1).unwrap(), 1);
    try_with(&|| fs::File::options().write(true).open(a).unwrap().set_len(65_600).unwrap(), 1);
    try_with(&|| fs::remove_file(a).unwrap(), 1);
    try_with(
        &|| {
            let (content_a, content_b) = (fs::read(a).unwrap(), fs::read(b).unwrap());
            fs::write(a, content_b).unwrap();
            fs::write(b, content_a).unwrap();
        },
        2,
    );
    try_with(&|| {}, 0);
}

/// Counts the BLOB cells of a database, or flips a bit in the middle of the one with a number.
const CELLS: &str = r#"
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
at = int(sys.argv[2])
tables = [r[0] for r in db.execute("select name from sqlite_master where type = 'table' and name not like 'sqlite_%'")]
count = 0
for table in sorted(tables):
    columns = [(r[1], r[5]) for r in db.execute(f'pragma table_info("{table}")')]
    for column, key in columns:
        where = f'from "{table}" where typeof("{column}") = \'blob\' and length("{column}") > 32 order by 1'
        for (blob,) in db.execute(f'select "{column}" {where}').fetchall():
            if count == at:
                new = bytearray(blob)
                new[len(new) // 2] ^= 0x40
                db.execute(f'update "{table}" set "{column}" = ? where "{column}" = ?', (bytes(new), blob))
                db.commit()
                print(table, column, file=sys.stderr)
            count += 1
print(count)
"#;

#[test]
fn a_flipped_bit_in_any_sealed_row_never_gives_wrong_bytes() {
    let mut store = Store::start();
    let (small, big) = (b"a small document".to_vec(), noise(150_000, 40));
    let alice = store.mount("alice");
    alice.write("small", &small);
    alice.write("big", &big);
    alice.sh("touch signed; setfattr -n user.3s.flag -v integrity signed");
    alice.write("signed", &small);
    alice.unmount();
    store.stop_server();
    let kept = store.path("kept");
    let data = store.path("data");
    Cmd::new("cp").arg("-aT").arg(&data).arg(&kept).ok();
    let cells = |at: &str| Cmd::new("python3").args(["-c", CELLS]).arg(data.join("meta.db")).arg(at).ok();
    let count: usize = cells("-1").out().parse().unwrap();
    // Three documents have a record each, two have their content in the row, and there are key nodes.
    assert!((6..=80).contains(&count), "{count} sealed cells");
    let mut noticed = 0;
    for at in 0..count {
        let cell = cells(&at.to_string()).err();
        if store.try_start_server().is_ok() {
            let (command, mountpoint) = store.mount_command("alice");
            // A flipped bit in the user's own row may refuse the login: that gives no wrong bytes either.
            if command.run().success() {
                for (name, content) in [("small", &small), ("big", &big), ("signed", &small)] {
                    match fs::read(mountpoint.join(name)) {
                        Ok(bytes) => {
                            assert!(bytes == *content, "wrong bytes of {name} after a flip in {cell}")
                        }
                        Err(e) => {
                            noticed += usize::from(Errno::from_io_error(&e) == Some(Errno::IO));
                        }
                    }
                }
                store.tool("3s").arg("unmount").arg(&mountpoint).ok();
            }
            store.stop_server();
        } else {
            noticed += 1;
        }
        fs::remove_dir_all(&data).unwrap();
        Cmd::new("cp").arg("-aT").arg(&kept).arg(&data).ok();
    }
    assert!(noticed >= 6, "records, contents and keys are sealed, so flips in them are noticed: {noticed}");
}

#[test]
fn verify_checks_the_servers_signature() {
    let store = Store::start();
    let alice = store.mount("alice");
    alice.sh("touch signed plain; setfattr -n user.3s.flag -v integrity signed");
    alice.write("signed", noise(200_000, 50));
    alice.write("plain", "no signature");
    let verify = |name: &str| store.tool("3s").arg("verify").arg(alice.at(name));
    verify("signed").ok().says("alice");
    assert!(!alice.get("signed", "user.3s.signature").unwrap().is_empty());
    let done = verify("plain").fails();
    assert!(done.err().lines().count() >= 2, "says why there is none and what to do: {}", done.account());
    // A key that is not the server's must not verify.
    Cmd::new("cp")
        .arg(store.identity("bob").join("user.pub"))
        .arg(store.identity("alice").join("server.pub"))
        .ok();
    verify("signed").fails();
}

#[test]
fn the_first_verify_keeps_the_servers_key_and_later_ones_hold_to_it() {
    let store = Store::start();
    let key = store.identity("alice").join("server.pub");
    fs::remove_file(&key).unwrap();
    let alice = store.mount("alice");
    alice.sh("touch signed; setfattr -n user.3s.flag -v integrity signed; echo text > signed");
    let verify = || store.tool("3s").arg("verify").arg(alice.at("signed"));
    verify().ok().says("first use");
    assert_eq!(fs::read(&key).unwrap(), fs::read(store.path("data/server.pub")).unwrap());
    let again = verify().ok().out();
    assert!(again.contains("good") && !again.contains("first use"), "{again}");
}

#[test]
fn a_folders_flag_and_a_mounts_flag_are_for_what_is_created() {
    let store = Store::start();
    let alice = store.mount_with("alice", &["-o", "flag=integrity"]);
    alice.write("by-mount", "x");
    assert_eq!(alice.get("by-mount", "user.3s.flag").as_deref(), Ok("integrity"));
    alice.unmount();
    let alice = store.mount("alice");
    alice.write("default", "x");
    assert_eq!(alice.get("default", "user.3s.flag").as_deref(), Ok("confidentiality"));
    alice.sh("mkdir d; setfattr -n user.3s.flag -v integrity d; echo x > d/f");
    assert_eq!(alice.get("d/f", "user.3s.flag").as_deref(), Ok("integrity"));
    assert_eq!(alice.try_set("default", "user.3s.flag", "secret"), Err(Errno::INVAL));
    // Changing the flag of a document with content keeps the content.
    alice.set("default", "user.3s.flag", "integrity");
    assert_eq!(alice.read("default"), b"x");
    store.tool("3s").arg("verify").arg(alice.at("default")).ok();
}

#[test]
fn no_plaintext_on_the_servers_disk_or_the_clients() {
    let mut store = Store::start();
    let alice = store.mount("alice");
    let marker = "a marker that must not be found at rest";
    alice.write("small", marker);
    alice.write("big", format!("{marker}\n").repeat(50_000));
    alice.sh("touch signed; setfattr -n user.3s.flag -v integrity signed; cat small > signed; ln -s 'a marker that must not be found at rest' link");
    alice.unmount();
    store.stop_server();
    for place in ["data", "state", "cache", "run", "server.log"] {
        let done = Cmd::new("grep").args(["-rlaF", marker]).arg(store.path(place)).run();
        assert_eq!(done.code(), Some(1), "plaintext in {place}: {}", done.account());
    }
}
