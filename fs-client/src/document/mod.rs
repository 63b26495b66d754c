//! What is open: a pinned version to read, and a draft of what was written over it.
//!
//! A [`Document`] is shared by all handles of its inode, as POSIX expects: one [`draft::Draft`], one base
//! version; `state` says what it can be and how that changes. Each handle has its own [`reader::Reader`].
//! Drafts live in the mount's [`spool::Pool`]; [`body`] says what a check-in sends and [`upload`] sends it;
//! [`pins`] gives pins back; `unsaved` is how a draft leaves a mount that ends, and comes back in the next one.

mod block;
pub mod body;
pub mod checkin;
pub mod draft;
mod error;
pub mod pins;
pub mod ranges;
mod read;
pub mod reader;
pub mod spool;
mod state;
#[cfg(test)]
mod tests;
mod unsaved;
pub mod upload;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use sss_common::limits::BLOCK_SIZE;
use sss_common::wire::fs::{Attr, Pin};
use sss_common::{Clock, FileTime, Kind, NodeId};
use tokio::runtime::Handle;

use crate::remote::Remote;
use draft::Draft;
pub use error::{Error, Result};
use pins::Closer;
use spool::Pool;
use state::{CheckIn, Fate, ReadRight, State, WriteRun};
pub use unsaved::{Leaving, Unsaved};
use upload::Upload;

/// What all documents of a mount share.
pub struct Shared {
    /// The server that documents are checked out of and into.
    pub remote: Arc<dyn Remote>,
    /// What contents are stamped by.
    pub clock: Arc<dyn Clock>,
    /// Where fetches and uploads run as tasks.
    pub runtime: Handle,
    /// Memory and spool file that all drafts share.
    pub pool: Arc<Pool>,
    /// Gives pins back to the server in the background.
    pub closer: Arc<Closer>,
    /// Bytes that all readers hold together.
    pub held: Arc<AtomicUsize>,
}

/// An open document.
pub struct Document {
    shared: Arc<Shared>,
    /// Whether a copy of the draft is made also where the server does not have the base any more.
    alone: bool,
    /// Reached through [`Document::state`] only.
    locked: Mutex<State>,
    /// How often it was locked.
    #[cfg(test)]
    looks: AtomicUsize,
    /// One check-in at a time.
    commit: tokio::sync::Mutex<()>,
    /// One question about the right at a time.
    asking: tokio::sync::Mutex<()>,
}

impl Document {
    /// An open document with no changes. `pinned`: the caller's `open` pinned `attr.version`.
    pub fn new(shared: Arc<Shared>, attr: Attr, pinned: bool, asked_at: Instant) -> Arc<Self> {
        Document::with_base(shared, attr, pinned, asked_at, false)
    }

