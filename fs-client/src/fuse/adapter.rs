//! fuser's trait, call by call.

use std::ffi::{OsStr, OsString};
use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use fuser::*;
use sss_common::limits::{BLOCK_SIZE, NAME_MAX};
use tokio::runtime::Handle;

use crate::fs::dir::DirItem;
use crate::fs::io::Access;
use crate::fs::lookup::Changes;
use crate::fs::xattr::SetMode;
use crate::fs::{Answer, Caller, Fs};

/// Largest write that the kernel sends at once.
const MAX_WRITE: u32 = 1024 * 1024;
/// How far the kernel reads ahead.
const MAX_READAHEAD: u32 = 1024 * 1024;
/// Requests of the kernel that may be under way without a program waiting for them.
const MAX_BACKGROUND: u16 = 256;
const GENERATION: Generation = Generation(0);

/// An [`Fs`] as fuser serves it.
pub struct Adapter {
    fs: Arc<Fs>,
    runtime: Handle,
}

impl Adapter {
    /// Answers with tasks on `runtime`.
    pub fn new(fs: Arc<Fs>, runtime: Handle) -> Adapter {
        Adapter { fs, runtime }
    }

    fn run<F: Future<Output = ()> + Send + 'static>(&self, call: impl FnOnce(Arc<Fs>) -> F) {
        self.runtime.spawn(call(self.fs.clone()));
    }
}

fn caller(req: &Request) -> Caller {
    Caller { uid: req.uid() }
}

fn entry(fs: &Fs, answer: Answer<FileAttr>, reply: ReplyEntry) {
    match answer {
        Ok(attr) => reply.entry(&fs.believed(attr.ino), &attr, GENERATION),
        Err(failure) => reply.error(failure.errno),
    }
}

fn attr(fs: &Fs, answer: Answer<FileAttr>, reply: ReplyAttr) {
    match answer {
        Ok(attr) => reply.attr(&fs.believed(attr.ino), &attr),
        Err(failure) => reply.error(failure.errno),
    }
}

fn empty(answer: Answer<()>, reply: ReplyEmpty) {
    match answer {
        Ok(()) => reply.ok(),
        Err(failure) => reply.error(failure.errno),
    }
}

fn data(answer: Answer<Bytes>, reply: ReplyData) {
    match answer {
        Ok(bytes) => reply.data(&bytes),
        Err(failure) => reply.error(failure.errno),
    }
}

fn xattr(answer: Answer<Vec<u8>>, size: u32, reply: ReplyXattr) {
    match answer {
        Ok(value) if size == 0 => reply.size(u32::try_from(value.len()).unwrap_or(u32::MAX)),
        Ok(value) if value.len() <= size as usize => reply.data(&value),
        Ok(_) => reply.error(Errno::ERANGE),
        Err(failure) => reply.error(failure.errno),
    }
}

fn at(fs: &Fs, time: TimeOrNow) -> SystemTime {
    match time {
        TimeOrNow::SpecificTime(at) => at,
        TimeOrNow::Now => fs.now(),
    }
}

