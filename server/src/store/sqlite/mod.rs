//! The embedded metadata store: one SQLite file in WAL mode with synchronous=FULL.
//!
//! Changes go through one writer thread that commits many of them with one fsync (`writer`); reads run on a few
//! read-only connections off the async threads (`readers`), see the last commit, and never wait for the writer.
//! The SQL stands in one file per family of calls, beside the implementation of that family's trait. Another process (`3s-server user add`) may write to the same file
//! meanwhile. Dropping the store writes what is held, waits for the writer to end and closes the file.

mod attributes;
mod audit;
mod commit;
mod content;
mod deletions;
mod error;
mod facts;
mod homes;
mod keys;
mod moments;
mod names;
mod nodes;
mod readers;
mod reclaim;
mod released;
mod reserve;
mod revision;
mod rows;
mod schema;
mod snapshot;
mod users;
mod walk;
mod writer;

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, Transaction};

use self::readers::Readers;
use self::reserve::Reserve;
use self::revision::Revision;
pub use self::snapshot::Snapshot;
use self::writer::Writer;
use super::rules::Claim;
use super::*;

/// Metadata in an SQLite file.
pub struct SqliteStore {
    readers: Arc<Readers>,
    writer: Writer,
    revision: Revision,
    reserve: Arc<Reserve>,
}

impl SqliteStore {
    /// Makes a new file, mode 0600, and opens it; `Exists` when there is one.
    pub fn create(path: &Path) -> Result<Self> {
        schema::create(path)?;
        Self::open(path)
    }

    /// Opens a file and brings an older schema up to date. `NotFound`, `Newer`, `Damaged` when it is something else.
    pub fn open(path: &Path) -> Result<Self> {
        let writer = schema::open_writer(path)?;
        let (readers, revision) = (Readers::open(path)?, Revision::open(path)?);
        Ok(SqliteStore { readers, writer: Writer::start(writer)?, revision, reserve: Reserve::beside(path) })
    }

    /// Keeps room on the disk from now on for what makes room and ends rights; for a server.
    pub fn keep_reserve(&self) {
        self.reserve.keep();
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.readers.run(work).await
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let outcome = self.writer.run(work).await;
        self.reserve.tend();
        outcome
    }

    /// A change that makes room or ends rights, with its line in the audit log, if it has one. Goes on where the disk is
    /// full, as long as there is a [`Reserve`].
    async fn write_urgent<T: Send + 'static>(
        &self,
        row: impl Into<Option<AuditRow>>,
        work: impl Fn(&Connection) -> Result<T> + Send + Sync + 'static,
    ) -> Result<T> {
        let whole = Arc::new((row.into(), work));
        let attempt = || {
            let whole = whole.clone();
            self.write(move |c| {
                let (row, work) = &*whole;
                let outcome = work(c)?;
                row.iter().try_for_each(|row| audit::append(c, row))?;
                Ok(outcome)
            })
        };
        match attempt().await {
            Err(StoreError::Full) if self.reserve.release() => attempt().await,
            outcome => outcome,
        }
    }

    /// A change by who has the right to it then: asked in the same transaction.
    async fn write_by<T: Send + 'static>(
        &self,
        claim: Claim,
        now: Timestamp,
        work: impl FnOnce(&Connection, &Claim) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.write(confirmed(claim, now, work)).await
    }

    /// Both.
    async fn write_audited_by<T: Send + 'static>(
        &self,
        claim: Claim,
        row: AuditRow,
        work: impl FnOnce(&Connection, &Claim) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let now = row.time;
        self.write_audited(row, confirmed(claim, now, work)).await
    }

    /// A change with its line in the audit log: both or neither.
    async fn write_audited<T: Send + 'static>(
        &self,
        row: AuditRow,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.writer
            .run(move |c| {
                let outcome = work(c)?;
                audit::append(c, &row)?;
                Ok(outcome)
            })
            .await
    }
}

fn confirmed<T>(
    claim: Claim,
    now: Timestamp,
    work: impl FnOnce(&Connection, &Claim) -> Result<T>,
) -> impl FnOnce(&Connection) -> Result<T> {
    move |c| {
        facts::confirm(c, &claim, now)?;
        work(c, &claim)
    }
}

/// The readers go first: the connection that closes last, the writer's, then tidies up the log.
impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.readers.close();
        self.revision.close();
    }
}

#[cfg(test)]
mod tests;
