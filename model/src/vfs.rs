//! The kernel's part: walks a path, and calls `Fs` as the VFS would, second tries included.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use fuser::{Errno, FileAttr, FileHandle, FileType, INodeNo, RenameFlags};
use sss_common::Kind;
use sss_fs_client::fs::dir::DirItem;
use sss_fs_client::fs::io::Access;
use sss_fs_client::fs::lookup::Changes;
use sss_fs_client::fs::xattr::SetMode;
use sss_fs_client::fs::{Caller, Failure, Fs};
use sss_fs_client::tree::ROOT;

use crate::answer::{Answer, attribute_line, without_time};
use crate::step::{End, Mode, Path, READ, REDIRECT, Seat, Step, USERS};

/// An ordinary user of each machine.
const CALLER: Caller = Caller { uid: 1000 };

/// What a program hears.
pub(crate) type Tried<T> = Result<T, Failure>;

/// A handle, and what it was opened for.
#[derive(Clone, Copy)]
pub(crate) struct Open {
    pub(crate) fh: FileHandle,
    ino: INodeNo,
    read: bool,
    write: bool,
}

fn access(mode: Mode) -> Access {
    Access { read: mode.read, write: mode.write, truncate: mode.truncate, create: mode.create }
}

fn errno(errno: i32) -> Failure {
    Failure::new(Errno::from_i32(errno), "as the kernel decides")
}

/// As the kernel sorts them.
fn kind(attr: &FileAttr) -> Kind {
    match attr.kind {
        FileType::Directory => Kind::Folder,
        FileType::Symlink => Kind::Symlink,
        _ => Kind::File,
    }
}

fn moment(millis: i64) -> SystemTime {
    let away = Duration::from_millis(millis.unsigned_abs());
    if millis < 0 { UNIX_EPOCH - away } else { UNIX_EPOCH + away }
}

fn millis(moment: SystemTime) -> i64 {
    match moment.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX),
    }
}

fn is_folder(attr: &FileAttr) -> bool {
    attr.kind == FileType::Directory
}

/// The kernel of one seat, as far as paths go.
pub(crate) struct Vfs {
    pub(crate) fs: Arc<Fs>,
    pub(crate) seat: Seat,
}

impl Vfs {
    pub(crate) async fn on_handle(&self, open: Open, step: &Step) -> Tried<Answer> {
        let allowed = match step {
            Step::Read { .. } => open.read,
            Step::Sync { .. } => true,
            _ => open.write,
        };
        if !allowed {
            return Err(errno(libc::EBADF));
        }
        match step {
            Step::Write { at, data, .. } => {
                self.write(open.fh, *at as u64, data.bytes())?;
            }
            Step::Append { data, .. } => {
                let size = self.fs.getattr(open.ino).await?.size;
                self.write(open.fh, size, data.bytes())?;
            }
            Step::Resize { size, .. } => {
                let changes = Changes { size: Some(*size as u64), ..Changes::default() };
                self.fs.setattr(CALLER, open.ino, Some(open.fh), changes).await?;
            }
            Step::Read { at, length, .. } => return self.read(open.fh, *at as u64, *length).await,
            _ => self.fs.fsync(open.fh).await?,
        }
        Ok(Answer::Done)
    }

