//! Open files.
//!
//! Round trips: `open` one, `read` none when it was fetched ahead, `write` none, `flush` and `fsync` one
//! when something is dirty and none when nothing is, `release` none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;
use fuser::{Errno, FileHandle, INodeNo};
use sss_common::clock::monotonic;
use sss_common::wire::fs::{Attr, OpenRequest, Pin};
use sss_common::{Code, Kind, NodeId, Right, Version};

use super::rights::drop_pages;
use super::{Answer, Caller, Failure, Fs};
use crate::document::checkin::is_final;
use crate::document::reader::Reader;
use crate::document::{self, Document, is_same_content};
use crate::remote::RemoteError;
use crate::remote::retries::OVERTAKEN_OPEN;
use crate::tree::ROOT;
use crate::tree::mode::own_bits_allow;

/// An open file handle.
pub struct OpenFile {
    /// The inode that it was opened by.
    pub ino: INodeNo,
    /// What is open, shared with the inode's other handles.
    pub document: Arc<Document>,
    reader: Reader,
    reads: bool,
    pub(super) writes: bool,
    /// Made by this very `open`, and neither closed nor written to since.
    untouched: AtomicBool,
}

impl OpenFile {
    /// What was fetched ahead must be asked for anew.
    pub(super) fn forget_fetched(&self) {
        self.reader.forget();
    }
}

/// What `open` wants, from its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// `O_RDONLY` or `O_RDWR`.
    pub read: bool,
    /// `O_WRONLY`, `O_RDWR` or `O_TRUNC`.
    pub write: bool,
    /// `O_TRUNC`: it is emptied first.
    pub truncate: bool,
    /// `O_CREAT`: it is made if it is not there.
    pub create: bool,
}

impl Access {
    /// `open(2)`'s flags.
    pub fn from_flags(flags: i32) -> Access {
        let mode = flags & libc::O_ACCMODE;
        let (truncate, create) = (flags & libc::O_TRUNC != 0, flags & libc::O_CREAT != 0);
        Access { read: mode != libc::O_WRONLY, write: mode != libc::O_RDONLY || truncate, truncate, create }
    }

    fn want(self) -> Right {
        match (self.read, self.write) {
            (true, true) => Right::Both,
            (false, true) => Right::Checkin,
            (_, false) => Right::Checkout,
        }
    }
}

/// What an answer to `open` means for the inode.
enum Current {
    /// It shows this version.
    Yes,
    /// It never was open, so it has no pages, and shows this newer version from now on.
    Adopted,
    /// An own check-in was faster than the answer; what it pinned is no base for anything.
    Overtaken,
    /// Its pages are an older version's.
    MovedOn,
}

impl Fs {
    /// Checks out: pins the version that the inode shows. ESTALE when the document has moved on, and the kernel
    /// then looks the name up again.
    pub async fn open(&self, caller: Caller, ino: INodeNo, access: Access) -> Answer<FileHandle> {
        let answer = self.checkout(caller, ino, access).await;
        self.noted(ino, "open", answer)
    }

    pub(super) async fn checkout(&self, caller: Caller, ino: INodeNo, access: Access) -> Answer<FileHandle> {
        if access.write {
            self.writable()?;
        }
        self.live()?;
        let inode = self.inode(ino).await?;
        match inode.attr.kind {
            Kind::Folder => return Err(Failure::new(Errno::EISDIR, "it is a folder")),
            Kind::Symlink => return Err(Failure::new(Errno::ELOOP, "it is a symbolic link")),
            Kind::File => {}
        }
        if inode.moved_on {
            return Err(Failure::moved_on());
        }
        let (attr, asked_at) = self.pinned(ino, inode.attr.node, access).await?;
        if let Err(failure) = check_own_bits(caller, &attr, access) {
            self.shared.closer.give_back(Pin { node: attr.node, version: attr.version });
            return Err(failure);
        }
        self.tree.lock().refreshed(ino, &attr);
        let document = self.join(ino, &attr, asked_at);
        let fh = self.opened(ino, document.clone(), access);
        if access.truncate && document.attr().size > 0 {
            document.truncate(0).map_err(|error| self.failed(error))?;
        }
        Ok(fh)
    }

    /// Pins the version that an inode shows, and says when it asked. One round trip, unless an own check-in
    /// is faster.
    async fn pinned(&self, ino: INodeNo, node: NodeId, access: Access) -> Answer<(Attr, Instant)> {
        for _ in 0..OVERTAKEN_OPEN.tries {
            let asked_at = monotonic();
            let request = OpenRequest { node, want: access.want(), version: None };
            let attr = self.remote.open(request).await.map_err(|error| self.refused(error))?;
            let current = self.is_current(ino, &attr);
            if matches!(current, Current::Adopted) {
                // The kernel's size is the older version's. It has no pages here, so nothing waits for
                // anything.
                let pages = self.pages.read().clone();
                drop_pages(pages, vec![ino]).await;
            }
            match current {
                Current::Yes | Current::Adopted => return Ok((attr, asked_at)),
                Current::Overtaken | Current::MovedOn => {
                    self.shared.closer.give_back(Pin { node: attr.node, version: attr.version });
                }
            }
            if matches!(current, Current::MovedOn) {
                break;
            }
        }
        Err(Failure::moved_on())
    }

