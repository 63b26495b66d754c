//! Names and attributes.

use std::ffi::OsStr;
use std::time::{Duration, SystemTime};

use fuser::{AccessFlags, Errno, FileAttr, FileHandle, INodeNo};
use sss_common::wire::fs::{Attr, HomeRequest, LookupRequest, NodeRequest, SetAttrRequest};
use sss_common::{Code, Kind, Name};

use super::{Answer, Caller, Failure, Fs, TTL, name_of};
use crate::remote::RemoteError;
use crate::tree::mode::{file_attr, nanos, shown_mode};
use crate::tree::{ROOT, SELF};

/// New attributes, as `setattr` names them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Changes {
    /// Permission bits (`0o7777`).
    pub mode: Option<u32>,
    /// Owner on this machine; it can only be set to what it is.
    pub uid: Option<u32>,
    /// Group on this machine, likewise.
    pub gid: Option<u32>,
    /// Size in bytes.
    pub size: Option<u64>,
    /// Modification time; at any distance from the epoch, before it too.
    pub mtime: Option<SystemTime>,
}

impl Fs {
    /// One name in a folder: counts one lookup. One round trip.
    pub async fn lookup(&self, parent: INodeNo, name: &OsStr) -> Answer<FileAttr> {
        let answer = self.find(parent, name).await;
        self.noted(parent, "lookup", answer)
    }

    async fn find(&self, parent: INodeNo, name: &OsStr) -> Answer<FileAttr> {
        let name = match name_of(name) {
            Ok(name) => name,
            // What cannot be a name is not there; a name that is too long is told so.
            Err(failure) if failure.errno == Errno::ENAMETOOLONG => return Err(failure),
            Err(failure) => return Err(Failure::new(Errno::ENOENT, failure.why)),
        };
        match self.ask(parent, &name).await {
            Ok(ino) => Ok(self.shown(ino)?),
            Err(failure) => self.remembered(parent, &name, failure),
        }
    }

    async fn ask(&self, parent: INodeNo, name: &Name) -> Answer<INodeNo> {
        self.live()?;
        let folder = self.node(parent).await?;
        let attr = match (parent, name.as_str().strip_prefix('@')) {
            (ROOT, Some(owner)) if owner == self.remote.uid().as_str() => return Ok(SELF),
            (ROOT, Some(owner)) => {
                let missing = |_| Failure::new(Errno::ENOENT, "no such user");
                self.remote.home(HomeRequest { uid: owner.parse().map_err(missing)? }).await
            }
            _ => self.remote.lookup(LookupRequest { parent: folder, name: name.clone() }).await,
        };
        match attr {
            Ok(attr) => Ok(self.seen(parent, name.clone(), attr)),
            Err(error) => {
                if matches!(error, RemoteError::Refused { code: Code::NotFound, .. }) {
                    self.vanished(parent, name);
                }
                Err(self.refused(error))
            }
        }
    }

    /// The server says that `attr` stands under a name; counts one lookup.
    pub(super) fn seen(&self, parent: INodeNo, name: Name, attr: Attr) -> INodeNo {
        let ino = self.tree.lock().seen(Some((parent, name)), attr.clone(), |ino| self.is_busy(ino));
        if let Some(document) = self.document(ino) {
            document.adopt_time(&attr);
        }
        ino
    }

    fn vanished(&self, parent: INodeNo, name: &Name) {
        self.tree.lock().removed(parent, name);
    }

    /// When the session is gone, what is known stays to be seen, so that `user.3s.why` can be read on it.
    fn remembered(&self, parent: INodeNo, name: &Name, failure: Failure) -> Answer<FileAttr> {
        if !self.refusals.is_session_over() && failure.errno.code() != libc::EKEYEXPIRED {
            return Err(failure);
        }
        let mut tree = self.tree.lock();
        let Some(ino) = tree.child(parent, name) else { return Err(failure) };
        tree.looked_up(ino);
        drop(tree);
        self.shown(ino)
    }

    /// An inode's attributes, an own open draft's changes included.
    pub(super) fn shown(&self, ino: INodeNo) -> Answer<FileAttr> {
        let mut attr = self.known(ino)?.attr;
        if let Some(document) = self.document(ino) {
            let right = attr.right;
            attr = Attr { right, ..document.attr() };
        }
        Ok(file_attr(ino, &attr, self.options.owner))
    }

    /// How long the kernel may believe what it was told of an inode: what lies in somebody else's home, who may take it
    /// away or change it at any time, not at all.
    pub fn believed(&self, ino: INodeNo) -> Duration {
        let owned = self.tree.lock().inode(ino).is_some_and(|inode| inode.attr.right.is_for_good());
        if owned || ino == SELF { TTL } else { Duration::ZERO }
    }

    /// Attributes. No round trip for what is open and dirty; else one.
    pub async fn getattr(&self, ino: INodeNo) -> Answer<FileAttr> {
        let answer = self.stat(ino).await;
        self.noted(ino, "getattr", answer)
    }