    pub(crate) async fn on_path(&self, step: &Step) -> Tried<Answer> {
        match step {
            Step::Put { path, data, .. } => {
                let open = self.open(path, REDIRECT).await?;
                let written = self.write(open.fh, 0, data.bytes());
                let closed = self.close(open.fh).await;
                written.and(closed)?;
            }
            Step::Cat { path, .. } => {
                let open = self.open(path, READ).await?;
                let read = self.read(open.fh, 0, 1 << 20).await;
                self.close(open.fh).await?;
                return read;
            }
            Step::Truncate { path, size, .. } => {
                let changes = Changes { size: Some(*size as u64), ..Changes::default() };
                let attr = self.walk(path).await?;
                match kind(&attr) {
                    Kind::Folder => return Err(errno(libc::EISDIR)),
                    Kind::Symlink => return Err(errno(libc::ELOOP)),
                    Kind::File => {}
                }
                match self.fs.setattr(CALLER, attr.ino, None, changes).await {
                    Err(failure) if failure.errno == Errno::ESTALE => {
                        let ino = self.walk(path).await?.ino;
                        self.fs.setattr(CALLER, ino, None, changes).await?;
                    }
                    answer => drop(answer?),
                }
            }
            Step::Mkdir { path, .. } => {
                let (folder, name) = self.walk_above(path).await?;
                if self.look_up(folder, name).await?.is_some() {
                    return Err(errno(libc::EEXIST));
                }
                self.fs.mkdir(folder, OsStr::new(name), 0o755).await?;
            }
            Step::Rmdir { path, .. } => {
                let (folder, name) = self.walk_above(path).await?;
                let attr = self.fs.lookup(folder, OsStr::new(name)).await?;
                if !is_folder(&attr) {
                    return Err(errno(libc::ENOTDIR));
                }
                self.fs.rmdir(folder, OsStr::new(name)).await?;
            }
            Step::Unlink { path, .. } => {
                let (folder, name) = self.walk_above(path).await?;
                let attr = self.fs.lookup(folder, OsStr::new(name)).await?;
                if is_folder(&attr) {
                    return Err(errno(libc::EISDIR));
                }
                self.fs.unlink(folder, OsStr::new(name)).await?;
            }
            Step::Symlink { path, target, .. } => {
                let (folder, name) = self.walk_above(path).await?;
                if self.look_up(folder, name).await?.is_some() {
                    return Err(errno(libc::EEXIST));
                }
                self.fs.symlink(folder, OsStr::new(name), OsStr::new(target)).await?;
            }
            Step::Readlink { path, .. } => {
                let attr = self.walk(path).await?;
                if kind(&attr) != Kind::Symlink {
                    return Err(errno(libc::EINVAL));
                }
                return Ok(Answer::Bytes(self.fs.readlink(attr.ino).await?.to_vec()));
            }
            Step::Rename { from, to, keep, .. } => self.rename(from, to, *keep).await?,
            Step::Stat { path, .. } => {
                let attr = self.walk(path).await?;
                let kind = kind(&attr);
                return Ok(Answer::File { kind, size: if kind == Kind::Folder { 0 } else { attr.size } });
            }
            Step::List { path, .. } => return self.list(path).await,
            Step::Chmod { path, mode, .. } => {
                let changes = Changes { mode: Some(*mode), ..Changes::default() };
                let attr = self.walk(path).await?;
                if kind(&attr) == Kind::Symlink {
                    return Err(errno(libc::ENOTSUP));
                }
                self.fs.setattr(CALLER, attr.ino, None, changes).await?;
            }
            Step::Touch { path, time, .. } => {
                let changes = Changes { mtime: Some(moment(*time)), ..Changes::default() };
                let ino = self.walk(path).await?.ino;
                self.fs.setattr(CALLER, ino, None, changes).await?;
            }
            Step::Time { path, .. } => {
                let ino = self.walk(path).await?.ino;
                return Ok(Answer::Time(millis(self.fs.getattr(ino).await?.mtime)));
            }
            Step::Flag { path, integrity, .. } => {
                let flag: &[u8] = if *integrity { b"integrity" } else { b"confidentiality" };
                let ino = self.walk_to_attributes(path).await?;
                self.fs.setxattr(ino, "user.3s.flag", flag, SetMode::from_flags(0)).await?;
            }
            Step::SetAttribute { path, name, data, how, .. } => {
                let ino = self.walk_to_attributes(path).await?;
                self.fs.setxattr(ino, name, &data.bytes(), SetMode(*how)).await?;
            }
            Step::GetAttribute { path, name, .. } => {
                let attr = self.walk(path).await?;
                if kind(&attr) == Kind::Symlink {
                    return Err(errno(libc::ENODATA));
                }
                return Ok(Answer::Bytes(self.fs.getxattr(attr.ino, name).await?));
            }
            Step::RemoveAttribute { path, name, .. } => {
                let ino = self.walk_to_attributes(path).await?;
                self.fs.removexattr(ino, name).await?;
            }
            Step::Attributes { path, .. } => return self.attributes(path).await,
            Step::Grant { path, to, right, end, .. } => {
                let text = match end {
                    End::In(seconds) => format!("{right},{seconds}s"),
                    End::Unsaid => right.to_string(),
                    End::TooLate => format!("{right},4000d"),
                };
                let ino = self.walk_to_attributes(path).await?;
                let name = format!("user.3s.grant.{to}");
                self.fs.setxattr(ino, &name, text.as_bytes(), SetMode::from_flags(0)).await?;
            }
            Step::Revoke { path, to, .. } => {
                let ino = self.walk_to_attributes(path).await?;
                self.fs.removexattr(ino, &format!("user.3s.grant.{to}")).await?;
            }
            Step::Grants { path, .. } => return self.grants(path).await,
            _ => {}
        }
        Ok(Answer::Done)
    }

