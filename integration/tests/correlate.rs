//! What a person is told at a desk leads to the line in the server's log.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use sss_integration::{Store, eventually, noise};

/// Changes a byte in the middle of the largest file below a folder.
fn damage(dir: &Path) {
    let mut folders = vec![dir.to_path_buf()];
    let mut files: Vec<(u64, PathBuf)> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let (path, meta) = entry.map(|entry| (entry.path(), entry.metadata().unwrap())).unwrap();
            if meta.is_dir() { folders.push(path) } else { files.push((meta.len(), path)) }
        }
    }
    let (size, largest) = files.into_iter().max().unwrap();
    let file = fs::File::options().read(true).write(true).open(largest).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, size / 2).unwrap();
    file.write_all_at(&[byte[0] ^ 1], size / 2).unwrap();
}

#[test]
fn an_eio_at_a_desk_is_found_in_the_servers_log() {
    let mut store = Store::start();
    let alice = store.mount("alice");
    alice.write("doc", noise(200_000, 61));
    alice.unmount();
    store.stop_server();
    damage(&store.path("data/packs"));
    store.start_server();
    let alice = store.mount("alice");
    let refused = fs::read(alice.at("doc")).unwrap_err();
    assert_eq!(Errno::from_io_error(&refused), Some(Errno::IO), "{refused}");

    let why = alice.get("doc", "user.3s.why").unwrap();
    let (_, request) = why.rsplit_once(" (request ").unwrap_or_else(|| panic!("no request in {why:?}"));
    let request = request.strip_suffix(')').unwrap();
    assert_eq!(request.len(), 16, "{why}");
    let about = |log: &str| log.lines().any(|line| line.contains(request) && line.contains("integrity"));
    eventually(Duration::from_secs(10), "the request in the server's log", || about(&store.server_log()));
    assert!(alice.log().lines().any(|line| line.contains(request)), "{}", alice.log());
}
