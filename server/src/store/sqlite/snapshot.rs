//! One moment of a database that another process may be writing: for backups, and for reading another store's deletion log.
//!
//! A read transaction stays open from [`Snapshot::open`] until the snapshot is dropped, so all that is read, the whole copy
//! included, is of that moment. It keeps nobody from writing; the write-ahead log only grows meanwhile.
//! Cost: a copy reads and writes the database once.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use sss_common::{NodeId, PackId};

use super::rows::{all, change, get, limit, one, pack_id, unsigned};
use super::{audit, deletions, facts, keys, schema};
use crate::store::{
    AuditEntry, AuditHead, AuditSeq, Contents, Deletion, DeletionSeq, MetaSnapshot, Result, StoreError,
};
use sss_vault::sealed::{KeyImage, KeyPosition, Leaf};

/// Pages that are copied between two reports: 4 MiB.
const STEP: i32 = 1024;

/// A database as it was at one moment.
pub struct Snapshot(Connection);

impl Snapshot {
    /// Opens a file for reading and stays at this moment. `NotFound`; `Damaged` when it is no 3S metadata; `Newer`.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.try_exists().map_err(|e| StoreError::Backend(Box::new(e)))? {
            return Err(StoreError::NotFound);
        }
        let connection = schema::open_reader(path)?;
        connection.execute_batch("BEGIN")?;
        // The first read fixes the moment.
        schema::recognise(&connection)?;
        Ok(Snapshot(connection))
    }

    /// The last row of the audit log that was pruned, and the last number that a row got. `NotFound` where the schema is of a
    /// time before the chain.
    pub fn audit_ends(&self) -> Result<(AuditHead, AuditSeq)> {
        let sql = "SELECT 1 FROM sqlite_schema WHERE name = 'audit_start'";
        one(&self.0, sql, [], |_| Ok(()))?.ok_or(StoreError::NotFound)?;
        Ok((audit::start(&self.0)?, audit::given(&self.0)?))
    }

    /// Up to `limit` rows of the audit log behind `seq`, in order.
    pub fn audit_after(&self, seq: AuditSeq, limit: usize) -> Result<Vec<AuditEntry>> {
        audit::after(&self.0, seq, limit)
    }

    fn has_log(&self) -> Result<()> {
        let sql = "SELECT 1 FROM sqlite_schema WHERE name = 'deletions'";
        one(&self.0, sql, [], |_| Ok(()))?.ok_or(StoreError::NotFound)
    }
}

impl MetaSnapshot for Snapshot {
    fn key_node(&self, position: KeyPosition) -> Result<Option<KeyImage>> {
        keys::node(&self.0, position)
    }

    fn last_leaf(&self) -> Result<Option<Leaf>> {
        keys::last_leaf(&self.0)
    }

    fn deletions(&self, after: DeletionSeq, limit: usize) -> Result<Vec<Deletion>> {
        self.has_log()?;
        deletions::after(&self.0, after, limit)
    }

    fn last_deletion(&self) -> Result<DeletionSeq> {
        self.has_log()?;
        deletions::last(&self.0)
    }

    fn homes(&self) -> Result<Vec<NodeId>> {
        all(&self.0, "SELECT home FROM users ORDER BY home", [], |row| Ok(NodeId(get(row, 0)?)))
    }

    fn contents(&self) -> Result<Contents> {
        let sql = "SELECT (SELECT count(*) FROM nodes), count(*), coalesce(sum(length), 0) FROM packs WHERE inline IS NULL";
        let contents = one(&self.0, sql, [], |row| {
            Ok(Contents { nodes: unsigned(row, 0)?, packs: unsigned(row, 1)?, pack_bytes: unsigned(row, 2)? })
        })?;
        Ok(contents.unwrap_or_default())
    }

    fn packs(&self, after: Option<PackId>, most: usize) -> Result<Vec<(PackId, u64)>> {
        let after = after.map(|id| id.0.to_vec()).unwrap_or_default();
        let sql = "SELECT id, length FROM packs WHERE inline IS NULL AND id > ? ORDER BY id LIMIT ?";
        all(&self.0, sql, rusqlite::params![after, limit(most)], |row| {
            Ok((pack_id(row, 0)?, unsigned(row, 1)?))
        })
    }

    fn user_of(&self, pack: PackId) -> Result<Option<String>> {
        let sql = "SELECT node FROM version_packs WHERE pack = ? LIMIT 1";
        let node = one(&self.0, sql, [pack.0], |row| Ok(NodeId(get(row, 0)?)))?;
        node.map_or(Ok(None), |node| facts::path(&self.0, node))
    }

    fn copy_to(&self, path: &Path, report: &mut dyn FnMut(u64, u64)) -> Result<()> {
        let mut options = OpenOptions::new();
        let made = options.write(true).create_new(true).mode(0o600).open(path);
        made.map_err(|error| StoreError::Backend(Box::new(error)))?;
        let mut copy = Connection::open(path)?;
        let backup = Backup::new(&self.0, &mut copy)?;
        loop {
            // Pages of this connection's open transaction: SQLite begins none of its own where there is one.
            let step = backup.step(STEP)?;
            let (left, all) = (backup.progress().remaining, backup.progress().pagecount);
            report(u64::try_from(all - left).unwrap_or(0), u64::try_from(all).unwrap_or(0));
            match step {
                StepResult::Done => break,
                StepResult::More => {}
                _ => return Err(StoreError::Backend("the database is locked".into())),
            }
        }
        drop(backup);
        drop(copy);
        let copy = schema::open_writer(path)?;
        change(&copy, "DELETE FROM sessions", [])?;
        change(&copy, "DELETE FROM holds", [])?;
        copy.close().map_err(|(_, error)| error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
