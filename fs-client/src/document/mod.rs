//! What is open: a pinned version to read, and a draft of what was written over it.
//!
//! A [`Document`] is shared by all handles of its inode, as POSIX expects: one [`draft::Draft`], one base version. Each
//! handle has its own [`reader::Reader`]. Drafts live in the mount's [`spool::Pool`]; [`body`] says what a check-in sends and
//! [`upload`] sends it; [`pins`] gives pins back.

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
#[cfg(test)]
mod tests;
pub mod upload;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use sss_common::limits::BLOCK_SIZE;
use sss_common::wire::fs::{Attr, Pin};
use sss_common::{Effective, Kind, NodeId, Version};
use tokio::runtime::Handle;

use crate::remote::Remote;
use checkin::Attempt;
use draft::Draft;
pub use error::{Error, Result};
use pins::Closer;
use reader::Pinned;
use spool::Pool;
use upload::Upload;

/// What all documents of a mount share.
pub struct Shared {
    /// The server.
    pub remote: Arc<dyn Remote>,
    /// Where tasks run.
    pub runtime: Handle,
    /// Room for drafts.
    pub pool: Arc<Pool>,
    /// Takes pins back.
    pub closer: Arc<Closer>,
    /// Bytes that readers hold.
    pub held: Arc<AtomicUsize>,
}

/// An open document.
pub struct Document {
    shared: Arc<Shared>,
    state: Mutex<State>,
    /// One check-in at a time.
    commit: tokio::sync::Mutex<()>,
    /// One question about the right at a time.
    asking: tokio::sync::Mutex<()>,
}

struct State {
    /// As the server knows it: `attr.version` is the base of the draft.
    attr: Attr,
    draft: Draft,
    upload: Option<Upload>,
    /// The last write's end and where that row of writes began.
    row: (u64, u64),
    /// The version that is pinned here, if one is.
    pin: Option<Version>,
    handles: usize,
    in_flight: bool,
    attempt: Option<Attempt>,
    lost: Option<Error>,
    /// What writers hear while the draft is made a conflict copy.
    keeping: Option<Error>,
    unlinked: bool,
    must_ask: bool,
    ends_at: Option<Instant>,
    armed: Option<Instant>,
}

impl Document {
    /// An open document with no changes. `pinned`: the caller's `open` pinned `attr.version`.
    pub fn new(shared: Arc<Shared>, attr: Attr, pinned: bool, asked_at: Instant) -> Arc<Self> {
        let state = State {
            draft: Draft::new(shared.pool.clone(), attr.size),
            upload: None,
            row: (0, 0),
            pin: pinned.then_some(attr.version),
            handles: 0,
            in_flight: false,
            attempt: None,
            lost: None,
            keeping: None,
            unlinked: false,
            must_ask: !attr.right.checkout,
            ends_at: end_of(&attr.right, asked_at),
            armed: None,
            attr,
        };
        Arc::new(Document {
            shared,
            state: Mutex::new(state),
            commit: Default::default(),
            asking: Default::default(),
        })
    }

    /// One handle more.
    pub fn retain(&self) {
        self.state.lock().handles += 1;
    }

    /// One handle less; answers how many are left.
    pub fn release(&self) -> usize {
        let mut state = self.state.lock();
        state.handles = state.handles.saturating_sub(1);
        state.handles
    }

    /// Handles on it.
    pub fn handles(&self) -> usize {
        self.state.lock().handles
    }

    /// Another `open` of the base version succeeded and pinned it.
    pub fn joined(&self, attr: &Attr, asked_at: Instant) {
        let mut state = self.state.lock();
        state.refreshed(&attr.right, asked_at);
        let pin = Pin { node: attr.node, version: attr.version };
        match state.pin {
            None if state.attr.version == attr.version => state.pin = Some(attr.version),
            _ => self.shared.closer.give_back(pin),
        }
    }

    /// Gives the pin back; for when the last handle is gone.
    pub fn unpin(&self) {
        let mut state = self.state.lock();
        if let Some(version) = state.pin.take() {
            self.shared.closer.give_back(Pin { node: state.attr.node, version });
        }
    }

