//! The kernel's calls on a [`State`].

use std::ffi::OsStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use fuser::*;
use rustix::process::{getegid, geteuid};

use super::state::{Body, State};

/// The kernel asks each time: the test may look between two calls.
const TTL: Duration = Duration::ZERO;
const GENERATION: Generation = Generation(0);

/// How long an fsync takes. It counts when it has ended, so that an answer which does not wait for it comes
/// too early for sure.
const SYNC_TIME: Duration = Duration::from_millis(20);

pub(super) struct Adapter(Arc<Mutex<State>>);

impl Adapter {
    pub fn new(state: Arc<Mutex<State>>) -> Adapter {
        Adapter(state)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }

    /// Syncs on a thread of its own, so that other calls go on meanwhile.
    fn sync_slowly(&self, number: u64, reply: ReplyEmpty) {
        let state = self.0.clone();
        thread::spawn(move || {
            thread::sleep(SYNC_TIME);
            empty(lock(&state).sync(number), reply);
        });
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

type Answer<T> = Result<T, rustix::io::Errno>;

fn errno(errno: rustix::io::Errno) -> Errno {
    Errno::from_i32(errno.raw_os_error())
}

fn empty(answer: Answer<()>, reply: ReplyEmpty) {
    match answer {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(errno(error)),
    }
}

fn attr(state: &State, number: u64) -> Answer<FileAttr> {
    let item = state.item(number)?;
    let (kind, size) = match &item.body {
        Body::File(content) => (FileType::RegularFile, content.now.len() as u64),
        Body::Folder(_) => (FileType::Directory, 4096),
    };
    Ok(FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(512),
        atime: item.modified,
        mtime: item.modified,
        ctime: item.modified,
        crtime: item.modified,
        kind,
        perm: (item.mode & 0o7777) as u16,
        nlink: item.links,
        uid: geteuid().as_raw(),
        gid: getegid().as_raw(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    })
}

fn entry(state: &State, number: Answer<u64>, reply: ReplyEntry) {
    match number.and_then(|number| attr(state, number)) {
        Ok(attr) => reply.entry(&TTL, &attr, GENERATION),
        Err(error) => reply.error(errno(error)),
    }
}

impl Filesystem for Adapter {
    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let state = self.state();
        entry(&state, state.find(parent.0, name), reply);
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        match attr(&self.state(), ino.0) {
            Ok(attr) => reply.attr(&TTL, &attr),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn setattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut state = self.state();
        let change = |state: &mut State| -> Answer<FileAttr> {
            if let Some(size) = size {
                state.truncate(ino.0, size)?;
            }
            let item = state.item_mut(ino.0)?;
            item.mode = mode.map_or(item.mode, |mode| mode & 0o7777);
            match mtime {
                Some(TimeOrNow::SpecificTime(at)) => item.modified = at,
                Some(TimeOrNow::Now) => item.modified = SystemTime::now(),
                None => {}
            }
            attr(state, ino.0)
        };
        match change(&mut state) {
            Ok(attr) => reply.attr(&TTL, &attr),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn mkdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let mut state = self.state();
        let made = state.make(parent.0, name, mode & !umask & 0o7777, true);
        entry(&state, made, reply);
    }

    fn create(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let mut state = self.state();
        let made = state.make(parent.0, name, mode & !umask & 0o7777, false);
        match made.and_then(|number| attr(&state, number)) {
            Ok(attr) => reply.created(&TTL, &attr, GENERATION, FileHandle(0), FopenFlags::empty()),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(self.state().remove(parent.0, name), reply);
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(self.state().remove(parent.0, name), reply);
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
        if !(flags - RenameFlags::RENAME_NOREPLACE).is_empty() {
            return reply.error(Errno::EINVAL);
        }
        let keeps_existing = flags.contains(RenameFlags::RENAME_NOREPLACE);
        empty(self.state().rename((parent.0, name), (newparent.0, newname), keeps_existing), reply);
    }

    fn link(&self, _req: &Request, ino: INodeNo, newparent: INodeNo, newname: &OsStr, reply: ReplyEntry) {
        let mut state = self.state();
        let linked = state.link(ino.0, newparent.0, newname).map(|()| ino.0);
        entry(&state, linked, reply);
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.state().content(ino.0) {
            Ok(content) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
                let end = start.saturating_add(size as usize).min(content.len());
                reply.data(&content[start..end]);
            }
            Err(error) => reply.error(errno(error)),
        }
    }

    fn write(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.state().write(ino.0, offset, data) {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn flush(&self, _req: &Request, _ino: INodeNo, _fh: FileHandle, _owner: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.sync_slowly(ino.0, reply);
    }

    fn fsyncdir(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.sync_slowly(ino.0, reply);
    }

    fn readdir(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let state = self.state();
        let entries = match state.entries(ino.0) {
            Ok(entries) => entries,
            Err(error) => return reply.error(errno(error)),
        };
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        for (position, (name, &number)) in (1..).zip(entries).skip(skipped) {
            let is_folder = state.entries(number).is_ok();
            let kind = if is_folder { FileType::Directory } else { FileType::RegularFile };
            if reply.add(INodeNo(number), position, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        // A large and empty disk.
        let blocks = 1 << 28;
        reply.statfs(blocks, blocks, blocks, blocks, blocks, 4096, 255, 4096);
    }
}
