//! The metadata in memory: the same semantics as the real store in the plainest words, for tests.
//!
//! Every change is made to a copy of all that there is, which takes its place when the change succeeded. Nothing is
//! durable, and nothing is fast.

mod audit;
mod content;
mod deletions;
mod facts;
mod names;
mod reclaim;
mod sharing;
mod state;
mod walk;

use async_trait::async_trait;
use parking_lot::Mutex;

use sss_common::{Timestamp, Uid};

use self::state::State;
use super::*;

/// Metadata in memory.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
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
        Ok(outcome)
    }

    fn write_audited<T>(&self, row: AuditRow, change: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        self.write(|state| {
            let outcome = change(state)?;
            state.audit.append(row)?;
            Ok(outcome)
        })
    }
}

#[async_trait]
impl Users for MemoryStore {
    async fn add_user(&self, user: NewUser, audit: AuditRow) -> Result<()> {
        self.write_audited(audit, |state| state.add_user(user))
    }

    async fn user(&self, uid: &Uid) -> Result<Option<User>> {
        Ok(self.read(|state| state.users.get(uid).cloned()))
    }

    async fn users(&self) -> Result<Vec<User>> {
        Ok(self.read(|state| state.users.values().cloned().collect()))
    }

    async fn set_disabled(&self, uid: &Uid, disabled: bool, audit: AuditRow) -> Result<()> {
        self.write_audited(audit, |state| state.set_disabled(uid, disabled))
    }

    async fn begin_session(
        &self,
        session: NewSession,
        keep: usize,
        audit: AuditRow,
    ) -> Result<Vec<TokenHash>> {
        self.write_audited(audit, |state| state.begin_session(session, keep))
    }

    async fn session(&self, token: &TokenHash) -> Result<Option<Session>> {
        Ok(self.read(|state| state.session(token).map(|kept| kept.session.clone())))
    }

    async fn end_session(&self, token: &TokenHash, now: Timestamp, audit: AuditRow) -> Result<()> {
        self.write_audited(audit, |state| {
            state.end_session(token, now);
            Ok(())
        })
    }
}

#[async_trait]
impl Audit for MemoryStore {
    fn audit(&self, rows: Vec<AuditRow>) -> Result<()> {
        self.state.lock().audit.hand_over(rows);
        Ok(())
    }

    fn audit_works(&self) -> Result<()> {
        self.read(|state| state.audit.works())
    }

    async fn audit_after(&self, seq: u64, limit: usize) -> Result<Vec<AuditEntry>> {
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
