#![allow(clippy::unwrap_used)]
//! The file system without a kernel, against the server in this process.

mod conflicts;
mod links;
mod neighbours;
mod recover;
mod rights;
mod sharing;
mod xattrs;

use std::ffi::OsStr;
use std::sync::Arc;

use fuser::{Errno, FileAttr, RenameFlags};
use sss_common::Timestamp;
use sss_common::clock::ManualClock;

use super::io::Access;
use super::*;
use crate::remote::fault::FaultRemote;
use crate::remote::memory::MemoryServer;

const ME: Caller = Caller { uid: 1000 };
pub(super) const READ: Access = Access { read: true, write: false, truncate: false, create: false };
pub(super) const WRITE: Access = Access { read: false, write: true, truncate: false, create: false };
pub(super) const BOTH: Access = Access { read: true, write: true, truncate: false, create: false };
pub(super) const EMPTY: Access = Access { read: false, write: true, truncate: true, create: false };

/// A server and the time on it.
pub(super) struct Site {
    pub(super) server: Arc<MemoryServer>,
    pub(super) clock: Arc<ManualClock>,
}

impl Site {
    pub(super) fn new() -> Site {
        let clock = Arc::new(ManualClock::at(Timestamp(1_795_273_445_000)));
        Site { server: MemoryServer::new(clock.clone()), clock }
    }

    pub(super) fn mount(&self, uid: &str) -> Mount {
        self.mount_from(uid, "client1")
    }

    pub(super) fn mount_from(&self, uid: &str, node: &str) -> Mount {
        let fault = FaultRemote::new(self.server.login(uid, node));
        let options = MountOptions { machine: Some(node.parse().unwrap()), ..MountOptions::default() };
        Mount { fs: Fs::new(fault.clone(), options, Handle::current()), fault }
    }

    pub(super) fn content(&self, uid: &str, path: &str) -> Vec<u8> {
        self.server
            .files(uid)
            .remove(path)
            .unwrap_or_else(|| panic!("no {path}: {:?}", self.server.files(uid).keys()))
    }

    /// The one conflict copy in a home: its name and content.
    pub(super) fn conflict(&self, uid: &str) -> (String, Vec<u8>) {
        let mut copies = self.server.files(uid).into_iter().filter(|(name, _)| name.contains("(conflict "));
        let copy = copies.next().expect("a conflict copy");
        assert!(copies.next().is_none(), "one conflict copy");
        copy
    }
}

/// A mount, driven as the kernel would.
pub(super) struct Mount {
    pub(super) fs: Arc<Fs>,
    pub(super) fault: Arc<FaultRemote>,
}

impl Mount {
    /// Walks a path.
    pub(super) async fn walk(&self, path: &str) -> Answer<FileAttr> {
        let mut attr = self.fs.getattr(ROOT).await?;
        for name in path.split('/') {
            attr = self.fs.lookup(attr.ino, OsStr::new(name)).await?;
        }
        Ok(attr)
    }

    pub(super) async fn ino(&self, path: &str) -> INodeNo {
        self.walk(path).await.unwrap().ino
    }

    /// Opens as the VFS does: a stale inode is looked up once more.
    pub(super) async fn open(&self, path: &str, access: Access) -> Answer<FileHandle> {
        let ino = self.walk(path).await?.ino;
        match self.fs.open(ME, ino, access).await {
            Err(failure) if failure.errno == Errno::ESTALE => {
                let ino = self.walk(path).await?.ino;
                self.fs.open(ME, ino, access).await
            }
            other => other,
        }
    }

    pub(super) async fn create(&self, name: &str) -> Answer<(FileAttr, FileHandle)> {
        self.fs.create(ME, ROOT, OsStr::new(name), 0o644, BOTH, true).await
    }

    pub(super) async fn close(&self, fh: FileHandle) -> Answer<()> {
        let answer = self.fs.flush(fh).await;
        self.fs.release(fh).await;
        answer
    }

    pub(super) fn put(&self, fh: FileHandle, offset: u64, text: &str) {
        self.fs.write(fh, offset, &Bytes::copy_from_slice(text.as_bytes())).unwrap();
    }

