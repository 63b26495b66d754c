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
mod keys;
mod names;
mod nodes;
mod readers;
mod reclaim;
mod released;
mod rows;
mod schema;
mod snapshot;
mod users;
mod walk;
mod writer;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, Transaction};

use sss_common::{Timestamp, Uid};

use self::readers::Readers;
pub use self::snapshot::Snapshot;
use self::writer::Writer;
use super::*;

/// Metadata in an SQLite file.
pub struct SqliteStore {
    readers: Arc<Readers>,
    writer: Writer,
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
        let readers = Readers::open(path)?;
        Ok(SqliteStore { readers, writer: Writer::start(writer)? })
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
        self.writer.run(work).await
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

/// The readers go first: the connection that closes last, the writer's, then tidies up the log.
impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.readers.close();
    }
}

#[async_trait]
impl Users for SqliteStore {
    async fn add_user(&self, user: NewUser, audit: AuditRow) -> Result<()> {
        self.write_audited(audit, move |c| users::add(c, &user)).await
    }

    async fn user(&self, uid: &Uid) -> Result<Option<User>> {
        let uid = uid.clone();
        self.read(move |c| users::find(c, &uid)).await
    }

    async fn users(&self) -> Result<Vec<User>> {
        self.read(|c| users::list(c)).await
    }

    async fn set_disabled(&self, uid: &Uid, disabled: bool, audit: AuditRow) -> Result<()> {
        let uid = uid.clone();
        self.write_audited(audit, move |c| users::set_disabled(c, &uid, disabled)).await
    }

    async fn begin_session(
        &self,
        session: NewSession,
        keep: usize,
        audit: AuditRow,
    ) -> Result<Vec<TokenHash>> {
        self.write_audited(audit, move |c| users::begin_session(c, &session, keep)).await
    }

    async fn session(&self, token: &TokenHash) -> Result<Option<Session>> {
        let token = *token;
        self.read(move |c| users::session(c, &token)).await
    }

    async fn end_session(&self, token: &TokenHash, now: Timestamp, audit: AuditRow) -> Result<()> {
        let token = *token;
        self.write_audited(audit, move |c| users::end_session(c, &token, now)).await
    }
}

#[async_trait]
impl Audit for SqliteStore {
    fn audit(&self, rows: Vec<AuditRow>) -> Result<()> {
        self.writer.audit(rows)
    }

    fn audit_works(&self) -> Result<()> {
        self.writer.audit_works()
    }

    async fn audit_after(&self, seq: u64, limit: usize) -> Result<Vec<AuditEntry>> {
        self.read(move |c| audit::after(c, seq, limit)).await
    }

    async fn audit_head(&self) -> Result<AuditHead> {
        self.read(|c| audit::head(c)).await
    }

    async fn audit_start(&self) -> Result<AuditHead> {
        self.read(|c| audit::start(c)).await
    }

    async fn prune_audit(&self, before: Timestamp, most: usize, now: Timestamp) -> Result<u64> {
        self.write(move |c| audit::prune(c, before, most, now)).await
    }

    /// A call that does nothing but wait for its transaction, which takes the held rows along.
    async fn flush(&self) -> Result<()> {
        self.write(|_| Ok(())).await
    }
}

#[cfg(test)]
mod tests;
