//! fuser's trait, call by call: arguments out, call and reply to a task.

use std::ffi::{OsStr, OsString};
use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use fuser::*;
use tokio::runtime::Handle;

use super::reply::{attr, created, data, empty, entries, entry, names, opened, statfs, written, xattr};
use super::span::{Outcome, RequestSpan};
use crate::fs::io::Access;
use crate::fs::lookup::Changes;
use crate::fs::xattr::SetMode;
use crate::fs::{Caller, Fs};

/// Largest write that the kernel sends at once.
const MAX_WRITE: u32 = 1024 * 1024;
/// How far the kernel reads ahead.
const MAX_READAHEAD: u32 = 1024 * 1024;
/// Requests of the kernel that may be under way without a program waiting for them.
const MAX_BACKGROUND: u16 = 256;

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

    /// Answers in a task.
    fn run<F: Future<Output = Outcome> + Send + 'static>(
        &self,
        span: RequestSpan,
        call: impl FnOnce(Arc<Fs>) -> F,
    ) {
        self.runtime.spawn(span.cover(call(self.fs.clone())));
    }
}

fn caller(req: &Request) -> Caller {
    Caller { uid: req.uid() }
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

    fn lookup(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let name = name.to_owned();
        self.run(RequestSpan::new("lookup", req, parent), |fs| async move {
            entry(&fs, fs.lookup(parent, &name).await, reply)
        });
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        self.fs.forget(ino, nlookup);
    }

    fn getattr(&self, req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        self.run(RequestSpan::new("getattr", req, ino), |fs| async move {
            attr(&fs, fs.getattr(ino).await, reply)
        });
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
        self.run(RequestSpan::new("setattr", req, ino), |fs| async move {
            attr(&fs, fs.setattr(caller, ino, fh, changes).await, reply)
        });
    }

    fn readlink(&self, req: &Request, ino: INodeNo, reply: ReplyData) {
        self.run(
            RequestSpan::new("readlink", req, ino),
            |fs| async move { data(fs.readlink(ino).await, reply) },
        );
    }

    fn mknod(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        let name = name.to_owned();
        self.run(RequestSpan::new("mknod", req, parent), |fs| async move {
            entry(&fs, fs.mknod(parent, &name, mode & !umask).await, reply)
        });
    }

    fn mkdir(&self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let name = name.to_owned();
        self.run(RequestSpan::new("mkdir", req, parent), |fs| async move {
            entry(&fs, fs.mkdir(parent, &name, mode & !umask).await, reply)
        });
    }

    fn unlink(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.to_owned();
        self.run(RequestSpan::new("unlink", req, parent), |fs| async move {
            empty(fs.unlink(parent, &name).await, reply)
        });
    }

    fn rmdir(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.to_owned();
        self.run(RequestSpan::new("rmdir", req, parent), |fs| async move {
            empty(fs.rmdir(parent, &name).await, reply)
        });
    }

    fn symlink(&self, req: &Request, parent: INodeNo, link_name: &OsStr, target: &Path, reply: ReplyEntry) {
        let (name, target) = (link_name.to_owned(), target.as_os_str().to_owned());
        self.run(RequestSpan::new("symlink", req, parent), |fs| async move {
            entry(&fs, fs.symlink(parent, &name, &target).await, reply)
        });
    }

    fn rename(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let (name, newname) = (name.to_owned(), newname.to_owned());
        self.run(RequestSpan::new("rename", req, parent), |fs| async move {
            empty(fs.rename(parent, &name, newparent, &newname, flags).await, reply)
        });
    }

    fn link(&self, req: &Request, ino: INodeNo, _newparent: INodeNo, _newname: &OsStr, reply: ReplyEntry) {
        RequestSpan::new("link", req, ino).enter(|| {
            let errno = self.fs.link(ino).err().map_or(Errno::EPERM, |failure| failure.errno);
            reply.error(errno);
            Err(errno)
        });
    }

    fn open(&self, req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let (caller, access) = (caller(req), Access::from_flags(flags.0));
        self.run(RequestSpan::new("open", req, ino), |fs| async move {
            // The pages of an inode are always its version's.
            opened(fs.open(caller, ino, access).await, FopenFlags::FOPEN_KEEP_CACHE, reply)
        });
    }

    fn read(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.run(RequestSpan::new("read", req, ino), |fs| async move {
            data(fs.read(fh, offset, size as usize).await, reply)
        });
    }

    fn write(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let bytes = Bytes::copy_from_slice(data);
        self.run(RequestSpan::new("write", req, ino), |fs| async move {
            written(fs.write(fh, offset, &bytes), reply)
        });
    }

    fn flush(&self, req: &Request, ino: INodeNo, fh: FileHandle, _lock_owner: LockOwner, reply: ReplyEmpty) {
        self.run(RequestSpan::new("flush", req, ino), |fs| async move { empty(fs.flush(fh).await, reply) });
    }

    fn release(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.run(RequestSpan::new("release", req, ino), |fs| async move {
            fs.release(fh).await;
            empty(Ok(()), reply)
        });
    }

    fn fsync(&self, req: &Request, ino: INodeNo, fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.run(RequestSpan::new("fsync", req, ino), |fs| async move { empty(fs.fsync(fh).await, reply) });
    }

    fn opendir(&self, req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        self.run(RequestSpan::new("opendir", req, ino), |fs| async move {
            opened(fs.opendir(ino).await, FopenFlags::empty(), reply)
        });
    }

    fn readdir(&self, req: &Request, ino: INodeNo, fh: FileHandle, offset: u64, reply: ReplyDirectory) {
        self.run(RequestSpan::new("readdir", req, ino), |fs| async move {
            names(&fs, fs.readdir(ino, fh, offset).await, offset, reply)
        });
    }

    fn readdirplus(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        reply: ReplyDirectoryPlus,
    ) {
        self.run(RequestSpan::new("readdirplus", req, ino), |fs| async move {
            entries(&fs, ino, fs.readdir(ino, fh, offset).await, offset, reply)
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

    fn statfs(&self, req: &Request, ino: INodeNo, reply: ReplyStatfs) {
        self.run(RequestSpan::new("statfs", req, ino), |fs| async move { statfs(fs.statfs().await, reply) });
    }

    fn setxattr(
        &self,
        req: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        let Some(name) = name.to_str().map(String::from) else { return reply.error(Errno::EINVAL) };
        let (caller, value, mode) = (caller(req), value.to_vec(), SetMode::from_flags(flags));
        self.run(RequestSpan::new("setxattr", req, ino), |fs| async move {
            empty(fs.setxattr_for(caller, ino, &name, &value, mode).await, reply)
        });
    }

    fn getxattr(&self, req: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let Some(name) = name.to_str().map(String::from) else { return reply.error(Errno::ENODATA) };
        let caller = caller(req);
        self.run(RequestSpan::new("getxattr", req, ino), |fs| async move {
            xattr(fs.getxattr_for(caller, ino, &name).await, size, reply)
        });
    }

    fn listxattr(&self, req: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        let caller = caller(req);
        self.run(RequestSpan::new("listxattr", req, ino), |fs| async move {
            xattr(fs.listxattr_for(caller, ino).await, size, reply)
        });
    }

    fn removexattr(&self, req: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let Some(name) = name.to_str().map(String::from) else { return reply.error(Errno::ENODATA) };
        let caller = caller(req);
        self.run(RequestSpan::new("removexattr", req, ino), |fs| async move {
            empty(fs.removexattr_for(caller, ino, &name).await, reply)
        });
    }

    fn access(&self, req: &Request, ino: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        RequestSpan::new("access", req, ino).enter(|| empty(self.fs.access(caller(req), ino, mask), reply));
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
        self.run(RequestSpan::new("create", req, parent), |fs| async move {
            let answer = fs.create(caller, parent, &name, mode & !umask, access, exclusive).await;
            created(&fs, answer, FopenFlags::FOPEN_KEEP_CACHE, reply)
        });
    }

    fn fallocate(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        self.run(RequestSpan::new("fallocate", req, ino), |fs| async move {
            empty(fs.fallocate(fh, offset, length, mode), reply)
        });
    }
}
