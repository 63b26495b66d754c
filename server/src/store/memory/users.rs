//! Users and their sessions.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use sss_common::{Timestamp, Uid};

use super::MemoryStore;
use super::state::State;
use crate::store::{AuditRow, NewSession, NewUser, Result, Session, TokenHash, User, Users};

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

    async fn set_key(&self, uid: &Uid, public_key: &str, audit: AuditRow) -> Result<()> {
        self.write_audited(audit, |state| state.set_key(uid, public_key))
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

    async fn live_sessions(&self) -> Result<Vec<TokenHash>> {
        Ok(self.read(State::live_sessions))
    }

    async fn revision(&self) -> Result<u64> {
        Ok(self.revision.load(Ordering::SeqCst))
    }

    async fn end_session(&self, token: &TokenHash, now: Timestamp, audit: AuditRow) -> Result<()> {
        self.write_audited(audit, |state| {
            state.end_session(token, now);
            Ok(())
        })
    }
}