impl Filesystem for Adapter {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for wanted in [
            InitFlags::FUSE_ASYNC_READ,
            InitFlags::FUSE_ATOMIC_O_TRUNC,
            InitFlags::FUSE_BIG_WRITES,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_MAX_PAGES,
        ] {
            // An older kernel without it is slower, not wrong.
            let _ = config.add_capabilities(wanted);
        }
        let _ = config.set_max_write(MAX_WRITE);
        if let Err(nearest) = config.set_max_readahead(MAX_READAHEAD) {
            let _ = config.set_max_readahead(nearest);
        }
        let _ = config.set_max_background(MAX_BACKGROUND);
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let name = name.to_owned();
        self.run(|fs| async move { entry(&fs, fs.lookup(parent, &name).await, reply) });
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        self.fs.forget(ino, nlookup);
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        self.run(|fs| async move { attr(&fs, fs.getattr(ino).await, reply) });
    }

    fn setattr(
        &self,
        req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let caller = caller(req);
        let changes = Changes { mode, uid, gid, size, mtime: mtime.map(|mtime| at(&self.fs, mtime)) };
        self.run(|fs| async move {
            attr(&fs, fs.setattr(caller, ino, fh, changes).await, reply);
        });
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        self.run(|fs| async move { data(fs.readlink(ino).await, reply) });
    }

    fn mknod(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        let name = name.to_owned();
        self.run(|fs| async move { entry(&fs, fs.mknod(parent, &name, mode & !umask).await, reply) });
    }

    fn mkdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let name = name.to_owned();
        self.run(|fs| async move { entry(&fs, fs.mkdir(parent, &name, mode & !umask).await, reply) });
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.to_owned();
        self.run(|fs| async move { empty(fs.unlink(parent, &name).await, reply) });
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.to_owned();
        self.run(|fs| async move { empty(fs.rmdir(parent, &name).await, reply) });
    }

    fn symlink(&self, _req: &Request, parent: INodeNo, link_name: &OsStr, target: &Path, reply: ReplyEntry) {
        let (name, target) = (link_name.to_owned(), target.as_os_str().to_owned());
        self.run(|fs| async move { entry(&fs, fs.symlink(parent, &name, &target).await, reply) });
    }

    fn rename(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let (name, newname) = (name.to_owned(), newname.to_owned());
        self.run(|fs| async move {
            empty(fs.rename(parent, &name, newparent, &newname, flags).await, reply);
        });
    }

    fn link(&self, _req: &Request, ino: INodeNo, _newparent: INodeNo, _newname: &OsStr, reply: ReplyEntry) {
        match self.fs.link(ino) {
            Ok(()) => reply.error(Errno::EPERM),
            Err(failure) => reply.error(failure.errno),
        }
    }

    fn open(&self, req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let (caller, access) = (caller(req), Access::from_flags(flags.0));
        self.run(|fs| async move {
            match fs.open(caller, ino, access).await {
                // The pages of an inode are always its version's.
                Ok(fh) => reply.opened(fh, FopenFlags::FOPEN_KEEP_CACHE),
                Err(failure) => reply.error(failure.errno),
            }
        });
    }

    fn read(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.run(|fs| async move { data(fs.read(fh, offset, size as usize).await, reply) });
    }

    fn write(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let bytes = Bytes::copy_from_slice(data);
        self.run(|fs| async move {
            match fs.write(fh, offset, &bytes) {
                Ok(written) => reply.written(u32::try_from(written).unwrap_or(u32::MAX)),
                Err(failure) => reply.error(failure.errno),
            }
        });
    }

    fn flush(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        self.run(|fs| async move { empty(fs.flush(fh).await, reply) });
    }

    fn release(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.run(|fs| async move {
            fs.release(fh).await;
            reply.ok();
        });
    }

    fn fsync(&self, _req: &Request, _ino: INodeNo, fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.run(|fs| async move { empty(fs.fsync(fh).await, reply) });
    }

    fn opendir(&self, _req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        self.run(|fs| async move {
            match fs.opendir(ino).await {
                Ok(fh) => reply.opened(fh, FopenFlags::empty()),
                Err(failure) => reply.error(failure.errno),
            }
        });
    }

    fn readdir(&self, _req: &Request, ino: INodeNo, fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        self.run(|fs| async move {
            let items = match fs.readdir(ino, fh, offset).await {
                Ok(items) => items,
                Err(failure) => return reply.error(failure.errno),
            };
            for (next, item) in (offset + 1..).zip(items) {
                let full = match item {
                    DirItem::Dot(name, ino) => reply.add(ino, next, FileType::Directory, name),
                    DirItem::Entry(entry, _) => {
                        let (ino, kind) = fs.hint(&entry.attr);
                        reply.add(ino, next, kind, entry.name.as_str())
                    }
                };
                if full {
                    break;
                }
            }
            reply.ok();
        });
    }

    fn readdirplus(
        &self,
        _req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        self.run(|fs| async move {
            let items = match fs.readdir(ino, fh, offset).await {
                Ok(items) => items,
                Err(failure) => return reply.error(failure.errno),
            };
            for (next, item) in (offset + 1..).zip(items) {
                let full = match item {
                    DirItem::Dot(name, dot) => add_dot(&mut reply, next, name, dot),
                    DirItem::Entry(entry, at) => {
                        let Ok((attr, ttl)) = fs.bind(ino, &entry, at) else { continue };
                        let full = reply.add(attr.ino, next, entry.name.as_str(), &ttl, &attr, GENERATION);
                        if full {
                            fs.forget(attr.ino, 1);
                        }
                        full
                    }
                };
                if full {
                    break;
                }
            }
            reply.ok();
        });
    }

    fn releasedir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.fs.releasedir(fh);
        reply.ok();
    }

    fn fsyncdir(&self, _req: &Request, _ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        // Names are the server's at once.
        reply.ok();
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        self.run(|fs| async move {
            match fs.statfs().await {
                Ok(room) => {
                    let block = BLOCK_SIZE as u64;
                    let free = room.available / block;
                    reply.statfs(
                        room.total / block,
                        free,
                        free,
                        0,
                        0,
                        block as u32,
                        NAME_MAX as u32,
                        block as u32,
                    );
                }
                Err(failure) => reply.error(failure.errno),
            }
        });
    }

    fn setxattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        let Some(name) = name.to_str().map(String::from) else { return reply.error(Errno::EINVAL) };
        let (value, mode) = (value.to_vec(), SetMode::from_flags(flags));
        self.run(|fs| async move { empty(fs.setxattr(ino, &name, &value, mode).await, reply) });
    }

    fn getxattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let Some(name) = name.to_str().map(String::from) else { return reply.error(Errno::ENODATA) };
        self.run(|fs| async move { xattr(fs.getxattr(ino, &name).await, size, reply) });
    }

    fn listxattr(&self, _req: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        self.run(|fs| async move { xattr(fs.listxattr(ino).await, size, reply) });
    }

    fn removexattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let Some(name) = name.to_str().map(String::from) else { return reply.error(Errno::ENODATA) };
        self.run(|fs| async move { empty(fs.removexattr(ino, &name).await, reply) });
    }

    fn access(&self, req: &Request, ino: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        empty(self.fs.access(caller(req), ino, mask), reply);
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let (name, caller): (OsString, Caller) = (name.to_owned(), caller(req));
        let (access, exclusive) = (Access::from_flags(flags), flags & libc::O_EXCL != 0);
        self.run(|fs| async move {
            match fs.create(caller, parent, &name, mode & !umask, access, exclusive).await {
                Ok((attr, fh)) => {
                    reply.created(
                        &fs.believed(attr.ino),
                        &attr,
                        GENERATION,
                        fh,
                        FopenFlags::FOPEN_KEEP_CACHE,
                    );
                }
                Err(failure) => reply.error(failure.errno),
            }
        });
    }

    fn fallocate(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        self.run(|fs| async move { empty(fs.fallocate(fh, offset, length, mode), reply) });
    }
}

/// The kernel passes over the attributes of `.` and `..`.
fn add_dot(reply: &mut ReplyDirectoryPlus, next: u64, name: &str, ino: INodeNo) -> bool {
    let epoch = SystemTime::UNIX_EPOCH;
    let attr = FileAttr {
        ino,
        size: 0,
        blocks: 0,
        atime: epoch,
        mtime: epoch,
        ctime: epoch,
        crtime: epoch,
        kind: FileType::Directory,
        perm: 0o700,
        nlink: 2,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 0,
        flags: 0,
    };
    reply.add(ino, next, name, &std::time::Duration::ZERO, &attr, GENERATION)
}