    /// The attributes, the draft's changes included.
    pub fn attr(&self) -> Attr {
        self.state.lock().local_attr()
    }

    /// Which document.
    pub fn node(&self) -> NodeId {
        self.state.lock().attr.node
    }

    /// Whether a check-in is under way: the server may already show its version.
    pub fn is_in_flight(&self) -> bool {
        self.state.lock().in_flight
    }

    /// Whether there is something to check in.
    pub fn is_dirty(&self) -> bool {
        let state = self.state.lock();
        state.draft.is_changed() && !state.unlinked && state.lost.is_none()
    }

    /// Whether the server is needed for a permission that it gave earlier.
    pub fn is_owned(&self) -> bool {
        self.state.lock().attr.right.owner
    }

    /// When the right to read ends.
    pub fn ends_at(&self) -> Option<Instant> {
        self.state.lock().ends_at
    }

    /// Whether the caller shall arm a timer for `end`: true once for each end.
    pub fn arm(&self, end: Instant) -> bool {
        self.state.lock().armed.replace(end) != Some(end)
    }

    /// New attributes that say nothing about content.
    pub fn adopt(&self, attr: &Attr) {
        let mut state = self.state.lock();
        if state.attr.node == attr.node {
            state.attr.mode = attr.mode;
            state.attr.ctime_ns = attr.ctime_ns;
            state.attr.flag = attr.flag;
            if attr.version == state.attr.version {
                state.attr.mtime_ns = attr.mtime_ns;
            }
        }
    }

    /// The name now belongs to this node and version, after an own rename or with a new flag. False, and nothing changes, when it
    /// may have other content than the base here.
    pub fn rebind(&self, attr: &Attr) -> bool {
        let mut state = self.state.lock();
        if !is_same_content(&state.attr, attr) {
            return false;
        }
        let before = Pin { node: state.attr.node, version: state.attr.version };
        let moved = before != (Pin { node: attr.node, version: attr.version });
        if moved && let Some(version) = state.pin.take() {
            self.shared.closer.give_back(Pin { version, ..before });
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
        let mut state = self.state.lock();
        state.unlinked = true;
        if let Some(upload) = state.upload.take() {
            upload.abandon();
        }
    }

    /// Whether [`Document::unlinked`] was called.
    pub fn is_unlinked(&self) -> bool {
        self.state.lock().unlinked
    }

    /// The right to read must be asked for again before the next byte.
    pub fn must_ask(&self) {
        self.state.lock().must_ask = true;
    }

    /// Marks it as something to check in though nothing was written.
    pub fn touch(&self) {
        self.state.lock().draft.touch();
    }

    /// Takes a time into the draft if there is one to check in; else the server must be asked.
    pub fn set_mtime(&self, mtime_ns: i64) -> bool {
        let mut state = self.state.lock();
        let pending = state.draft.is_changed();
        if pending {
            state.draft.set_mtime(mtime_ns);
        }
        pending
    }

    /// Takes an owner's permission bits into the draft if there is one to check in; else the server must be asked.
    pub fn set_mode(&self, mode: u32) -> bool {
        let mut state = self.state.lock();
        let pending = state.draft.is_changed() && state.attr.right.owner;
        if pending {
            state.draft.set_mode(mode);
        }
        pending
    }

    /// Writes into the draft, and begins or feeds an upload when a program writes much in a row. No round trip.
    pub fn write(&self, offset: u64, bytes: &Bytes) -> Result<()> {
        let mut state = self.state.lock();
        state.writable()?;
        state.draft.write(offset, bytes)?;
        let end = offset + bytes.len() as u64;
        state.row = if offset == state.row.0 { (end, state.row.1) } else { (end, offset) };
        self.upload(&mut state);
        Ok(())
    }

    fn upload(&self, state: &mut State) {
        let State { upload, draft, .. } = state;
        if let Some(upload) = upload {
            upload.feed(draft);
        } else if state.row.0 - state.row.1 >= upload::STREAM_AFTER
            && !state.in_flight
            && !state.unlinked
            && state.attempt.is_none()
        {
            let first = state.row.1.div_ceil(BLOCK_SIZE as u64);
            let (remote, node) = (self.shared.remote.clone(), state.attr.node);
            let mut upload = Upload::begin(&self.shared.runtime, remote, node, state.attr.version, first);
            upload.feed(&mut state.draft);
            state.upload = Some(upload);
        }
    }

    /// Makes the document `size` bytes long, in the draft.
    pub fn truncate(&self, size: u64) -> Result<()> {
        let mut state = self.state.lock();
        state.writable()?;
        state.draft.truncate(size)?;
        state.row = (size, size);
        if let Some(upload) = state.upload.take_if(|upload| upload.reaches(size)) {
            upload.abandon();
        }
        Ok(())
    }

    /// Makes sure that it is at least `size` bytes long.
    pub fn extend(&self, size: u64) -> Result<()> {
        if self.state.lock().draft.size() < size { self.truncate(size) } else { Ok(()) }
    }

    /// Overwrites with zeroes, inside the document's size. What is a hole already stays one.
    pub fn zero(&self, offset: u64, length: u64) -> Result<()> {
        const STEP: u64 = 1024 * 1024;
        static ZEROES: [u8; STEP as usize] = [0; STEP as usize];
        let end = offset.saturating_add(length).min(self.state.lock().draft.size());
        let mut at = offset;
        while at < end {
            let step = (STEP - at % STEP).min(end - at);
            if !self.state.lock().draft.is_hole(at, at + step) {
                self.write(at, &Bytes::from_static(&ZEROES[..step as usize]))?;
            }
            at += step;
        }
        Ok(())
    }
}

impl State {
    fn usable(&self) -> Result<()> {
        self.lost.clone().map_or(Ok(()), Err)
    }

