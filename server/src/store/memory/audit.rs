//! The audit log: rows as they came, from which the chain is made anew for each question.

use async_trait::async_trait;
use sss_common::{Clock, SystemClock, Timestamp};

use super::MemoryStore;
use crate::store::{Audit, AuditAction, AuditEntry, AuditHead, AuditRow, AuditSeq, Result, StoreError};

#[async_trait]
impl Audit for MemoryStore {
    fn audit(&self, rows: Vec<AuditRow>) -> Result<()> {
        self.state.lock().audit.hand_over(rows);
        Ok(())
    }

    fn audit_works(&self) -> Result<()> {
        self.read(|state| state.audit.works())
    }

    async fn audit_after(&self, seq: AuditSeq, limit: usize) -> Result<Vec<AuditEntry>> {
        Ok(self.read(|state| state.audit.after(seq, limit)))
    }

    async fn audit_head(&self) -> Result<AuditHead> {
        Ok(self.read(|state| state.audit.head()))
    }

    async fn audit_start(&self) -> Result<AuditHead> {
        Ok(self.read(|state| state.audit.start()))
    }

    async fn prune_audit(&self, before: Timestamp, most: usize, now: Timestamp) -> Result<u64> {
        self.write(|state| state.audit.prune(before, most, now))
    }

    async fn flush(&self) -> Result<()> {
        self.audit_works()
    }
}

#[derive(Clone)]
pub(super) struct AuditLog {
    rows: Vec<AuditRow>,
    /// The last row that was pruned.
    start: AuditHead,
    /// What was handed over while the log failed.
    held: Vec<AuditRow>,
    fails: bool,
}

/// A log begins with its first row.
impl Default for AuditLog {
    fn default() -> Self {
        let rows = vec![AuditRow::begin(SystemClock.now(), 0)];
        AuditLog { rows, start: AuditHead::NONE, held: Vec::new(), fails: false }
    }
}

impl AuditLog {
    pub(super) fn rows(&self) -> &[AuditRow] {
        &self.rows
    }

    pub(super) fn works(&self) -> Result<()> {
        if self.fails { Err(StoreError::Unlogged("a test wants it so".into())) } else { Ok(()) }
    }

    pub(super) fn fail(&mut self, fails: bool) {
        self.fails = fails;
        if !fails {
            self.rows.append(&mut self.held);
        }
    }

    pub(super) fn append(&mut self, row: AuditRow) -> Result<()> {
        self.works()?;
        self.rows.push(row);
        Ok(())
    }

    pub(super) fn hand_over(&mut self, rows: Vec<AuditRow>) {
        if self.fails { self.held.extend(rows) } else { self.rows.extend(rows) }
    }

    pub(super) fn after(&self, seq: AuditSeq, limit: usize) -> Vec<AuditEntry> {
        self.chain().filter(|entry| entry.seq > seq).take(limit).collect()
    }

    pub(super) fn head(&self) -> AuditHead {
        self.chain().last().map_or(self.start, |entry| entry.head())
    }

    pub(super) fn start(&self) -> AuditHead {
        self.start
    }

    pub(super) fn prune(&mut self, before: Timestamp, most: usize, now: Timestamp) -> Result<u64> {
        let old = |row: &&AuditRow| row.time < before || row.action == AuditAction::Begin;
        let rows: Vec<&AuditRow> = self.rows.iter().take_while(old).take(most).collect();
        let count = rows.iter().rposition(|row| row.time < before).map_or(0, |at| at + 1);
        let Some(last) = self.chain().take(count).last().map(|entry| entry.head()) else { return Ok(0) };
        self.append(AuditRow::prune(now, self.start.seq.next(), last, before))?;
        self.rows.drain(..count);
        self.start = last;
        Ok(count as u64)
    }

    fn chain(&self) -> impl Iterator<Item = AuditEntry> {
        self.rows.iter().scan(self.start, |last, row| {
            let entry = AuditEntry::link(row, last.seq.next(), last.hash);
            *last = entry.head();
            Some(entry)
        })
    }
}