    /// `echo text > path`
    pub(super) async fn save(&self, path: &str, text: &str) -> Answer<()> {
        let fh = match self.open(path, EMPTY).await {
            Err(failure) if failure.errno == Errno::ENOENT => self.create(path).await?.1,
            other => other?,
        };
        self.put(fh, 0, text);
        self.close(fh).await
    }

    /// `cat path`
    pub(super) async fn cat(&self, path: &str) -> Answer<String> {
        let fh = self.open(path, READ).await?;
        let bytes = self.fs.read(fh, 0, 1 << 20).await;
        self.close(fh).await?;
        Ok(String::from_utf8(bytes?.to_vec()).unwrap())
    }

    pub(super) async fn mv(&self, from: &str, to: &str) -> Answer<()> {
        self.fs.rename(ROOT, OsStr::new(from), ROOT, OsStr::new(to), RenameFlags::empty()).await
    }

    pub(super) async fn grant(&self, path: &str, grantee: &str, text: &str) {
        let ino = self.ino(path).await;
        let name = format!("user.3s.grant.{grantee}");
        self.fs.setxattr(ino, &name, text.as_bytes(), xattr::SetMode::from_flags(0)).await.unwrap();
    }

    pub(super) async fn xattr(&self, path: &str, name: &str) -> Answer<String> {
        let ino = self.ino(path).await;
        self.fs.getxattr(ino, name).await.map(|value| String::from_utf8(value).unwrap())
    }

    pub(super) async fn names(&self, ino: INodeNo) -> Vec<String> {
        let fh = self.fs.opendir(ino).await.unwrap();
        let mut names = Vec::new();
        loop {
            let items = self.fs.readdir(ino, fh, names.len() as u64).await.unwrap();
            if items.is_empty() {
                break;
            }
            names.extend(items.into_iter().map(|item| match item {
                dir::DirItem::Dot(name, _) => name.to_string(),
                dir::DirItem::Entry(entry, _) => entry.name.to_string(),
            }));
        }
        self.fs.releasedir(fh);
        names
    }
}

pub(super) fn errno<T: std::fmt::Debug>(answer: Answer<T>) -> i32 {
    answer.unwrap_err().errno.code()
}

use bytes::Bytes;

#[tokio::test]
async fn what_is_saved_is_read_and_touch_makes_a_version() {
    let site = Site::new();
    let alice = site.mount("alice");
    alice.save("a.txt", "hello").await.unwrap();
    assert_eq!(alice.cat("a.txt").await.unwrap(), "hello");
    assert_eq!(site.content("alice", "a.txt"), b"hello");
    let (_, fh) = alice.create("empty").await.unwrap();
    alice.close(fh).await.unwrap();
    assert_eq!(alice.xattr("empty", "user.3s.version").await.unwrap(), "1");
    assert_eq!(errno(alice.create("empty").await), libc::EEXIST);
}

#[tokio::test]
async fn the_promised_round_trips() {
    let site = Site::new();
    let alice = site.mount("alice");
    alice.fs.start().await.unwrap();
    alice.fault.calls();
    let (attr, fh) = alice.create("a").await.unwrap();
    alice.put(fh, 0, "hello");
    alice
        .fs
        .setattr(
            ME,
            attr.ino,
            Some(fh),
            lookup::Changes { mode: Some(0o600), mtime: Some(std::time::UNIX_EPOCH), ..Default::default() },
        )
        .await
        .unwrap();
    alice.close(fh).await.unwrap();
    assert_eq!(alice.fault.calls(), ["create", "checkin"]);
    let fh = alice.fs.open(ME, attr.ino, READ).await.unwrap();
    alice.fs.read(fh, 0, 4096).await.unwrap();
    alice.fs.flush(fh).await.unwrap();
    assert_eq!(alice.fault.calls(), ["open", "read"]);
    let shown = alice.walk("a").await.unwrap();
    assert_eq!((shown.perm, shown.mtime), (0o600, std::time::UNIX_EPOCH));
}