    async fn stat(&self, ino: INodeNo) -> Answer<FileAttr> {
        if ino == SELF || self.refusals.is_session_over() {
            return self.shown(ino);
        }
        let document = self.document(ino);
        if document.as_ref().is_some_and(|document| document.is_dirty() || document.is_unlinked()) {
            return self.shown(ino);
        }
        let inode = match self.inode(ino).await {
            Ok(inode) => inode,
            Err(_) if ino == ROOT && self.refusals.is_session_over() => return self.shown(ino),
            Err(failure) => return Err(failure),
        };
        match self.remote.attr(NodeRequest { node: inode.attr.node }).await {
            Ok(attr) => {
                let moved = attr.version != inode.attr.version && inode.attr.kind != Kind::Folder;
                if moved && document.is_none() && !self.is_busy(ino) && attr.version > inode.attr.version {
                    // The kernel walks the path again and finds the new version's inode.
                    return Err(Failure::moved_on());
                }
                self.tree.lock().refreshed(ino, &attr);
                if let Some(document) = document {
                    document.adopt(&attr);
                }
                self.shown(ino)
            }
            // What is open stays to be seen though it was deleted elsewhere.
            Err(RemoteError::Refused { code: Code::NotFound, .. }) if document.is_some() => self.shown(ino),
            Err(error) => {
                let failure = self.refused(error);
                match self.refusals.is_session_over() || failure.errno.code() == libc::EKEYEXPIRED {
                    true => self.shown(ino),
                    false => Err(failure),
                }
            }
        }
    }

    /// Changes attributes. An own dirty draft takes mode and time along with its check-in; else one round trip.
    pub async fn setattr(
        &self,
        caller: Caller,
        ino: INodeNo,
        fh: Option<FileHandle>,
        changes: Changes,
    ) -> Answer<FileAttr> {
        let answer = self.change(caller, ino, fh, changes).await;
        self.noted(ino, "setattr", answer)
    }

    async fn change(
        &self,
        caller: Caller,
        ino: INodeNo,
        fh: Option<FileHandle>,
        changes: Changes,
    ) -> Answer<FileAttr> {
        self.writable()?;
        self.chown(changes)?;
        if let Some(size) = changes.size {
            self.resize(caller, ino, fh, size).await?;
        }
        let mut mode = changes.mode.map(|mode| mode & 0o7777);
        let mut mtime_ns = changes.mtime.map(nanos);
        if let Some(document) = self.document(ino) {
            mode = mode.filter(|mode| !document.set_mode(*mode));
            mtime_ns = mtime_ns.filter(|mtime_ns| !document.set_mtime(*mtime_ns));
            if document.is_unlinked() {
                return self.shown(ino);
            }
        }
        if mode.is_some() || mtime_ns.is_some() {
            let node = self.node(ino).await?;
            let request = SetAttrRequest { node, mode, mtime_ns };
            let attr = self.remote.setattr(request).await.map_err(|error| self.refused(error))?;
            self.tree.lock().refreshed(ino, &attr);
            if let Some(document) = self.document(ino) {
                document.adopt(&attr);
            }
        }
        self.shown(ino)
    }

    fn chown(&self, changes: Changes) -> Answer<()> {
        let owner = self.options.owner;
        let same =
            changes.uid.is_none_or(|uid| uid == owner.uid) && changes.gid.is_none_or(|gid| gid == owner.gid);
        match same {
            true => Ok(()),
            false => {
                Err(Failure::new(Errno::EPERM, "the files of a mount belong to the user who mounted it"))
            }
        }
    }

    /// Whether a user may, as the attributes say. No round trip.
    pub fn access(&self, caller: Caller, ino: INodeNo, mask: AccessFlags) -> Answer<()> {
        let mut attr = self.known(ino)?.attr;
        if let Some(document) = self.document(ino) {
            attr.mode = document.attr().mode;
        }
        let bits = shown_mode(&attr);
        let root = caller.uid == 0 && attr.right.owner;
        let allowed = (!mask.contains(AccessFlags::R_OK) || root || bits & 0o400 != 0)
            && (!mask.contains(AccessFlags::W_OK) || root || bits & 0o200 != 0)
            && (!mask.contains(AccessFlags::X_OK) || bits & if root { 0o111 } else { 0o100 } != 0);
        match allowed {
            true => Ok(()),
            false => {
                let why = format!("your right on it: {}", attr.right.as_str());
                self.noted(ino, "access", Err(Failure::new(Errno::EACCES, why)))
            }
        }
    }

    /// The kernel forgets lookups.
    pub fn forget(&self, ino: INodeNo, count: u64) {
        let mut tree = self.tree.lock();
        let open = self.documents.contains_key(&ino);
        if tree.forget(ino, count, open) {
            self.refusals.forget(ino);
        }
    }
}