    /// What would be written while the draft is copied would be in neither.
    fn writable(&self) -> Result<()> {
        self.usable()?;
        self.keeping.clone().map_or(Ok(()), Err)
    }

    /// The base is read by its pin; a version of one's own has none until it is needed.
    fn needs_pin(&self) -> bool {
        self.asks() || (self.pin.is_none() && !self.unlinked && self.attr.version != Version::NONE)
    }

    /// Whether the right to read may have ended. What was deleted here is read from what is here.
    fn asks(&self) -> bool {
        if self.unlinked {
            return false;
        }
        self.must_ask || self.ends_at.is_some_and(|end| end <= Instant::now())
    }

    fn refreshed(&mut self, right: &Effective, asked_at: Instant) {
        self.attr.right = *right;
        // An `open` for writing says nothing for those who read.
        self.must_ask = !right.checkout;
        self.ends_at = end_of(right, asked_at);
    }

    fn source(&self, shared: &Shared) -> Pinned {
        Pinned {
            remote: shared.remote.clone(),
            pin: Pin { node: self.attr.node, version: self.attr.version },
            size: self.attr.size,
            held: shared.held.clone(),
        }
    }

    fn local_attr(&self) -> Attr {
        let mut attr = self.attr.clone();
        attr.size = self.draft.size();
        if let Some(mtime_ns) = self.draft.mtime_ns() {
            attr.mtime_ns = mtime_ns;
            attr.ctime_ns = attr.ctime_ns.max(mtime_ns);
        }
        attr.mode = self.draft.mode().unwrap_or(attr.mode);
        attr
    }
}

/// Whether two versions have the same content for certain: they are one, or one is a copy of the other, which keeps
/// the size and the nanosecond.
pub fn is_same_content(one: &Attr, other: &Attr) -> bool {
    let is_one = one.node == other.node && (one.kind != Kind::File || one.version == other.version);
    is_one || (one.size == other.size && one.mtime_ns == other.mtime_ns)
}

/// Counted from when the question was sent: early rather than late. An owner's right does not end.
fn end_of(right: &Effective, asked_at: Instant) -> Option<Instant> {
    right.ends_in_ms.and_then(|ms| asked_at.checked_add(Duration::from_millis(ms)))
}
