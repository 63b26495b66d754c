//! A disk that is full to the last byte: removing and revoking still work, as that is how one makes room and ends rights.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use sss_integration::{Cmd, Store, eventually, needs_root};

/// The store's data on a file system of its own, with `room` to begin with.
struct SmallDisk {
    data: PathBuf,
}

impl SmallDisk {
    fn under(store: &mut Store, room: &str) -> Self {
        store.stop_server();
        let (data, aside) = (store.path("data"), store.path("aside"));
        fs::rename(&data, &aside).unwrap();
        fs::create_dir(&data).unwrap();
        let options = format!("size={room},mode=700");
        Cmd::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&data).ok();
        let disk = SmallDisk { data };
        Cmd::new("cp").arg("-a").arg(aside.join(".")).arg(&disk.data).ok();
        store.start_server();
        disk
    }

    /// Fills it to the last byte, as a neighbour would. Answers the file.
    fn fill(&self) -> PathBuf {
        let path = self.data.join("neighbour");
        let mut file = fs::File::create(&path).unwrap();
        for length in [1 << 20, 4096, 1] {
            let block = vec![1; length];
            let full = loop {
                if let Err(error) = file.write_all(&block) {
                    break error;
                }
            };
            assert_eq!(full.kind(), ErrorKind::StorageFull);
        }
        path
    }

    fn has_reserve(&self) -> bool {
        Path::exists(&self.data.join("meta.reserve"))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Cmd::new("umount").arg("-l").arg(&self.data).run();
    }
}

#[test]
fn removing_and_revoking_work_on_a_disk_that_is_full_to_the_last_byte() {
    if !needs_root("removing_and_revoking_work_on_a_disk_that_is_full_to_the_last_byte") {
        return;
    }
    let mut store = Store::with().config("[documents]\nmin_free = 1048576\n").start();
    let disk = SmallDisk::under(&mut store, "64m");
    let (alice, bob) = (store.mount("alice"), store.mount("bob"));
    for i in 0..40 {
        alice.write(&format!("f{i}"), format!("content {i}"));
    }
    alice.grant("f0", "bob", "checkout,1h");
    assert_eq!(bob.read("@alice/f0"), b"content 0");
    eventually(std::time::Duration::from_secs(30), "the reserve is there", || disk.has_reserve());

    let neighbour = disk.fill();
    assert!(fs::write(alice.at("new"), "more").is_err(), "nothing more comes in");
    for i in 1..40 {
        fs::remove_file(alice.at(format!("f{i}"))).unwrap_or_else(|error| panic!("rm f{i}: {error}"));
    }
    alice.unset("f0", "user.3s.grant.bob").unwrap();
    let refused = fs::read(bob.at("@alice/f0")).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(Errno::ACCESS.raw_os_error()));
    store.tool("3s-server").args(["user", "disable"]).arg(&disk.data).arg("bob").ok();

    fs::remove_file(neighbour).unwrap();
    alice.write("after", "there is room again");
    assert_eq!(alice.read("f0"), b"content 0");
    alice.unmount();
    drop(bob);
    store.stop_server();
}