#[tokio::test]
async fn handles_share_one_draft() {
    let site = Site::new();
    let alice = site.mount("alice");
    alice.save("a", "0123456789").await.unwrap();
    let one = alice.open("a", BOTH).await.unwrap();
    let two = alice.open("a", BOTH).await.unwrap();
    alice.put(one, 2, "xx");
    assert_eq!(alice.fs.read(two, 0, 100).await.unwrap(), "01xx456789");
    alice.fs.flush(two).await.unwrap();
    assert_eq!(site.content("alice", "a"), b"01xx456789");
    alice.close(one).await.unwrap();
    alice.close(two).await.unwrap();
    assert!(alice.fs.documents.is_empty());
}

#[tokio::test]
async fn truncation_with_and_without_an_open_file() {
    let site = Site::new();
    let alice = site.mount("alice");
    alice.save("a", "0123456789").await.unwrap();
    let ino = alice.ino("a").await;
    let size = |size| lookup::Changes { size: Some(size), ..Default::default() };
    assert_eq!(alice.fs.setattr(ME, ino, None, size(3)).await.unwrap().size, 3);
    assert_eq!(site.content("alice", "a"), b"012");
    let fh = alice.open("a", WRITE).await.unwrap();
    alice.fs.setattr(ME, ino, Some(fh), size(5)).await.unwrap();
    alice.close(fh).await.unwrap();
    assert_eq!(site.content("alice", "a"), b"012\0\0");
    let fh = alice.open("a", WRITE).await.unwrap();
    alice.fs.fallocate(fh, 0, 8, 0).unwrap();
    alice.fs.fallocate(fh, 1, 1, libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE).unwrap();
    assert_eq!(errno(alice.fs.fallocate(fh, 0, 1, libc::FALLOC_FL_COLLAPSE_RANGE)), libc::ENOTSUP);
    alice.close(fh).await.unwrap();
    assert_eq!(site.content("alice", "a"), b"0\x002\0\0\0\0\0");
}

#[tokio::test]
async fn an_own_check_in_keeps_the_inode_and_a_foreign_one_does_not() {
    let site = Site::new();
    let alice = site.mount("alice");
    alice.save("a", "one").await.unwrap();
    let ino = alice.ino("a").await;
    alice.save("a", "two").await.unwrap();
    assert_eq!(alice.ino("a").await, ino);
    alice.grant("a", "bob", "both").await;
    let reader = alice.open("a", READ).await.unwrap();
    let bob = site.mount("bob");
    bob.save("@alice/a", "three").await.unwrap();
    bob.fs.shutdown().await;
    assert_eq!(errno(alice.fs.open(ME, ino, READ).await), libc::ESTALE);
    assert_eq!(alice.cat("a").await.unwrap(), "three");
    assert_ne!(alice.ino("a").await, ino);
    assert_eq!(alice.fs.read(reader, 0, 100).await.unwrap(), "two", "the pinned version, to the end");
    assert_eq!(alice.fs.getattr(ino).await.unwrap().size, 3);
    alice.close(reader).await.unwrap();
    alice.fs.shutdown().await;
    assert_eq!(site.server.pins(), 0, "every pin is given back");
}

#[tokio::test]
async fn what_its_maker_saved_is_held_until_the_last_handle_is_gone() {
    let site = Site::new();
    let alice = site.mount("alice");
    let (_, fh) = alice.create("a").await.unwrap();
    alice.fs.write(fh, 0, &Bytes::from_static(b"one")).unwrap();
    alice.fs.fsync(fh).await.unwrap();
    assert_eq!(site.server.pins(), 1);
    alice.grant("a", "bob", "both").await;
    let bob = site.mount("bob");
    bob.save("@alice/a", "three").await.unwrap();
    bob.fs.shutdown().await;
    assert_eq!(alice.fs.read(fh, 0, 100).await.unwrap(), "one");
    alice.close(fh).await.unwrap();
    alice.fs.shutdown().await;
    assert_eq!(site.server.pins(), 0, "every pin is given back");
}

