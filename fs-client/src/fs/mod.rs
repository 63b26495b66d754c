//! What a mounted store does, without a kernel: one file per family of operations.
//!
//! [`lookup`] names and attributes, [`dir`] listings and room, [`io`] open files, `resize` their sizes,
//! [`names`] create, remove and rename, [`xattr`] extended attributes, [`neighbours`] whose they are; [`rights`] is what makes an end of a
//! right an end, [`conflict`] keeps drafts that could not be checked in, `recover` those that the mount's end finds, `spare` those that its end may not find, [`errno`] is the one table of
//! errors, `refusals` what `user.3s.why` says.

mod attribute;
pub mod conflict;
pub mod dir;
pub mod errno;
pub mod io;
mod links;
pub mod lookup;
pub mod names;
pub mod neighbours;
mod recover;
mod refusals;
mod resize;
pub mod rights;
mod spare;
#[cfg(test)]
mod tests;
pub mod xattr;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use dashmap::DashMap;
use fuser::{Errno, FileHandle, INodeNo};
use parking_lot::{Mutex, RwLock};
use sss_common::wire::fs::HomeRequest;
use sss_common::{Clock, Code, Flag, MachineName, Name, NodeId, SystemClock};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::document::pins::Closer;
use crate::document::spool::Pool;
use crate::document::{self, Document};
use crate::places;
use crate::recovery::Store;
use crate::remote::{Remote, RemoteError};
use crate::tree::mode::{Owner, time};
use crate::tree::{Inode, ROOT, Tree};
use dir::OpenDir;
use errno::Loudness;
pub use errno::{Answer, Failure};
use io::OpenFile;
use refusals::Refusals;
use rights::Pages;
use spare::Spare;

/// How long the kernel may believe names and attributes.
pub const TTL: Duration = Duration::from_secs(1);

/// How a store is mounted.
#[derive(Clone)]
pub struct MountOptions {
    /// The protection of what is created here; the folder's, then the server's default when missing.
    pub flag: Option<Flag>,
    /// Nothing can be changed.
    pub read_only: bool,
    /// Links of others lead out of the mount, too.
    pub follow_symlinks: bool,
    /// Bytes of unsaved data in memory; what is more goes into a sealed spool file.
    pub memory_budget: usize,
    /// Where the spool file is made and unlinked.
    pub spool_folder: PathBuf,
    /// Whose the files are on this machine.
    pub owner: Owner,
    /// This machine's name in the store; stands in the names of conflict copies.
    pub machine: Option<MachineName>,
    /// What contents and conflict copies are stamped by.
    pub clock: Arc<dyn Clock>,
    /// Where drafts are kept that are not on the server when the mount ends.
    pub recovery: Option<Arc<Store>>,
}

impl Default for MountOptions {
    fn default() -> Self {
        MountOptions {
            flag: None,
            read_only: false,
            follow_symlinks: false,
            memory_budget: 256 * 1024 * 1024,
            spool_folder: spool_folder(),
            owner: Owner { uid: rustix::process::getuid().as_raw(), gid: rustix::process::getgid().as_raw() },
            machine: None,
            clock: Arc::new(SystemClock),
            recovery: None,
        }
    }
}

/// On a disk rather than in memory, which the spool is to spare: the user's cache folder, or `/var/tmp`.
fn spool_folder() -> PathBuf {
    let own =
        places::cache().map(|cache| cache.join("3s")).filter(|own| std::fs::create_dir_all(own).is_ok());
    own.unwrap_or_else(|| "/var/tmp".into())
}

/// Who calls, on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// User id; 0 is not held to an owner's own permission bits.
    pub uid: u32,
}

/// A mounted store.
pub struct Fs {
    remote: Arc<dyn Remote>,
    options: MountOptions,
    shared: Arc<document::Shared>,
    tree: Mutex<Tree>,
    root: tokio::sync::Mutex<bool>,
    documents: DashMap<INodeNo, Arc<Document>>,
    files: DashMap<FileHandle, Arc<OpenFile>>,
    dirs: DashMap<FileHandle, Arc<OpenDir>>,
    next_handle: AtomicU64,
    attributes: xattr::Cache,
    room: Mutex<Option<dir::Room>>,
    refusals: Refusals,
    pages: RwLock<Option<Arc<dyn Pages>>>,
    retry: tokio::sync::Notify,
    giving_up: CancellationToken,
    spares: Mutex<HashMap<INodeNo, Spare>>,
}

impl Fs {
    /// A mount of `remote`'s user's home. No round trip; see [`Fs::start`].
    pub fn new(remote: Arc<dyn Remote>, options: MountOptions, runtime: Handle) -> Arc<Fs> {
        let shared = document::Shared {
            closer: Closer::new(remote.clone(), runtime.clone()),
            pool: Pool::new(options.memory_budget, options.spool_folder.clone()),
            remote: remote.clone(),
            clock: options.clock.clone(),
            runtime,
            held: Arc::default(),
        };
        Arc::new(Fs {
            tree: Mutex::new(Tree::new(remote.uid())),
            remote,
            options,
            shared: Arc::new(shared),
            root: Default::default(),
            documents: DashMap::new(),
            files: DashMap::new(),
            dirs: DashMap::new(),
            next_handle: AtomicU64::new(1),
            attributes: Default::default(),
            room: Mutex::new(None),
            refusals: Refusals::default(),
            pages: RwLock::new(None),
            retry: Default::default(),
            giving_up: CancellationToken::new(),
            spares: Mutex::default(),
        })
    }

