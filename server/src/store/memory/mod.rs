//! The metadata in memory: the same semantics as the real store in the plainest words, for tests.
//!
//! Every change is made to a copy of all that there is, which takes its place when the change succeeded. Nothing is
//! durable, and nothing is fast.

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
        self.state.lock().audit.clone()
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
            state.audit.push(row);
            Ok(outcome)
        })
    }
}

#[async_trait]
impl Users for MemoryStore {
    async fn add_user(&self, user: NewUser) -> Result<()> {
        self.write(|state| state.add_user(user))
    }

    async fn user(&self, uid: &Uid) -> Result<Option<User>> {
        Ok(self.read(|state| state.users.get(uid).cloned()))
    }

    async fn users(&self) -> Result<Vec<User>> {
        Ok(self.read(|state| state.users.values().cloned().collect()))
    }

    async fn set_disabled(&self, uid: &Uid, disabled: bool) -> Result<()> {
        self.write(|state| state.set_disabled(uid, disabled))
    }

    async fn begin_session(&self, session: NewSession, keep: usize) -> Result<Vec<TokenHash>> {
        self.write(|state| state.begin_session(session, keep))
    }

    async fn session(&self, token: &TokenHash) -> Result<Option<Session>> {
        Ok(self.read(|state| state.session(token).map(|kept| kept.session.clone())))
    }

    async fn end_session(&self, token: &TokenHash, now: Timestamp) -> Result<()> {
        self.write(|state| {
            state.end_session(token, now);
            Ok(())
        })
    }
}

#[async_trait]
impl Audit for MemoryStore {
    async fn audit(&self, rows: Vec<AuditRow>) -> Result<()> {
        self.state.lock().audit.extend(rows);
        Ok(())
    }

    async fn flush(&self) -> Result<()> {
        Ok(())
    }
}
