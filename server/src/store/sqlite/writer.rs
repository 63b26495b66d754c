//! The one writer: a thread that gathers what many tasks want into one transaction with one fsync.
//!
//! Each call runs in a savepoint of its own inside an IMMEDIATE transaction, so one that fails takes nothing else
//! with it; all are answered after the commit. While a commit waits for the disk the next calls queue up, so under
//! load the groups grow by themselves and a lone call waits for nothing. Cost of a group: one fsync of the log (and
//! now and then a checkpoint).
//!
//! Audit rows that nobody waits for are held for up to [`GATHER`], or go with the next call's transaction; their
//! order among themselves and towards the calls' own rows is that of arrival. Where they cannot be written they are held,
//! every transaction tries them again, and [`Writer::audit_works`] says so meanwhile; of those that would not fit any more
//! a row tells how many they were.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::Connection;
use sss_common::clock::monotonic;
use sss_common::{Clock, SystemClock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::audit;
use super::error::again;
use crate::store::{AuditRow, Result, StoreError};

/// Calls that may wait; further callers wait for room.
const QUEUE: usize = 1024;

/// Most calls in one transaction.
const GROUP: usize = 256;

/// How long audit rows are held when nothing else is written; the contract with the log's readers is a second.
const GATHER: Duration = Duration::from_millis(100);

/// Rows at which they are written at once.
const HELD: usize = 1024;

/// Rows held while the disk takes none; beyond, `audit` fails rather than forget.
pub(super) const HELD_MAX: usize = 64 * 1024;

/// The way to the thread. Dropping it writes what is held and ends the thread.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Item>>,
    room: Arc<Semaphore>,
    log: Arc<Log>,
    thread: Option<JoinHandle<()>>,
}

/// What both sides know of the audit rows that nobody waits for.
#[derive(Default)]
struct Log {
    /// Rows handed over and not yet durable.
    held: AtomicUsize,
    /// Rows that were not taken, and that no row tells of yet.
    lost: AtomicU64,
    /// Why the last attempt to write rows failed.
    failure: Mutex<Option<StoreError>>,
}

enum Item {
    Call(Box<dyn Call>, OwnedSemaphorePermit),
    Audit(Vec<AuditRow>),
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(connection: Connection) -> Result<Self> {
        let (queue, items) = mpsc::channel();
        let log = Arc::new(Log::default());
        let desk = Desk { connection, pending: Vec::new(), since: None, log: log.clone() };
        let thread = std::thread::Builder::new()
            .name("meta-writer".into())
            .spawn(move || desk.serve(&items))
            .map_err(|error| StoreError::Backend(Box::new(error)))?;
        Ok(Writer { queue: Some(queue), room: Arc::new(Semaphore::new(QUEUE)), log, thread: Some(thread) })
    }

    /// Runs `work` in a transaction and returns once it is durable, or failed and undone. Once queued it runs even
    /// if the caller goes away.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let room = self.room.clone().acquire_owned().await.map_err(|_| gone())?;
        let (reply, answer) = oneshot::channel();
        let call = Pending { work: Some(work), outcome: None, reply };
        self.send(Item::Call(Box::new(call), room))?;
        answer.await.map_err(|_| gone())?
    }

    /// Hands over audit rows without waiting; `Full` when too many could not be written.
    pub(super) fn audit(&self, rows: Vec<AuditRow>) -> Result<()> {
        let count = rows.len();
        if self.log.held.fetch_add(count, Ordering::Relaxed) + count > HELD_MAX {
            self.log.held.fetch_sub(count, Ordering::Relaxed);
            self.log.lost.fetch_add(count as u64, Ordering::Relaxed);
            return Err(StoreError::Full);
        }
        self.send(Item::Audit(rows))
    }

    /// The failure of the last attempt to write audit rows, until one succeeds.
    pub(super) fn audit_works(&self) -> Result<()> {
        self.log.failure.lock().as_ref().map_or(Ok(()), |failure| Err(again(failure)))
    }

    fn send(&self, item: Item) -> Result<()> {
        self.queue.as_ref().and_then(|queue| queue.send(item).ok()).ok_or_else(gone)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the metadata writer had panicked");
        }
    }
}

fn gone() -> StoreError {
    StoreError::Backend("the metadata writer has ended".into())
}

/// A queued call, its result's type forgotten.
trait Call: Send {
    /// Does the work; says whether it succeeded.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Answers: with the outcome of `run` when its transaction was committed, else with `failed`.
    fn answer(self: Box<Self>, failed: Option<&StoreError>);
}