    async fn walk(&self, path: &Path) -> Tried<FileAttr> {
        let mut at = self.fs.getattr(ROOT).await?;
        if path.home != self.seat.user() {
            at = self.fs.lookup(ROOT, OsStr::new(&format!("@{}", USERS[path.home]))).await?;
        }
        for name in &path.names {
            if !is_folder(&at) {
                return Err(errno(libc::ENOTDIR));
            }
            at = self.fs.lookup(at.ino, OsStr::new(name)).await?;
        }
        Ok(at)
    }

    /// The kernel lets nobody set or remove `user.*` attributes of a link.
    async fn walk_to_attributes(&self, path: &Path) -> Tried<INodeNo> {
        let attr = self.walk(path).await?;
        if kind(&attr) == Kind::Symlink { Err(errno(libc::EPERM)) } else { Ok(attr.ino) }
    }

    async fn walk_above(&self, path: &Path) -> Tried<(INodeNo, &'static str)> {
        let Some((above, name)) = path.split() else { return Err(errno(libc::EINVAL)) };
        let folder = self.walk(&above).await?;
        if is_folder(&folder) { Ok((folder.ino, name)) } else { Err(errno(libc::ENOTDIR)) }
    }

    async fn look_up(&self, folder: INodeNo, name: &str) -> Tried<Option<FileAttr>> {
        match self.fs.lookup(folder, OsStr::new(name)).await {
            Ok(attr) => Ok(Some(attr)),
            Err(failure) if failure.errno == Errno::ENOENT => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// A number that went stale is walked to once more.
    pub(crate) async fn open(&self, path: &Path, mode: Mode) -> Tried<Open> {
        match self.open_once(path, mode).await {
            Err(failure) if failure.errno == Errno::ESTALE => self.open_once(path, mode).await,
            answer => answer,
        }
    }

    async fn open_once(&self, path: &Path, mode: Mode) -> Tried<Open> {
        let (folder, name) = self.walk_above(path).await?;
        let (ino, fh) = match self.look_up(folder, name).await? {
            Some(attr) if is_folder(&attr) => return Err(errno(libc::EISDIR)),
            Some(attr) => {
                let mode = Mode { create: false, ..mode };
                (attr.ino, self.fs.open(CALLER, attr.ino, access(mode)).await?)
            }
            None if mode.create => {
                let made = self.fs.create(CALLER, folder, OsStr::new(name), 0o644, access(mode), false);
                let (attr, fh) = made.await?;
                (attr.ino, fh)
            }
            None => return Err(errno(libc::ENOENT)),
        };
        Ok(Open { fh, ino, read: mode.read, write: mode.write })
    }

    fn write(&self, fh: FileHandle, at: u64, bytes: Vec<u8>) -> Tried<()> {
        // As the kernel cuts it.
        const CHUNK: usize = 128 * 1024;
        let mut bytes = Bytes::from(bytes);
        let mut at = at;
        while !bytes.is_empty() {
            let chunk = bytes.split_to(bytes.len().min(CHUNK));
            self.fs.write(fh, at, &chunk)?;
            at += chunk.len() as u64;
        }
        Ok(())
    }

    async fn read(&self, fh: FileHandle, at: u64, length: usize) -> Tried<Answer> {
        const CHUNK: usize = 128 * 1024;
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let more = self.fs.read(fh, at + bytes.len() as u64, CHUNK.min(length - bytes.len())).await?;
            if more.is_empty() {
                break;
            }
            bytes.extend_from_slice(&more);
        }
        Ok(Answer::Bytes(bytes))
    }

    pub(crate) async fn close(&self, fh: FileHandle) -> Tried<()> {
        let answer = self.fs.flush(fh).await;
        self.fs.release(fh).await;
        answer
    }

    async fn rename(&self, from: &Path, to: &Path, keep: bool) -> Tried<()> {
        let (above, name) = self.walk_above(from).await?;
        let (below, new) = self.walk_above(to).await?;
        let moved = self.fs.lookup(above, OsStr::new(name)).await?;
        let there = self.look_up(below, new).await?;
        match &there {
            Some(_) if keep => return Err(errno(libc::EEXIST)),
            _ if from.is_above(to) => return Err(errno(libc::EINVAL)),
            _ if to.is_above(from) => return Err(errno(libc::ENOTEMPTY)),
            Some(there) if is_folder(&moved) && !is_folder(there) => return Err(errno(libc::ENOTDIR)),
            Some(there) if !is_folder(&moved) && is_folder(there) => return Err(errno(libc::EISDIR)),
            Some(there) if there.ino == moved.ino => return Ok(()),
            _ => {}
        }
        let flags = if keep { RenameFlags::RENAME_NOREPLACE } else { RenameFlags::empty() };
        self.fs.rename(above, OsStr::new(name), below, OsStr::new(new), flags).await
    }

    async fn list(&self, path: &Path) -> Tried<Answer> {
        let attr = self.walk(path).await?;
        if !is_folder(&attr) {
            return Err(errno(libc::ENOTDIR));
        }
        let fh = self.fs.opendir(attr.ino).await?;
        let mut names = Vec::new();
        let mut at = 0;
        let outcome = loop {
            match self.fs.readdir(attr.ino, fh, at).await {
                Ok(items) if items.is_empty() => break Ok(()),
                Ok(items) => {
                    at += items.len() as u64;
                    names.extend(items.into_iter().filter_map(|item| match item {
                        DirItem::Dot(..) => None,
                        DirItem::Entry(entry, _) => Some(without_time(entry.name.as_str())),
                    }));
                }
                Err(failure) => break Err(failure),
            }
        };
        self.fs.releasedir(fh);
        outcome?;
        names.sort();
        Ok(Answer::Lines(names))
    }

    async fn attributes(&self, path: &Path) -> Tried<Answer> {
        let attr = self.walk(path).await?;
        let names = self.fs.listxattr(attr.ino).await?;
        let mut lines = Vec::new();
        for name in String::from_utf8_lossy(&names).split_terminator('\0') {
            if name.starts_with("user.3s.grant.") {
                continue;
            }
            // The kernel gives no `user.*` attribute of a link out.
            if kind(&attr) == Kind::Symlink {
                return Err(errno(libc::ENODATA));
            }
            lines.push(attribute_line(name, &self.fs.getxattr(attr.ino, name).await?));
        }
        lines.sort();
        Ok(Answer::Lines(lines))
    }

    async fn grants(&self, path: &Path) -> Tried<Answer> {
        let ino = self.walk(path).await?.ino;
        let names = self.fs.listxattr(ino).await?;
        let mut lines = Vec::new();
        for name in String::from_utf8_lossy(&names).split_terminator('\0') {
            if let Some(to) = name.strip_prefix("user.3s.grant.") {
                let value = self.fs.getxattr(ino, name).await?;
                lines.push(format!("{to} {}", String::from_utf8_lossy(&value)));
            }
        }
        lines.sort();
        Ok(Answer::Lines(lines))
    }
}
