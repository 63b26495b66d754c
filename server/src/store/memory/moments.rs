//! The latest moment that the store knows of.

use async_trait::async_trait;
use sss_common::Timestamp;

use super::MemoryStore;
use crate::store::moments::HELD_STILL;
use crate::store::{AuditRow, AuditSeq, Moments, Result, SetBack};

/// What is remembered, and behind which row of the audit log a later moment may stand.
#[derive(Clone, Copy)]
pub(super) struct Latest {
    at: Timestamp,
    seq: AuditSeq,
}

impl Default for Latest {
    fn default() -> Self {
        Latest { at: Timestamp(0), seq: AuditSeq::NONE }
    }
}

#[async_trait]
impl Moments for MemoryStore {
    async fn latest_moment(&self) -> Result<Timestamp> {
        Ok(self.read(|state| {
            let rows = state.audit.after(state.latest.seq, usize::MAX);
            rows.iter().map(|row| row.time).fold(state.latest.at, Timestamp::max)
        }))
    }

    async fn remember_moment(&self, now: Timestamp) -> Result<()> {
        self.write(|state| {
            state.latest.at = state.latest.at.max(now);
            Ok(())
        })
    }

    async fn set_back(&self, now: Timestamp, audit: AuditRow) -> Result<SetBack> {
        self.write_audited(audit, |state| {
            state.latest = Latest { at: now, seq: state.audit.head().seq };
            let mut grants = 0;
            for grant in state.grants.values_mut().filter(|grant| grant.since > now) {
                (grant.since, grant.until) = (now, now.after(grant.until.since(grant.since)));
                grants += 1;
            }
            let revoked = state.grants.values_mut().filter_map(|grant| grant.revoked.as_mut());
            revoked.for_each(|at| *at = now.min(*at));
            let versions = state.versions.values_mut().filter_map(|version| version.superseded.as_mut());
            versions.for_each(|superseded| *superseded = now.min(*superseded));
            state.holds.values_mut().for_each(|until| *until = now.after(HELD_STILL).min(*until));
            Ok(SetBack { grants, sessions: state.end_all_sessions(now) })
        })
    }
}