struct Pending<T, F> {
    work: Option<F>,
    outcome: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: FnOnce(&Connection) -> Result<T> + Send> Call for Pending<T, F> {
    fn run(&mut self, connection: &Connection) -> bool {
        let Some(work) = self.work.take() else { return false };
        let outcome = self.outcome.insert(in_savepoint(connection, work));
        outcome.is_ok()
    }

    fn answer(self: Box<Self>, failed: Option<&StoreError>) {
        let outcome = match (self.outcome, failed) {
            // What failed by itself keeps its own reason.
            (Some(Err(own)), _) => Err(own),
            (_, Some(failed)) => Err(again(failed)),
            (Some(Ok(value)), None) => Ok(value),
            (None, None) => Err(gone()),
        };
        // A caller that went away does not want to know.
        let _ = self.reply.send(outcome);
    }
}

fn in_savepoint<T>(connection: &Connection, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
    connection.prepare_cached("SAVEPOINT call")?.execute([])?;
    let outcome = work(connection);
    // After a full disk or a failed read SQLite may have rolled everything back; then there is no savepoint.
    if connection.is_autocommit() {
        return outcome.and(Err(StoreError::Backend("the transaction was rolled back".into())));
    }
    if outcome.is_err() {
        connection.prepare_cached("ROLLBACK TO call")?.execute([])?;
    }
    connection.prepare_cached("RELEASE call")?.execute([])?;
    outcome
}

/// What the thread has on its desk.
struct Desk {
    connection: Connection,
    /// Audit rows that are not yet durable, in order.
    pending: Vec<AuditRow>,
    /// Since when the oldest of them waits.
    since: Option<Instant>,
    log: Arc<Log>,
}

impl Desk {
    fn serve(mut self, items: &Receiver<Item>) {
        loop {
            match self.next(items) {
                Ok(first) => self.group(first, items),
                Err(RecvTimeoutError::Timeout) => self.transaction(&mut Vec::new().into_iter()),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.transaction(&mut Vec::new().into_iter());
    }

    fn next(&self, items: &Receiver<Item>) -> std::result::Result<Item, RecvTimeoutError> {
        match self.since {
            None => items.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(since) => items.recv_timeout(GATHER.saturating_sub(since.elapsed())),
        }
    }

    /// Takes what has queued up and commits it; audit rows alone may wait for more.
    fn group(&mut self, first: Item, items: &Receiver<Item>) {
        let group: Vec<Item> = std::iter::once(first).chain(items.try_iter().take(GROUP - 1)).collect();
        let waited_for = group.iter().any(|item| matches!(item, Item::Call(..)));
        let mut group = group.into_iter();
        if !waited_for {
            group.by_ref().for_each(|item| self.hold(item));
        }
        if waited_for || self.pending.len() >= HELD {
            self.transaction(&mut group);
            // More than one only when SQLite rolled a transaction back on its own.
            while !group.as_slice().is_empty() {
                self.transaction(&mut group);
            }
        }
    }

    fn hold(&mut self, item: Item) {
        if let Item::Audit(rows) = item {
            self.since.get_or_insert_with(monotonic);
            self.pending.extend(rows);
        }
    }

    /// One transaction with the rows that are held and as much of the group as it survives; then the answers.
    fn transaction(&mut self, group: &mut std::vec::IntoIter<Item>) {
        let mut calls = Vec::new();
        let mut written = 0;
        let lost = self.log.lost.load(Ordering::Relaxed);
        let committed = self.gather(group, &mut calls, &mut written, lost);
        if committed.is_ok() {
            self.pending.drain(..written);
            self.log.held.fetch_sub(written, Ordering::Relaxed);
            self.log.lost.fetch_sub(lost, Ordering::Relaxed);
        } else if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a failed metadata transaction could not be rolled back");
        }
        self.since = (!self.pending.is_empty()).then(monotonic);
        self.note(&committed, calls.len());
        for (call, _room) in calls {
            call.answer(committed.as_ref().err());
        }
    }

    /// Tells of a failure: one that rows wait for once, as it is tried again and again.
    fn note(&self, committed: &Result<()>, calls: usize) {
        let mut failure = self.log.failure.lock();
        let held = self.pending.len();
        match committed {
            Ok(()) => *failure = None,
            Err(error) => {
                if calls > 0 || failure.is_none() {
                    tracing::error!(%error, calls, held, "metadata was not committed");
                }
                if held > 0 {
                    *failure = Some(again(error));
                }
            }
        }
    }

    fn gather(
        &mut self,
        group: &mut std::vec::IntoIter<Item>,
        calls: &mut Vec<(Box<dyn Call>, OwnedSemaphorePermit)>,
        written: &mut usize,
        lost: u64,
    ) -> Result<()> {
        let begun = self.connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([]));
        if let Err(error) = begun {
            // Without a transaction nothing of the group can run: all of it is answered with the reason.
            for item in group {
                match item {
                    Item::Call(call, room) => calls.push((call, room)),
                    rows => self.hold(rows),
                }
            }
            return Err(error.into());
        }
        for item in group.by_ref() {
            let (mut call, room) = match item {
                Item::Call(call, room) => (call, room),
                rows => {
                    self.hold(rows);
                    continue;
                }
            };
            // The rows before it first: the log tells the order in which things happened.
            let before = self.write_held(written);
            if before.is_ok() {
                call.run(&self.connection);
            }
            calls.push((call, room));
            before?;
            if self.connection.is_autocommit() {
                return Err(StoreError::Backend("the transaction was rolled back".into()));
            }
        }
        self.write_held(written)?;
        if lost > 0 {
            audit::append(&self.connection, &AuditRow::gap(SystemClock.now(), lost))?;
        }
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    fn write_held(&self, written: &mut usize) -> Result<()> {
        for row in &self.pending[*written..] {
            audit::append(&self.connection, row)?;
            *written += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
