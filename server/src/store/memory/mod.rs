//! The metadata in memory: the same semantics as the real store in the plainest words, for tests.
//!
//! Every change is made to a copy of all that there is, which takes its place when the change succeeded. Nothing is
//! durable, and nothing is fast.

mod audit;
mod content;
mod deletions;
mod facts;
mod homes;
mod moments;
mod names;
mod reclaim;
mod sharing;
mod state;
mod users;
mod walk;

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use self::state::State;
use super::rules::Claim;
use super::*;

/// Metadata in memory.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
    revision: AtomicU64,
}

impl MemoryStore {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The audit log so far, for tests.
    pub fn audit_log(&self) -> Vec<AuditRow> {
        self.state.lock().audit.rows().to_vec()
    }

    /// From now on the audit log takes no rows, or takes them again, first those that wait: for tests.
    pub fn fail_audit(&self, fails: bool) {
        self.state.lock().audit.fail(fails);
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock())
    }

    fn write<T>(&self, change: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let mut state = self.state.lock();
        let mut next = state.clone();
        let outcome = change(&mut next)?;
        *state = next;
        self.revision.fetch_add(1, Ordering::SeqCst);
        Ok(outcome)
    }

    /// A change by who has the right to it then.
    fn write_by<T>(
        &self,
        claim: &Claim,
        now: Timestamp,
        change: impl FnOnce(&mut State) -> Result<T>,
    ) -> Result<T> {
        self.write(|state| {
            state.confirm(claim, now)?;
            change(state)
        })
    }

    /// Both.
    fn write_audited_by<T>(
        &self,
        claim: &Claim,
        row: AuditRow,
        change: impl FnOnce(&mut State) -> Result<T>,
    ) -> Result<T> {
        let now = row.time;
        self.write_audited(row, |state| {
            state.confirm(claim, now)?;
            change(state)
        })
    }

    fn write_audited<T>(&self, row: AuditRow, change: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        self.write(|state| {
            let outcome = change(state)?;
            state.audit.append(row)?;
            Ok(outcome)
        })
    }
}
