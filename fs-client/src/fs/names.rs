//! Creating, removing and renaming. One round trip each.

use std::ffi::OsStr;
use std::sync::Arc;

use fuser::{Errno, FileAttr, FileHandle, INodeNo, RenameFlags};
use sss_common::clock::monotonic;
use sss_common::limits::SYMLINK_MAX;
use sss_common::wire::fs::{CreateRequest, RemoveRequest, RenameRequest, Swapped};
use sss_common::{Code, Kind, Name, Version};

use super::io::Access;
use super::{Answer, Caller, Failure, Fs, name_of, new_name};
use crate::document::Document;
use crate::remote::RemoteError;

impl Fs {
    /// Creates and opens a document, or opens what is there unless `exclusive`. Counts one lookup.
    pub async fn create(
        &self,
        caller: Caller,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        access: Access,
        exclusive: bool,
    ) -> Answer<(FileAttr, FileHandle)> {
        let answer = self.make_and_open(caller, parent, name, mode, access, exclusive).await;
        self.noted(parent, "create", answer)
    }

    async fn make_and_open(
        &self,
        caller: Caller,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        access: Access,
        exclusive: bool,
    ) -> Answer<(FileAttr, FileHandle)> {
        self.writable()?;
        let name = new_name(parent, name)?;
        match self.make(parent, &name, Kind::File, mode, None).await {
            Ok(ino) => {
                let fh = self.open_new(ino, access)?;
                Ok((self.shown(ino)?, fh))
            }
            Err(failure) if failure.errno == Errno::EEXIST && !exclusive => {
                let ino = self.lookup(parent, OsStr::new(name.as_str())).await?.ino;
                let fh = self.open(caller, ino, access).await.inspect_err(|_| self.forget(ino, 1))?;
                Ok((self.shown(ino)?, fh))
            }
            Err(failure) => Err(failure),
        }
    }

    /// A new document's draft is dirty, so that closing it makes its first version even when nothing was
    /// written. One that came back under its name (the editors' rule) begins as an empty draft on its last
    /// version.
    fn open_new(&self, ino: INodeNo, access: Access) -> Answer<FileHandle> {
        let attr = self.known(ino)?.attr;
        let entry = self
            .documents
            .entry(ino)
            .or_insert_with(|| Document::new(self.shared.clone(), attr.clone(), false, monotonic()));
        entry.retain();
        let document = entry.value().clone();
        drop(entry);
        self.tree.lock().opened(ino);
        document.touch();
        if attr.version != Version::NONE {
            document.truncate(0).map_err(|error| self.failed(error))?;
        }
        Ok(self.opened(ino, document, access))
    }

    /// An empty document that is not opened, for `mknod(2)`. Counts one lookup.
    pub async fn mknod(self: &Arc<Self>, parent: INodeNo, name: &OsStr, mode: u32) -> Answer<FileAttr> {
        let answer = async {
            self.writable()?;
            match mode & libc::S_IFMT {
                libc::S_IFREG | 0 => {}
                _ => return Err(Failure::new(Errno::EPERM, "a store holds files, folders and links only")),
            }
            let ino = self.make(parent, &new_name(parent, name)?, Kind::File, mode, None).await?;
            let access = Access { read: false, write: true, truncate: false, create: false };
            let made = async {
                let fh = self.open_new(ino, access)?;
                let saved = self.flush(fh).await;
                self.release(fh).await;
                saved.and_then(|()| self.shown(ino))
            };
            made.await.inspect_err(|_| self.forget(ino, 1))
        };
        let answer = answer.await;
        self.noted(parent, "mknod", answer)
    }

    /// A folder. Counts one lookup.
    pub async fn mkdir(&self, parent: INodeNo, name: &OsStr, mode: u32) -> Answer<FileAttr> {
        let answer = async {
            self.writable()?;
            let ino = self.make(parent, &new_name(parent, name)?, Kind::Folder, mode, None).await?;
            self.shown(ino)
        };
        let answer = answer.await;
        self.noted(parent, "mkdir", answer)
    }

    /// A symbolic link. Counts one lookup.
    pub async fn symlink(&self, parent: INodeNo, name: &OsStr, target: &OsStr) -> Answer<FileAttr> {
        let answer = async {
            self.writable()?;
            let name = new_name(parent, name)?;
            let target = target.to_str().ok_or(sss_common::name::NameError::NotUtf8)?;
            if target.len() > SYMLINK_MAX {
                return Err(Failure::new(Errno::ENAMETOOLONG, "the link's target is too long"));
            }
            if target.is_empty() {
                return Err(Failure::new(Errno::ENOENT, "the link's target is empty"));
            }
            let ino = self.make(parent, &name, Kind::Symlink, 0o777, Some(target.into())).await?;
            self.shown(ino)
        };
        let answer = answer.await;
        self.noted(parent, "symlink", answer)
    }

