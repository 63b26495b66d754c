//! The deletion log's copy on another medium: what a restored backup needs to know so that it does not bring back what was
//! deleted after it. FORMAT.md has the file's lines.
//!
//! The log itself is a table of the metadata and dies with its disk. The copy is brought up to date before keys are erased;
//! a medium that is full, unplugged or slow keeps no deletion and no erasure from happening: it is complained about,
//! at most once a minute, tried again in every round, and caught up with. Writing happens on a thread of its own, so that
//! neither a round nor the server's end waits for a share that hangs.
//!
//! Cost: the file is read once when it is opened; then one append and one fsync for each round that has something new.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use sss_common::StoreId;

use super::Upkeep;
use crate::store::{DeletionSeq, MetaStore, StoreError};

mod file;

use file::{Desk, Last};
pub use file::{Entry, LogFailed, Reader};

/// How long a round waits for the medium.
const PATIENCE: Duration = Duration::from_secs(2);

/// The pause between two complaints.
const QUIET: Duration = Duration::from_secs(60);

/// Entries that are read and written at a time.
const BATCH: usize = 1000;

/// The file, and how far it is.
pub struct DeletionLog {
    desk: Arc<Mutex<Desk>>,
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The file's last entry, as far as it is known to be there.
    known: Option<DeletionSeq>,
    complained: Option<Instant>,
}

impl Upkeep {
    /// Keeps a copy of the deletion log in this file from now on. Fails where the file is no such copy, or not this store's;
    /// one that cannot be reached at the moment is tried again later.
    pub async fn keep_deletion_log(&self, path: &std::path::Path) -> Result<(), LogFailed> {
        let log = DeletionLog::new(path, self.vault.store_id());
        match log.update(&*self.meta).await {
            Err(failed) if !failed.may_pass() => return Err(failed),
            Err(failed) => tracing::error!("{failed}; {}", failed.way_on()),
            Ok(()) => {}
        }
        let _ = self.deletion_log.set(log);
        Ok(())
    }

    /// Brings the copy of the deletion log up to date, if one is kept.
    pub(in crate::service) async fn copy_deletions(&self) {
        if let Some(log) = self.deletion_log.get() {
            log.follow(&*self.meta).await;
        }
    }
}

impl DeletionLog {
    fn new(path: &std::path::Path, store: StoreId) -> Self {
        let desk = Arc::new(Mutex::new(Desk::new(path, store)));
        DeletionLog { desk, state: Default::default() }
    }

    /// As [`DeletionLog::update`], with complaints in the server's log.
    pub(in crate::service) async fn follow(&self, meta: &dyn MetaStore) {
        let Err(failed) = self.update(meta).await else {
            if self.state.lock().await.complained.take().is_some() {
                tracing::info!("the deletion log is written again, and complete");
            }
            return;
        };
        if self.may_complain().await {
            tracing::error!(
                "deletions are not in the deletion log, and will be when it works again: {failed}"
            );
        }
    }

    async fn may_complain(&self) -> bool {
        let mut state = self.state.lock().await;
        let due = state.complained.is_none_or(|last| last.elapsed() >= QUIET);
        if due {
            state.complained = Some(Instant::now());
        }
        due
    }

    /// Appends what the file does not have yet.
    async fn update(&self, meta: &dyn MetaStore) -> Result<(), LogFailed> {
        let mut state = self.state.lock().await;
        let mut known = match state.known {
            Some(known) => known,
            None => self.checked(meta).await?,
        };
        loop {
            let entries: Vec<Entry> =
                meta.deletions(known, BATCH).await?.into_iter().map(Entry::of).collect();
            let Some(last) = entries.last().map(|entry| entry.seq) else {
                state.known = Some(known);
                return Ok(());
            };
            state.known = None;
            match self.at_desk(move |desk| desk.append(known, &entries)).await {
                Ok(()) => known = last,
                // Somebody put another file there, or took it away.
                Err(LogFailed::Changed) => known = self.checked(meta).await?,
                Err(failed) => return Err(failed),
            }
        }
    }

    /// The file's last entry, which must be one of this store's.
    async fn checked(&self, meta: &dyn MetaStore) -> Result<DeletionSeq, LogFailed> {
        let last = self.at_desk(|desk| desk.open()).await?;
        let Some(Last { seq, document }) = last else { return Ok(DeletionSeq::NONE) };
        let here = meta.deletions(DeletionSeq(seq.0.saturating_sub(1)), 1).await?.into_iter().next();
        let other = here.is_some_and(|here| here.seq == seq && here.document != document);
        if other || meta.last_deletion().await? < seq {
            return Err(LogFailed::Ahead(seq));
        }
        Ok(seq)
    }

    /// Runs `work` on a thread of its own and waits for it, but not for long.
    async fn at_desk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Desk) -> Result<T, LogFailed> + Send + 'static,
    ) -> Result<T, LogFailed> {
        // Who is still there since the last round is given no company.
        if self.desk.is_locked() {
            return Err(LogFailed::Slow);
        }
        let (desk, (reply, answer)) = (self.desk.clone(), oneshot::channel());
        let thread = std::thread::Builder::new().name("deletion-log".into());
        let started = thread.spawn(move || {
            let outcome = work(&mut desk.lock());
            let _ = reply.send(outcome);
        });
        started.map_err(LogFailed::Io)?;
        match timeout(PATIENCE, answer).await {
            Ok(Ok(outcome)) => outcome,
            _ => Err(LogFailed::Slow),
        }
    }
}

impl From<StoreError> for LogFailed {
    fn from(error: StoreError) -> Self {
        LogFailed::Io(std::io::Error::other(error))
    }
}

#[cfg(test)]
mod tests;
