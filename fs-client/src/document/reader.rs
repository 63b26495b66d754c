//! Reading a pinned version: fetched ahead by a window that doubles while access is sequential.
//!
//! One reader per open handle, so that two programs reading one file do not look like one that jumps about.
//! The kernel sends the parts of one read-ahead at the same time and in any order, so *sequential* allows
//! for some slack.
//!
//! Round trips: none when the window covers the read; else one, with as many more in flight behind it as the
//! window holds. Copies: none when one fetch covers the read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use sss_common::limits::BLOCK_SIZE;
use sss_common::wire::fs::Pin;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::remote::retries::{FETCHED_AHEAD, GIVEN_UP};
use crate::remote::{self, Remote, RemoteError};

/// The largest window.
pub const WINDOW_MAX: usize = 8 * 1024 * 1024;
/// The largest single fetch.
pub const FETCH_MAX: usize = 2 * 1024 * 1024;
/// How far behind or ahead of the last read a read still counts as sequential.
const SLACK: u64 = 1024 * 1024;
/// What a handle keeps of what it fetched.
const KEPT_MAX: usize = 2 * WINDOW_MAX;
/// What all handles of a mount keep together; nothing is fetched ahead beyond it.
const KEPT_BY_ALL_MAX: usize = 128 * 1024 * 1024;

const BLOCK: u64 = BLOCK_SIZE as u64;

/// What is read.
#[derive(Clone)]
pub struct Pinned {
    /// The server that has it.
    pub remote: Arc<dyn Remote>,
    /// The document and the version that is pinned.
    pub pin: Pin,
    /// The version's size in bytes.
    pub size: u64,
    /// Bytes that all readers of the mount hold.
    pub held: Arc<AtomicUsize>,
}

/// An open handle's place in a document and what was fetched around it.
#[derive(Default)]
pub struct Reader {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pin: Option<Pin>,
    front: u64,
    window: usize,
    used: u64,
    fetches: BTreeMap<u64, Fetch>,
}

/// Bytes that are there or on their way.
type Fetched = Shared<BoxFuture<'static, Result<Bytes, Unfetched>>>;

#[derive(Clone)]
enum Unfetched {
    /// Another read of the handle dropped it.
    GivenUp,
    Failed(RemoteError),
}

struct Fetch {
    end: u64,
    used: u64,
    bytes: Fetched,
    task: AbortHandle,
    held: Arc<AtomicUsize>,
    length: usize,
}

impl Drop for Fetch {
    fn drop(&mut self) {
        // Another read of this handle may wait for it still.
        if self.bytes.strong_count().is_none_or(|waiting| waiting <= 1) {
            self.task.abort();
        }
        self.held.fetch_sub(self.length, Ordering::Relaxed);
    }
}

impl Reader {
    /// Bytes of the version; fewer than asked for only at its end.
    pub async fn read(
        &self,
        source: &Pinned,
        runtime: &Handle,
        offset: u64,
        length: usize,
    ) -> remote::Result<Bytes> {
        let end = offset.saturating_add(length as u64).min(source.size);
        if offset >= end {
            return Ok(Bytes::new());
        }
        let (mut given_up, mut failed) = (0, 0);
        loop {
            let (parts, fresh) = self.state.lock().cover(source, runtime, offset, end);
            let error = match join(parts, offset, end).await {
                Ok(bytes) => return Ok(bytes),
                Err(Unfetched::GivenUp) if given_up < GIVEN_UP.repeats() => {
                    given_up += 1;
                    continue;
                }
                Err(Unfetched::GivenUp) => RemoteError::Unreachable("the read was given up".into()),
                Err(Unfetched::Failed(error)) => error,
            };
            self.forget();
            // What was fetched ahead may have failed long ago.
            let again = !fresh && matches!(error, RemoteError::Unreachable(_));
            if !again || failed == FETCHED_AHEAD.repeats() {
                return Err(error);
            }
            failed += 1;
        }
    }

    /// Drops everything that was fetched.
    pub fn forget(&self) {
        *self.state.lock() = State::default();
    }
}

type Part = (u64, Fetched);

async fn join(parts: Vec<Part>, offset: u64, end: u64) -> Result<Bytes, Unfetched> {
    let mut whole = BytesMut::new();
    for (start, bytes) in parts {
        let bytes = bytes.await?;
        let from = offset.saturating_sub(start) as usize;
        let to = (end - start).min(bytes.len() as u64) as usize;
        let bytes = bytes.slice(from.min(to)..to);
        if bytes.len() as u64 == end - offset {
            return Ok(bytes);
        }
        whole.reserve((end - offset) as usize - whole.len());
        whole.extend_from_slice(&bytes);
    }
    Ok(whole.freeze())
}