    async fn make(
        &self,
        parent: INodeNo,
        name: &Name,
        kind: Kind,
        mode: u32,
        target: Option<String>,
    ) -> Answer<INodeNo> {
        let request = CreateRequest {
            parent: self.node(parent).await?,
            name: name.clone(),
            kind,
            mode: mode & 0o7777,
            flag: if kind == Kind::Folder { None } else { self.options.flag },
            target,
            copy_of: None,
        };
        let made = self.remote.create(request).await.map_err(|error| self.refused(error))?;
        if let Some(swapped) = made.swapped {
            self.swap(swapped);
        }
        Ok(self.seen(parent, name.clone(), made.attr))
    }

    /// The editors' rule: what the kernel knows as the backup is another node now, with the same content,
    /// and the document will get a new inode under its old name.
    fn swap(&self, swapped: Swapped) {
        let backup = {
            let tree = self.tree.lock();
            tree.current_folder(swapped.folder).and_then(|folder| tree.child(folder, &swapped.name))
        };
        if let Some(ino) = backup {
            self.rebind(ino, swapped.backup, swapped.content_of);
        }
    }

    /// Removes a document or link. Open handles keep what is here.
    pub async fn unlink(&self, parent: INodeNo, name: &OsStr) -> Answer<()> {
        let answer = self.remove(parent, name, false).await;
        self.noted(parent, "unlink", answer)
    }

    /// Removes an empty folder.
    pub async fn rmdir(&self, parent: INodeNo, name: &OsStr) -> Answer<()> {
        let answer = self.remove(parent, name, true).await;
        self.noted(parent, "rmdir", answer)
    }

    async fn remove(&self, parent: INodeNo, name: &OsStr, folder: bool) -> Answer<()> {
        self.writable()?;
        let name = new_name(parent, name).map_err(|failure| match failure.errno {
            Errno::EINVAL => Failure::new(Errno::EPERM, "other users' homes cannot be removed"),
            _ => failure,
        })?;
        let request = RemoveRequest { parent: self.node(parent).await?, name: name.clone(), folder };
        // A check-in of it comes first or not at all: one that met the removal half-way would take it for a
        // deletion by somebody else, and keep its draft as a copy.
        let named = self.tree.lock().child(parent, &name).and_then(|ino| self.document(ino));
        let _turn = match &named {
            Some(document) => Some(document.hold_checkins().await),
            None => None,
        };
        self.remote.remove(request).await.map_err(|error| self.refused(error))?;
        let removed = self.tree.lock().removed(parent, &name);
        if let Some(document) = removed.and_then(|ino| self.document(ino)) {
            document.unlinked();
        }
        Ok(())
    }

    /// Renames. What is dirty under the old name is checked in first.
    pub async fn rename(
        self: &Arc<Self>,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new: &OsStr,
        flags: RenameFlags,
    ) -> Answer<()> {
        let answer = self.move_name(parent, name, new_parent, new, flags).await;
        self.noted(parent, "rename", answer)
    }

    async fn move_name(
        self: &Arc<Self>,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new: &OsStr,
        flags: RenameFlags,
    ) -> Answer<()> {
        self.writable()?;
        if flags.intersects(!RenameFlags::RENAME_NOREPLACE) {
            return Err(Failure::new(Errno::EINVAL, "names cannot be exchanged"));
        }
        let (name, new) = (name_of(name)?, new_name(new_parent, new)?);
        let source = self.tree.lock().child(parent, &name);
        let document = source.and_then(|ino| self.document(ino).map(|document| (ino, document)));
        if let Some((ino, document)) = &document {
            self.checkin(*ino, document).await?;
        }
        let request = RenameRequest {
            parent: self.node(parent).await?,
            name: name.clone(),
            new_parent: self.node(new_parent).await?,
            new_name: new.clone(),
            no_replace: flags.contains(RenameFlags::RENAME_NOREPLACE),
        };
        let renamed = match self.remote.rename(request).await {
            Ok(renamed) => renamed,
            Err(error) => {
                if matches!(error, RemoteError::Refused { code: Code::NotFound, .. }) {
                    self.tree.lock().removed(parent, &name);
                }
                return Err(self.refused(error));
            }
        };
        let (source, _) = self.tree.lock().renamed((parent, &name), (new_parent, new));
        if let Some(source) = source {
            self.rebind(source, renamed.attr, renamed.content_of);
        }
        if let Some(swapped) = renamed.swapped {
            self.swap(swapped);
        }
        Ok(())
    }

    /// There are no hard links: a document's grants, owner and history belong to one name.
    pub fn link(&self, ino: INodeNo) -> Answer<()> {
        let why = "a store has no hard links; use `cp` or `ln -s`";
        self.noted(ino, "link", Err(Failure::new(Errno::EPERM, why)))
    }
}
