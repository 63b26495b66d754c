//! The audit log's rows, and what keeps them a chain.
//!
//! The head is read inside each transaction that appends: so it follows what was committed and never what was rolled back,
//! and another process that writes to the same file goes on where this one stopped. It is the last row of an index: no
//! page more is read or written for it.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use sss_common::{Clock, SystemClock, Timestamp};

use super::SqliteStore;
use super::rows::{all, change, get, int, limit, one, unsigned};
use crate::store::{Audit, AuditEntry, AuditHash, AuditHead, AuditRow, AuditSeq, Result, StoreError};

#[async_trait]
impl Audit for SqliteStore {
    fn audit(&self, rows: Vec<AuditRow>) -> Result<()> {
        self.writer.audit(rows)
    }

    fn audit_works(&self) -> Result<()> {
        self.writer.audit_works()
    }

    async fn audit_after(&self, seq: AuditSeq, limit: usize) -> Result<Vec<AuditEntry>> {
        self.read(move |c| after(c, seq, limit)).await
    }

    async fn audit_head(&self) -> Result<AuditHead> {
        self.read(|c| head(c)).await
    }

    async fn audit_start(&self) -> Result<AuditHead> {
        self.read(|c| start(c)).await
    }

    async fn prune_audit(&self, before: Timestamp, most: usize, now: Timestamp) -> Result<u64> {
        self.write(move |c| prune(c, before, most, now)).await
    }

    /// A call that does nothing but wait for its transaction, which takes the held rows along.
    async fn flush(&self) -> Result<()> {
        self.write(|_| Ok(())).await
    }
}

const COLUMNS: &str =
    "seq, time, user, machine, action, document, path, outcome, detail, request_id, previous, hash";

/// Appends one row as the chain's next link.
pub(super) fn append(c: &Connection, row: &AuditRow) -> Result<()> {
    insert(c, row).map(drop).map_err(|error| match error {
        StoreError::Full => StoreError::Full,
        other => StoreError::Unlogged(other.to_string()),
    })
}

fn insert(c: &Connection, row: &AuditRow) -> Result<AuditEntry> {
    // Numbers are given once, even where rows at the end were cut off: the gap shows.
    let entry = AuditEntry::link(row, given(c)?.next(), head(c)?.hash);
    write(c, &entry)?;
    Ok(entry)
}

fn write(c: &Connection, entry: &AuditEntry) -> Result<()> {
    change(
        c,
        "INSERT INTO audit (seq, time, user, machine, action, document, path, outcome, detail, request_id, previous, hash)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            int(entry.seq.0)?,
            entry.time.millis(),
            entry.user,
            entry.machine,
            entry.action,
            entry.document,
            entry.path,
            entry.outcome,
            entry.detail,
            entry.request_id,
            entry.previous.0,
            entry.hash.0,
        ],
    )?;
    Ok(())
}

/// Up to `most` rows behind `seq`, in order.
pub(super) fn after(c: &Connection, seq: AuditSeq, most: usize) -> Result<Vec<AuditEntry>> {
    let sql = format!("SELECT {COLUMNS} FROM audit WHERE seq > ? ORDER BY seq LIMIT ?");
    all(c, &sql, params![i64::try_from(seq.0).unwrap_or(i64::MAX), limit(most)], entry)
}

fn entry(row: &Row<'_>) -> Result<AuditEntry> {
    Ok(AuditEntry {
        seq: seq_at(row, 0)?,
        time: Timestamp(get(row, 1)?),
        user: get(row, 2)?,
        machine: get(row, 3)?,
        action: get(row, 4)?,
        document: get(row, 5)?,
        path: get(row, 6)?,
        outcome: get(row, 7)?,
        detail: get(row, 8)?,
        request_id: get(row, 9)?,
        previous: hash_at(row, 10)?,
        hash: hash_at(row, 11)?,
    })
}

/// The last row; where there is none, the last that was pruned.
pub(super) fn head(c: &Connection) -> Result<AuditHead> {
    match one(c, "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1", [], numbered)? {
        Some(head) => Ok(head),
        None => start(c),
    }
}