    /// Learns the root: a mount that cannot do this has no use. One round trip, the first time.
    pub async fn start(&self) -> Answer<()> {
        let mut known = self.root.lock().await;
        if !*known {
            let attr = self
                .remote
                .home(HomeRequest { uid: self.remote.uid().clone() })
                .await
                .map_err(|error| self.refused(error))?;
            self.tree.lock().set_root(attr);
            *known = true;
        }
        Ok(())
    }

    /// The present moment, as contents are stamped.
    pub fn now(&self) -> SystemTime {
        time(self.options.clock.now_ns())
    }

    /// Where the mount's tasks run.
    pub fn runtime(&self) -> &Handle {
        &self.shared.runtime
    }

    /// What an inode is. The root is asked for when it is not known yet.
    async fn inode(&self, ino: INodeNo) -> Answer<Inode> {
        if ino == ROOT {
            self.start().await?;
        }
        self.known(ino)
    }

    fn known(&self, ino: INodeNo) -> Answer<Inode> {
        let inode = self.tree.lock().inode(ino).cloned();
        inode.ok_or_else(|| Failure::new(Errno::ESTALE, "the file is not known here any more"))
    }

    async fn node(&self, ino: INodeNo) -> Answer<NodeId> {
        Ok(self.inode(ino).await?.attr.node)
    }

    /// Refuses when the session is over for good.
    fn live(&self) -> Answer<()> {
        self.refusals.session_over().map_or(Ok(()), Err)
    }

    fn writable(&self) -> Answer<()> {
        self.live()?;
        match self.options.read_only {
            true => {
                Err(Failure::new(Errno::EROFS, "mounted read-only; mount without `-o ro` to change anything"))
            }
            false => Ok(()),
        }
    }

    /// Turns the server's refusal into a failure; one that ends the session ends the mount's life.
    fn refused(&self, error: RemoteError) -> Failure {
        let replaced = matches!(error, RemoteError::Refused { code: Code::SessionReplaced, .. });
        let failure = Failure::from(error);
        if replaced {
            self.end(failure.clone());
        }
        failure
    }

    fn failed(&self, error: document::Error) -> Failure {
        match error {
            document::Error::Remote(error) => self.refused(error),
            error => error.into(),
        }
    }

    /// Remembers a failure for `user.3s.why` and the log.
    fn noted<T>(&self, ino: INodeNo, operation: &'static str, answer: Answer<T>) -> Answer<T> {
        answer.inspect_err(|failure| self.note(ino, operation, failure))
    }

    fn note(&self, ino: INodeNo, operation: &'static str, failure: &Failure) {
        let Failure { errno, why, request_id } = failure;
        let (errno, request_id) = (errno.code(), request_id.as_deref());
        match failure.loudness() {
            Loudness::Quiet => tracing::trace!(%ino, operation, errno, request_id, %why),
            Loudness::Info => tracing::info!(path = %self.path(ino), operation, errno, request_id, %why),
            Loudness::Warning => tracing::warn!(path = %self.path(ino), operation, errno, request_id, %why),
        }
        if failure.is_refusal() {
            self.refusals.remember(ino, failure);
        }
    }

    /// Where an inode was seen last, for people.
    fn path(&self, ino: INodeNo) -> String {
        let tree = self.tree.lock();
        let mut names = Vec::new();
        let mut at = ino;
        while let Some((parent, name)) = tree.inode(at).and_then(|inode| inode.place.clone()) {
            names.push(name.to_string());
            at = parent;
            if names.len() > sss_common::limits::DEPTH_MAX + 1 {
                break;
            }
        }
        names.reverse();
        format!("/{}", names.join("/"))
    }

    fn handle(&self) -> FileHandle {
        FileHandle(self.next_handle.fetch_add(1, Ordering::Relaxed))
    }

    fn document(&self, ino: INodeNo) -> Option<Arc<Document>> {
        self.documents.get(&ino).map(|entry| entry.value().clone())
    }

    fn is_busy(&self, ino: INodeNo) -> bool {
        self.document(ino).is_some_and(|document| document.is_in_flight())
    }
}

/// A name that the kernel hands over.
fn name_of(name: &OsStr) -> Answer<Name> {
    let text = name.to_str().ok_or(sss_common::name::NameError::NotUtf8)?;
    Ok(text.parse()?)
}

/// A name for something new: in the root those that begin with `@` are other users' homes.
fn new_name(parent: INodeNo, name: &OsStr) -> Answer<Name> {
    let name = name_of(name)?;
    match parent == ROOT && name.is_owner_link() {
        true => Err(Failure::new(
            Errno::EINVAL,
            "names beginning with `@` in a mount's root are other users' homes; choose another name",
        )),
        false => Ok(name),
    }
}