impl State {
    /// Sees to it that `offset..end` and the window behind it are on their way. Says whether this read began
    /// its own fetch.
    fn cover(&mut self, source: &Pinned, runtime: &Handle, offset: u64, end: u64) -> (Vec<Part>, bool) {
        if self.pin != Some(source.pin) {
            *self = State { pin: Some(source.pin), ..State::default() };
        }
        self.used += 1;
        let ahead = self.advance(source, offset, end);
        let fresh = self.fetch(source, runtime, offset, end, (end - offset) as usize);
        if ahead > end {
            self.fetch(source, runtime, end, ahead, self.window / 4);
        }
        let mut parts = Vec::new();
        for (&start, fetch) in self.fetches.range_mut(..end) {
            if fetch.end > offset {
                fetch.used = self.used;
                parts.push((start, fetch.bytes.clone()));
            }
        }
        self.evict(offset, end, source.held.load(Ordering::Relaxed) > KEPT_BY_ALL_MAX);
        (parts, fresh)
    }

    /// Moves the window; answers up to where to fetch.
    fn advance(&mut self, source: &Pinned, offset: u64, end: u64) -> u64 {
        let near = self.front.saturating_sub(SLACK)..=self.front + SLACK.max(self.window as u64);
        if !near.contains(&offset) {
            self.window = BLOCK_SIZE;
            self.front = end;
            return end;
        }
        if end > self.front {
            self.front = end;
            self.window = (self.window * 2).clamp(BLOCK_SIZE, WINDOW_MAX);
        }
        if source.held.load(Ordering::Relaxed) > KEPT_BY_ALL_MAX {
            return end;
        }
        // Refilled by halves, so that each fetch is worth its round trip.
        match self.covered(end) < end + self.window as u64 / 2 {
            true => (self.front + self.window as u64).min(source.size),
            false => end,
        }
    }

    /// Up to where everything from `from` on is there or on its way.
    fn covered(&self, from: u64) -> u64 {
        let mut at = from;
        while let Some((_, fetch)) = self.fetches.range(..=at).next_back().filter(|(_, f)| f.end > at) {
            at = fetch.end;
        }
        at
    }

    /// Fetches what of `from..to` is not there, in whole blocks, `step` bytes or so at a time.
    fn fetch(&mut self, source: &Pinned, runtime: &Handle, from: u64, to: u64, step: usize) -> bool {
        let step = (step.div_ceil(BLOCK_SIZE) * BLOCK_SIZE).clamp(BLOCK_SIZE, FETCH_MAX) as u64;
        let to = (to.div_ceil(BLOCK) * BLOCK).min(source.size);
        let mut at = from / BLOCK * BLOCK;
        let mut began = false;
        while at < to {
            if let Some((_, there)) = self.fetches.range(..=at).next_back().filter(|(_, f)| f.end > at) {
                at = there.end;
                continue;
            }
            let next = self.fetches.range(at..).next().map_or(u64::MAX, |(&start, _)| start);
            let end = (at + step).min(to).min(next);
            self.fetches.insert(at, begin(source, runtime, at, (end - at) as usize, self.used));
            began = true;
            at = end;
        }
        began
    }

    /// Drops what was not used for longest until the rest is within the budget; when all handles together
    /// are beyond theirs (`short`), everything that is there and that this read does not need.
    fn evict(&mut self, offset: u64, end: u64, short: bool) {
        if short {
            let needed = |start: u64, fetch: &Fetch| start < end && fetch.end > offset;
            self.fetches.retain(|start, fetch| needed(*start, fetch) || !fetch.task.is_finished());
        }
        let mut held: usize = self.fetches.values().map(|fetch| fetch.length).sum();
        // Behind a sequential reader nothing is needed again: the kernel has it.
        if self.window > BLOCK_SIZE {
            let line = end.saturating_sub(2 * SLACK);
            self.fetches.retain(|_, fetch| fetch.end > line);
            held = self.fetches.values().map(|fetch| fetch.length).sum();
        }
        while held > KEPT_MAX {
            let oldest = self.fetches.iter().min_by_key(|(_, fetch)| fetch.used).map(|(&start, _)| start);
            let Some(fetch) = oldest.and_then(|start| self.fetches.remove(&start)) else { break };
            held -= fetch.length;
        }
    }
}

fn begin(source: &Pinned, runtime: &Handle, offset: u64, length: usize, used: u64) -> Fetch {
    let (remote, pin) = (source.remote.clone(), source.pin);
    let task = runtime.spawn(async move {
        let bytes = remote.read(pin, offset, length).await?;
        match bytes.len() == length {
            true => Ok(bytes),
            false => Err(RemoteError::Unreachable("the server sent fewer bytes than the version has".into())),
        }
    });
    let abort = task.abort_handle();
    source.held.fetch_add(length, Ordering::Relaxed);
    Fetch {
        end: offset + length as u64,
        used,
        bytes: outcome(task).boxed().shared(),
        task: abort,
        held: source.held.clone(),
        length,
    }
}

async fn outcome(task: tokio::task::JoinHandle<remote::Result<Bytes>>) -> Result<Bytes, Unfetched> {
    match task.await {
        Ok(outcome) => outcome.map_err(Unfetched::Failed),
        Err(_) => Err(Unfetched::GivenUp),
    }
}