    /// Whether the inode shows the version that was pinned, or an own check-in is making it.
    fn is_current(&self, ino: INodeNo, attr: &Attr) -> Current {
        let mut tree = self.tree.lock();
        let Some(inode) = tree.inode(ino).filter(|inode| inode.attr.node == attr.node) else {
            return Current::MovedOn;
        };
        let (version, opened) = (inode.attr.version, inode.opened);
        let open = self.documents.contains_key(&ino);
        let current = if attr.version == version || (attr.version < version && open) || self.is_busy(ino) {
            Current::Yes
        } else if attr.version < version {
            Current::Overtaken
        } else if tree.current(attr.node) != Some(ino) {
            Current::MovedOn
        } else if opened || open {
            tree.retire(ino);
            Current::MovedOn
        } else {
            tree.rebind(ino, attr.clone());
            Current::Adopted
        };
        if matches!(current, Current::Yes | Current::Adopted) {
            tree.opened(ino);
        }
        current
    }

    fn join(&self, ino: INodeNo, attr: &Attr, asked_at: Instant) -> Arc<Document> {
        let mut new = false;
        let entry = self.documents.entry(ino).or_insert_with(|| {
            new = true;
            Document::new(self.shared.clone(), attr.clone(), true, asked_at)
        });
        entry.retain();
        let document = entry.value().clone();
        drop(entry);
        if !new {
            document.joined(attr, asked_at);
        }
        self.watch(ino, &document);
        document
    }

    /// Registers a handle on a document that is retained for it already.
    pub(super) fn opened(&self, ino: INodeNo, document: Arc<Document>, access: Access) -> FileHandle {
        let fh = self.handle();
        let new = access.create && document.attr().version == Version::NONE;
        let file = OpenFile {
            ino,
            document,
            reader: Reader::default(),
            reads: access.read,
            writes: access.write,
            untouched: AtomicBool::new(new),
        };
        self.files.insert(fh, Arc::new(file));
        fh
    }

    pub(super) fn file(&self, fh: FileHandle) -> Answer<Arc<OpenFile>> {
        let file = self.files.get(&fh).map(|file| file.value().clone());
        file.ok_or_else(|| Failure::new(Errno::EBADF, "the file is not open"))
    }

    /// Bytes of the pinned version under the draft; fewer than asked for only at the end.
    pub async fn read(&self, fh: FileHandle, offset: u64, length: usize) -> Answer<Bytes> {
        let file = self.file(fh)?;
        let answer = async {
            self.live()?;
            if !file.reads {
                return Err(Failure::new(Errno::EBADF, "the file is open for writing only"));
            }
            let arm = |end| self.arm(file.ino, &file.document, end);
            let bytes = file.document.read(&file.reader, offset, length, arm).await;
            bytes.map_err(|error| self.failed(deleted_elsewhere(error)))
        };
        let answer = answer.await;
        self.noted(file.ino, "read", answer)
    }

    /// Into the draft.
    pub fn write(&self, fh: FileHandle, offset: u64, bytes: &Bytes) -> Answer<usize> {
        let file = self.file(fh)?;
        let answer = self.live().and_then(|()| {
            if !file.writes {
                return Err(Failure::new(Errno::EBADF, "the file is open for reading only"));
            }
            file.untouched.store(false, Ordering::Relaxed);
            file.document.write(offset, bytes).map_err(|error| self.failed(error))
        });
        self.noted(file.ino, "write", answer).map(|()| bytes.len())
    }

    /// Each `close`: checks in when a writing handle finds something dirty, and answers once that is durable.
    ///
    /// A shell's `>` opens, duplicates and closes before the program writes. What `open` made is therefore
    /// not checked in by the first `close` that finds it still empty, or everyone would see an empty version
    /// in between: by the second, by the first write's `close`, by `fsync`, or when the last descriptor
    /// goes. What `open` emptied had content, and a `close` that answers for it says so only once it is gone.
    pub async fn flush(self: &Arc<Self>, fh: FileHandle) -> Answer<()> {
        let file = self.file(fh)?;
        let empty = || file.document.attr().size == 0 && !file.document.is_lost();
        if file.untouched.swap(false, Ordering::Relaxed) && empty() {
            return Ok(());
        }
        let answer = match file.writes {
            true => self.checkin(file.ino, &file.document).await,
            false => Ok(()),
        };
        self.noted(file.ino, "close", answer)
    }

