//! The harness keeps its own promises.

#![allow(clippy::unwrap_used)]

use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use sss_integration::mount::is_mounted;
use sss_integration::{Cmd, Store, noise};

#[test]
fn a_test_that_panics_leaves_no_mount_no_process_and_no_folder() {
    let mut seen: Option<(PathBuf, PathBuf, std::net::SocketAddr)> = None;
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let store = Store::start();
        let alice = store.mount("alice");
        seen = Some((store.path(""), alice.root().into(), store.addr()));
        assert!(is_mounted(alice.root()));
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    let (folder, mountpoint, addr) = seen.expect("it panicked after it had mounted");
    assert!(!is_mounted(&mountpoint));
    assert!(!folder.exists());
    assert!(TcpStream::connect(addr).is_err(), "the server is gone");
    let left = Cmd::new("pgrep").arg("-f").arg(folder.file_name().unwrap()).run().out();
    assert_eq!(left, "", "processes are left");
}

#[test]
fn stores_do_not_see_each_other() {
    let (one, two) = (Store::start(), Store::start());
    let (in_one, in_two) = (one.mount("alice"), two.mount("alice"));
    in_one.write("f", "one");
    assert!(!in_two.at("f").exists());
}

#[test]
fn noise_is_the_same_for_a_seed_and_different_for_another() {
    assert_eq!(noise(1000, 1), noise(1000, 1));
    assert_ne!(noise(1000, 1), noise(1000, 2));
    assert_eq!(noise(3, 1).len(), 3);
}