#[tokio::test]
async fn vims_save_keeps_the_document() {
    let site = Site::new();
    let alice = site.mount("alice");
    alice.save("a", "old").await.unwrap();
    alice.grant("a", "bob", "checkout").await;
    let node = alice.fs.known(alice.ino("a").await).unwrap().attr.node;
    // :w with backupcopy=no: the file becomes the backup, a new one is written, the backup goes.
    let backup = alice.ino("a").await;
    alice.mv("a", "a~").await.unwrap();
    let (attr, fh) = alice.create("a").await.unwrap();
    assert_eq!(attr.size, 0);
    alice.put(fh, 0, "new");
    alice.close(fh).await.unwrap();
    assert_eq!(alice.fs.known(attr.ino).unwrap().attr.node, node, "the document is back under its name");
    assert_ne!(alice.fs.known(backup).unwrap().attr.node, node, "the backup's inode is another document now");
    assert_eq!(alice.cat("a~").await.unwrap(), "old");
    alice.fs.unlink(ROOT, OsStr::new("a~")).await.unwrap();
    assert_eq!(alice.cat("a").await.unwrap(), "new");
    assert_eq!(site.mount("bob").cat("@alice/a").await.unwrap(), "new", "grants stay");
}

#[tokio::test]
async fn seds_save_checks_the_new_content_in() {
    let site = Site::new();
    let alice = site.mount("alice");
    alice.save("a", "old").await.unwrap();
    alice.grant("a", "bob", "checkout").await;
    let target = alice.open("a", READ).await.unwrap();
    let (_, fh) = alice.create("sedX").await.unwrap();
    alice.put(fh, 0, "new");
    // Renamed while it is open and dirty, as Python's os.replace in a `with` does.
    alice.mv("sedX", "a").await.unwrap();
    assert_eq!(alice.fs.read(fh, 0, 100).await.unwrap(), "new");
    alice.put(fh, 3, "er");
    alice.close(fh).await.unwrap();
    assert_eq!(site.content("alice", "a"), b"newer");
    assert_eq!(alice.fs.read(target, 0, 100).await.unwrap(), "old", "who had it open keeps it");
    alice.close(target).await.unwrap();
    assert_eq!(site.mount("bob").cat("@alice/a").await.unwrap(), "newer");
    assert_eq!(errno(alice.walk("sedX").await), libc::ENOENT);
}

#[tokio::test]
async fn a_deleted_file_lives_until_it_is_closed() {
    let site = Site::new();
    let alice = site.mount("alice");
    let (_, fh) = alice.create("tmp").await.unwrap();
    alice.put(fh, 0, "scratch");
    alice.fs.unlink(ROOT, OsStr::new("tmp")).await.unwrap();
    alice.put(fh, 7, " data");
    assert_eq!(alice.fs.read(fh, 0, 100).await.unwrap(), "scratch data");
    alice.close(fh).await.unwrap();
    assert!(site.server.files("alice").is_empty(), "it does not come back");
    alice.save("b", "base").await.unwrap();
    let fh = alice.open("b", BOTH).await.unwrap();
    alice.fs.unlink(ROOT, OsStr::new("b")).await.unwrap();
    assert_eq!(errno(alice.fs.read(fh, 0, 4).await), libc::ESTALE, "what was not fetched is gone");
    alice.close(fh).await.unwrap();
}