/// The last row that was pruned; [`AuditHead::NONE`] where none was.
pub(super) fn start(c: &Connection) -> Result<AuditHead> {
    let start = one(c, "SELECT seq, hash FROM audit_start", [], numbered)?;
    start.ok_or_else(|| StoreError::Damaged("the audit log has no start".into()))
}

/// The last number that a row got.
pub(super) fn given(c: &Connection) -> Result<AuditSeq> {
    let given = one(c, "SELECT seq FROM sqlite_sequence WHERE name = 'audit'", [], |row| seq_at(row, 0))?;
    Ok(given.unwrap_or(AuditSeq::NONE))
}

fn seq_at(row: &Row<'_>, at: usize) -> Result<AuditSeq> {
    unsigned(row, at).map(AuditSeq)
}

fn hash_at(row: &Row<'_>, at: usize) -> Result<AuditHash> {
    get(row, at).map(AuditHash)
}

fn numbered(row: &Row<'_>) -> Result<AuditHead> {
    Ok(AuditHead { seq: seq_at(row, 0)?, hash: hash_at(row, 1)? })
}

/// Removes up to `most` of the oldest rows that are from before that time, behind a row that says so. Says how many.
pub(super) fn prune(c: &Connection, before: Timestamp, most: usize, now: Timestamp) -> Result<u64> {
    let start = start(c)?;
    // A young row keeps what lies behind it, except the one that only says that the chain begins: it goes with what follows.
    let kept = one(
        c,
        "SELECT seq FROM audit WHERE time >= ? AND action <> 'begin' ORDER BY seq LIMIT 1",
        [before.millis()],
        |row| unsigned(row, 0),
    )?;
    let oldest = kept.map_or(head(c)?.seq.0, |seq| seq - 1).min(start.seq.0.saturating_add(most as u64));
    let last = one(
        c,
        "SELECT seq, hash FROM audit WHERE seq <= ? AND time < ? ORDER BY seq DESC LIMIT 1",
        params![int(oldest)?, before.millis()],
        numbered,
    )?;
    let Some(last) = last else { return Ok(0) };
    insert(c, &AuditRow::prune(now, start.seq.next(), last, before))?;
    change(c, "UPDATE audit_start SET seq = ?, hash = ?", params![int(last.seq.0)?, last.hash.0])?;
    Ok(change(c, "DELETE FROM audit WHERE seq <= ?", [int(last.seq.0)?])? as u64)
}

/// Makes the chain's first row, and chains the rows of the time before it, with their words in today's spelling.
pub(super) fn begin_chain(c: &Connection) -> Result<()> {
    let earlier = one(c, "SELECT count(*) FROM audit_unchained", [], |row| unsigned(row, 0))?.unwrap_or(0);
    let mut last = insert(c, &AuditRow::begin(SystemClock.now(), earlier))?;
    let mut rows = c.prepare(
        "SELECT 0, time, user, node,
             CASE action WHEN 'checkin by rename' THEN 'checkin-by-rename' WHEN 'rotate_key' THEN 'rotate-key'
                 ELSE action END,
             document, path,
             CASE WHEN outcome LIKE 'refused: %' OR action = 'login' AND outcome <> 'allowed' THEN 'refused'
                 WHEN action IN ('integrity', 'scrub') THEN 'damaged' ELSE 'allowed' END,
             CASE WHEN outcome LIKE 'refused: %' THEN substr(outcome, 10) WHEN outcome = 'allowed' THEN ''
                 ELSE outcome END,
             request_id, zeroblob(32), zeroblob(32)
         FROM audit_unchained ORDER BY seq",
    )?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let mut next = AuditEntry { seq: last.seq.next(), previous: last.hash, ..entry(row)? };
        next.hash = next.computed_hash();
        write(c, &next)?;
        last = next;
    }
    drop(rows);
    Ok(c.execute_batch("DROP TABLE audit_unchained")?)
}

#[cfg(test)]
mod tests;