    fn with_base(shared: Arc<Shared>, attr: Attr, pinned: bool, asked_at: Instant, alone: bool) -> Arc<Self> {
        let state = State {
            draft: Draft::new(shared.pool.clone(), shared.clock.clone(), attr.size),
            upload: None,
            run: WriteRun::default(),
            pinned,
            handles: 0,
            checkin: CheckIn::Settled,
            fate: Fate::Live,
            right: ReadRight::new(&attr.right, asked_at),
            attr,
        };
        Arc::new(Document {
            shared,
            alone,
            locked: Mutex::new(state),
            #[cfg(test)]
            looks: AtomicUsize::new(0),
            commit: Default::default(),
            asking: Default::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        #[cfg(test)]
        self.looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.locked.lock()
    }

    /// One handle more.
    pub fn retain(&self) {
        self.state().handles += 1;
    }

    /// One handle less; answers how many are left.
    pub fn release(&self) -> usize {
        let mut state = self.state();
        state.handles = state.handles.saturating_sub(1);
        state.handles
    }

    /// Handles on it.
    pub fn handles(&self) -> usize {
        self.state().handles
    }

    /// Another `open` of the base version succeeded and pinned it.
    pub fn joined(&self, attr: &Attr, asked_at: Instant) {
        let mut state = self.state();
        state.refreshed(&attr.right, asked_at);
        let pin = Pin { node: attr.node, version: attr.version };
        if !state.pinned && state.attr.version == attr.version {
            state.pinned = true;
        } else {
            self.shared.closer.give_back(pin);
        }
    }

    /// Gives the pin back; for when the last handle is gone.
    pub fn unpin(&self) {
        let mut state = self.state();
        if std::mem::take(&mut state.pinned) {
            self.shared.closer.give_back(state.base());
        }
    }

    /// The attributes, the draft's changes included.
    pub fn attr(&self) -> Attr {
        self.state().local_attr()
    }

    /// Which document.
    pub fn node(&self) -> NodeId {
        self.state().attr.node
    }

    /// Whether a check-in is under way: the server may already show its version.
    pub fn is_in_flight(&self) -> bool {
        self.state().checkin.is_under_way()
    }

    /// Whether there is something to check in.
    pub fn is_dirty(&self) -> bool {
        self.state().is_dirty()
    }

    /// Whether nobody can take the right away: the document lies in the user's own home.
    pub fn is_owned(&self) -> bool {
        self.state().attr.right.is_for_good()
    }

    /// When the right to read ends.
    pub fn ends_at(&self) -> Option<Instant> {
        self.state().right.ends_at()
    }

    /// The right's end, for which the caller shall arm a timer: answered once for each end.
    pub fn end_without_timer(&self) -> Option<Instant> {
        self.state().right.end_without_timer()
    }

    /// New attributes that say nothing about content.
    pub fn adopt(&self, attr: &Attr) {
        let mut state = self.state();
        if state.attr.node == attr.node {
            state.attr.mode = attr.mode;
            state.attr.ctime_ns = attr.ctime_ns;
            state.attr.flag = attr.flag;
            if attr.version == state.attr.version {
                state.attr.mtime_ns = attr.mtime_ns;
            }
        }
    }

    /// Somebody was told of the document: its time may have been set since.
    pub fn adopt_time(&self, attr: &Attr) {
        let mut state = self.state();
        if (state.attr.node, state.attr.version) == (attr.node, attr.version) {
            state.attr.mtime_ns = attr.mtime_ns;
        }
    }

    /// The name now belongs to this node and version, after an own rename or with a new flag. False, and
    /// nothing changes, when it may have other content than the base here, as `same` says of that.
    pub fn rebind(&self, attr: &Attr, same: impl Fn(&Attr) -> bool) -> bool {
        let mut state = self.state();
        if !same(&state.attr) {
            return false;
        }
        let before = state.base();
        let moved = before != (Pin { node: attr.node, version: attr.version });
        if moved && std::mem::take(&mut state.pinned) {
            self.shared.closer.give_back(before);
        }
        // The server seals an upload as the flag was when it began.
        if (moved || state.attr.flag != attr.flag)
            && let Some(upload) = state.upload.take()
        {
            upload.abandon();
        }
        state.attr = Attr { size: state.attr.size, ..attr.clone() };
        true
    }

    /// This mount deleted it: what is here stays readable until it is closed, and is never checked in.
    pub fn unlinked(&self) {
        let mut state = self.state();
        state.fate.unlink();
        if let Some(upload) = state.upload.take() {
            upload.abandon();
        }
    }

    /// Whether [`Document::unlinked`] was called.
    pub fn is_unlinked(&self) -> bool {
        self.state().fate.is_unlinked()
    }

    /// The right to read must be asked for again before the next byte.
    pub fn must_ask(&self) {
        self.state().right.must_ask();
    }

    /// Marks it as something to check in though nothing was written.
    pub fn touch(&self) {
        self.state().draft.touch();
    }

    /// Takes a time into the draft if there is one to check in; else the server must be asked.
    pub fn set_mtime(&self, mtime_ns: FileTime) -> bool {
        let mut state = self.state();
        let pending = state.draft.is_changed();
        if pending {
            state.draft.set_mtime(mtime_ns);
        }
        pending
    }

    /// Takes an owner's permission bits into the draft if there is one to check in; else the server must be
    /// asked.
    pub fn set_mode(&self, mode: u32) -> bool {
        let mut state = self.state();
        let pending = state.draft.is_changed() && state.attr.right.owner;
        if pending {
            state.draft.set_mode(mode);
        }
        pending
    }

    /// Writes into the draft, and begins or feeds an upload when a program writes much in a row. No round trip.
    pub fn write(&self, offset: u64, bytes: &Bytes) -> Result<()> {
        let mut state = self.state();
        state.writable()?;
        if !state.attr.right.checkout && state.draft.would_crowd(offset, bytes.len()) {
            return Err(Error::Crowded);
        }
        state.draft.write(offset, bytes)?;
        let end = offset + bytes.len() as u64;
        state.run.wrote(offset, end);
        self.upload(&mut state);
        Ok(())
    }

    fn upload(&self, state: &mut State) {
        let State { upload, draft, .. } = state;
        if let Some(upload) = upload {
            upload.feed(draft);
        } else if state.run.length() >= upload::STREAM_AFTER
            && matches!(state.checkin, CheckIn::Settled)
            && !state.fate.is_unlinked()
        {
            let first = state.run.start.div_ceil(BLOCK_SIZE as u64);
            let (remote, node) = (self.shared.remote.clone(), state.attr.node);
            let mut upload = Upload::begin(&self.shared.runtime, remote, node, state.attr.version, first);
            upload.feed(&mut state.draft);
            state.upload = Some(upload);
        }
    }

    /// Makes the document `size` bytes long, in the draft.
    pub fn truncate(&self, size: u64) -> Result<()> {
        let mut state = self.state();
        state.writable()?;
        state.draft.truncate(size)?;
        state.run = WriteRun { start: size, end: size };
        if let Some(upload) = state.upload.take_if(|upload| upload.reaches(size)) {
            upload.abandon();
        }
        Ok(())
    }

    /// Makes sure that it is at least `size` bytes long.
    pub fn extend(&self, size: u64) -> Result<()> {
        if self.state().draft.size() < size { self.truncate(size) } else { Ok(()) }
    }

    /// Overwrites with zeroes, inside the document's size. What is a hole already stays one.
    pub fn zero(&self, offset: u64, length: u64) -> Result<()> {
        const STEP: u64 = 1024 * 1024;
        static ZEROES: [u8; STEP as usize] = [0; STEP as usize];
        let end = offset.saturating_add(length).min(self.state().draft.size());
        let mut at = offset;
        while at < end {
            let step = (STEP - at % STEP).min(end - at);
            if !self.state().draft.is_hole(at, at + step) {
                self.write(at, &Bytes::from_static(&ZEROES[..step as usize]))?;
            }
            at += step;
        }
        Ok(())
    }
}

/// Whether two versions of a document have the same content: they are one, or one is the other under another flag,
/// which keeps the size and the nanosecond.
pub fn is_same_content(one: &Attr, other: &Attr) -> bool {
    let is_one = one.kind != Kind::File || one.version == other.version;
    one.node == other.node && (is_one || (one.size == other.size && one.mtime_ns == other.mtime_ns))
}