    /// As [`Fs::flush`].
    pub async fn fsync(self: &Arc<Self>, fh: FileHandle) -> Answer<()> {
        let file = self.file(fh)?;
        let answer = self.checkin(file.ino, &file.document).await;
        self.noted(file.ino, "fsync", answer)
    }

    /// The last of a handle: checks in what a memory mapping wrote after the last `close`, and gives the pin
    /// back.
    pub async fn release(self: &Arc<Self>, fh: FileHandle) {
        let Some((_, file)) = self.files.remove(&fh) else { return };
        let (ino, document) = (file.ino, &file.document);
        // As long as others can write, what is dirty is theirs to close.
        let last = || !self.files.iter().any(|other| other.ino == ino && other.writes);
        if file.writes && document.is_dirty() && last() {
            let answer = self.checkin(ino, document).await;
            let _ = self.noted(ino, "release", answer);
        }
        self.left(ino, document);
    }

    /// Checks a document's draft in. A refusal that is final keeps the draft as a conflict copy; after any other, a spare of it
    /// is on the disk.
    pub(super) async fn checkin(self: &Arc<Self>, ino: INodeNo, document: &Arc<Document>) -> Answer<()> {
        let answer = self.try_checkin(ino, document).await;
        self.spared(ino, document, answer).await
    }

    async fn try_checkin(self: &Arc<Self>, ino: INodeNo, document: &Arc<Document>) -> Answer<()> {
        self.live().or_else(|failure| if document.is_dirty() { Err(failure) } else { Ok(()) })?;
        match document.checkin().await {
            Ok(None) => Ok(()),
            Ok(Some(attr)) => {
                self.checked_in(ino, attr);
                Ok(())
            }
            Err(document::Error::Remote(error)) if is_final(&error) && !document.is_unlinked() => {
                self.keep(ino, document, error).await
            }
            Err(_) if document.is_unlinked() => Ok(()),
            Err(error) => {
                self.retry_later();
                Err(self.failed(error))
            }
        }
    }

    /// An own version: the inode moves along with it.
    pub(super) fn checked_in(&self, ino: INodeNo, attr: Attr) {
        let mut tree = self.tree.lock();
        if tree.inode(ino).is_some_and(|inode| inode.attr.node == attr.node) {
            let named = tree.current(attr.node) == Some(ino);
            if named {
                tree.rebind(ino, attr);
            } else {
                tree.refreshed(ino, &attr);
            }
        }
    }

    /// One handle less on a document: the last one gives the pin back, or leaves the draft to be tried again.
    pub(super) fn left(&self, ino: INodeNo, document: &Document) {
        let gone = self.documents.remove_if(&ino, |_, open| open.release() == 0 && !open.is_dirty());
        match gone {
            Some((_, document)) => {
                document.unpin();
                self.forget(ino, 0);
            }
            None if document.handles() == 0 => self.retry_later(),
            None => {}
        }
        self.drop_spares();
    }

    /// An own rename or swap gave the content of a version to what `attr` says, and the name to it. Whoever was
    /// faster may have made the inode's document something else before: then the document gets a new inode, and
    /// what is open stays on its pinned version.
    pub(super) fn rebind(&self, ino: INodeNo, attr: Attr, content_of: Pin) {
        self.bind_to(ino, attr, |shown| {
            shown.node == content_of.node && (shown.kind != Kind::File || shown.version == content_of.version)
        });
    }

    /// An own flag made `attr` what an inode shows, unless somebody else was faster.
    pub(super) fn reflagged(&self, ino: INodeNo, attr: Attr) {
        let made = attr.clone();
        self.bind_to(ino, attr, |shown| is_same_content(shown, &made));
    }

    fn bind_to(&self, ino: INodeNo, attr: Attr, same: impl Fn(&Attr) -> bool) {
        let mut tree = self.tree.lock();
        let same = match self.document(ino) {
            Some(document) => document.rebind(&attr, same),
            None => tree.inode(ino).is_some_and(|inode| same(&inode.attr)),
        };
        match same {
            true => tree.rebind(ino, attr),
            false => tree.retire(ino),
        }
    }

    /// The path that a document was last seen under, for messages.
    pub fn path_of(&self, ino: INodeNo) -> String {
        if ino == ROOT { "/".into() } else { self.path(ino) }
    }
}

/// An owner is held to its own permission bits, as on a local disk; root is not.
fn check_own_bits(caller: Caller, attr: &Attr, access: Access) -> Answer<()> {
    match caller.uid == 0 || own_bits_allow(attr, access.read, access.write) {
        true => Ok(()),
        false => {
            Err(Failure::new(Errno::EACCES, "the document's own permission bits forbid it; see chmod(1)"))
        }
    }
}

/// What was pinned and is not there any more was deleted elsewhere.
fn deleted_elsewhere(error: document::Error) -> document::Error {
    match error {
        document::Error::Remote(RemoteError::Refused { code: Code::NotFound, .. }) => document::Error::Gone,
        error => error,
    }
}