#[tokio::test]
async fn names_in_the_root_and_their_errors() {
    let site = Site::new();
    let alice = site.mount("alice");
    assert_eq!(errno(alice.create("@x").await), libc::EINVAL);
    assert_eq!(errno(alice.fs.mkdir(ROOT, OsStr::new("@x"), 0o755).await), libc::EINVAL);
    alice.save("a", "x").await.unwrap();
    assert_eq!(errno(alice.mv("a", "@bob").await), libc::EINVAL);
    assert_eq!(errno(alice.walk(&"n".repeat(256)).await), libc::ENAMETOOLONG);
    assert_eq!(errno(alice.walk("nothing").await), libc::ENOENT);
    assert_eq!(errno(alice.walk("@nobody").await), libc::ENOENT);
    let link = alice.walk("@alice").await.unwrap();
    assert_eq!(link.kind, fuser::FileType::Symlink);
    assert_eq!(alice.fs.readlink(link.ino).await.unwrap(), ".");
    assert_eq!(errno(alice.fs.link(alice.ino("a").await)), libc::EPERM);
    assert_eq!(errno(alice.fs.mknod(ROOT, OsStr::new("p"), libc::S_IFIFO).await), libc::EPERM);
    alice.fs.mknod(ROOT, OsStr::new("plain"), libc::S_IFREG | 0o600).await.unwrap();
    let folder = alice.fs.mkdir(ROOT, OsStr::new("d"), 0o755).await.unwrap().ino;
    alice.fs.create(ME, folder, OsStr::new("@fine"), 0o644, WRITE, true).await.unwrap();
    assert_eq!(errno(alice.fs.rmdir(ROOT, OsStr::new("d")).await), libc::ENOTEMPTY);
    assert_eq!(errno(alice.fs.rmdir(ROOT, OsStr::new("a")).await), libc::ENOTDIR);
    assert_eq!(errno(alice.fs.unlink(ROOT, OsStr::new("d")).await), libc::EISDIR);
    let exchange = RenameFlags::RENAME_EXCHANGE;
    assert_eq!(
        errno(alice.fs.rename(ROOT, OsStr::new("a"), ROOT, OsStr::new("d"), exchange).await),
        libc::EINVAL
    );
    let taken = RenameFlags::RENAME_NOREPLACE;
    assert_eq!(
        errno(alice.fs.rename(ROOT, OsStr::new("a"), ROOT, OsStr::new("plain"), taken).await),
        libc::EEXIST
    );
    let symlink = alice.fs.symlink(ROOT, OsStr::new("l"), OsStr::new("a")).await.unwrap();
    assert_eq!(alice.fs.readlink(symlink.ino).await.unwrap(), "a");
    assert_eq!(alice.names(ROOT).await, [".", "..", "a", "d", "l", "plain"]);
}

#[tokio::test]
async fn a_long_listing_comes_in_pages() {
    let site = Site::new();
    let alice = site.mount("alice");
    for i in 0..sss_common::limits::LIST_MAX + 5 {
        alice.fs.mkdir(ROOT, OsStr::new(&format!("d{i:05}")), 0o755).await.unwrap();
    }
    alice.fault.calls();
    let names = alice.names(ROOT).await;
    assert_eq!(names.len(), sss_common::limits::LIST_MAX as usize + 7);
    assert_eq!(alice.fault.calls().iter().filter(|call| **call == "list").count(), 2);
}

#[tokio::test]
async fn a_read_only_mount_changes_nothing() {
    let site = Site::new();
    site.mount("alice").save("a", "x").await.unwrap();
    let remote = site.server.login("alice", "client1");
    let options = MountOptions { read_only: true, ..MountOptions::default() };
    let fs = Fs::new(remote, options, Handle::current());
    let ino = fs.lookup(ROOT, OsStr::new("a")).await.unwrap().ino;
    assert!(fs.open(ME, ino, READ).await.is_ok());
    assert_eq!(errno(fs.open(ME, ino, WRITE).await), libc::EROFS);
    assert_eq!(errno(fs.unlink(ROOT, OsStr::new("a")).await), libc::EROFS);
    assert_eq!(errno(fs.mkdir(ROOT, OsStr::new("d"), 0o755).await), libc::EROFS);
}

#[tokio::test]
async fn owners_are_held_to_their_bits_and_root_is_not() {
    let site = Site::new();
    let alice = site.mount("alice");
    let (attr, fh) = alice.fs.create(ME, ROOT, OsStr::new("ro"), 0o444, WRITE, true).await.unwrap();
    alice.put(fh, 0, "git object");
    alice.close(fh).await.unwrap();
    assert_eq!(errno(alice.fs.open(ME, attr.ino, WRITE).await), libc::EACCES);
    assert!(alice.fs.open(Caller { uid: 0 }, attr.ino, WRITE).await.is_ok());
    use fuser::AccessFlags;
    assert!(alice.fs.access(ME, attr.ino, AccessFlags::R_OK).is_ok());
    assert_eq!(errno(alice.fs.access(ME, attr.ino, AccessFlags::W_OK)), libc::EACCES);
    assert_eq!(errno(alice.fs.access(Caller { uid: 0 }, attr.ino, AccessFlags::X_OK)), libc::EACCES);
}
