//! What is written down about each call.
//!
//! A row that tells of a change is committed with it: a check-in, a creation, a deletion, a grant, a log-in and a session's
//! end cost no fsync and no query for it. What changes nothing (a check-out, a refusal, damage that was met) is handed to the
//! store, which writes such rows in the order of the calls, within a second, and sooner where anything else is committed;
//! nobody waits for them, and the stop sequence flushes them. A receipt's row changes nothing either, but is waited for: one
//! fsync, shared with whatever commits then. The path comes with the facts that the decision rested on: no query.
//!
//! What cannot be written down is not done: while the log cannot be written, check-outs and check-ins are refused
//! (`unavailable`), and the server's own log has an error once.

mod alarm;
mod retention;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use sss_common::wire::session::LoginRequest;
use sss_common::{Clock, Code, NodeId};

use super::{Caller, Failure, Outcome, Peer};
pub(super) use crate::store::{AuditAction, AuditOutcome, AuditRow};
use crate::store::{MetaStore, Seen, StoreError};
use alarm::Alarm;

/// Writes the rows, and knows whether that works.
pub(super) struct AuditLog {
    meta: Arc<dyn MetaStore>,
    clock: Arc<dyn Clock>,
    /// How long rows are kept; `None`: for ever.
    keep: Option<Duration>,
    /// Whether the log can be written, as the administrator was told.
    alarm: Alarm,
}

impl AuditLog {
    pub(super) fn new(meta: Arc<dyn MetaStore>, clock: Arc<dyn Clock>, keep: Option<Duration>) -> Self {
        AuditLog { meta, clock, keep, alarm: Alarm::default() }
    }

    /// A row about a node, to be committed with the change that it tells of. `detail` may be empty.
    pub(super) fn row(
        &self,
        caller: &Caller,
        action: AuditAction,
        node: NodeId,
        path: impl Into<String>,
        detail: impl Into<String>,
    ) -> AuditRow {
        let outcome = AuditOutcome::Allowed(detail.into());
        AuditRow { document: Some(node), path: path.into(), ..self.session_row(caller, action, outcome) }
    }

    /// A row about the caller's session.
    pub(super) fn session_row(
        &self,
        caller: &Caller,
        action: AuditAction,
        outcome: AuditOutcome,
    ) -> AuditRow {
        self.row_of(&caller.peer, caller.uid.clone(), action, outcome)
    }

    /// Writes a row about a node without keeping the caller waiting.
    pub(super) fn note(&self, caller: &Caller, action: AuditAction, seen: &Seen, outcome: AuditOutcome) {
        self.note_at(caller, action, seen.node.id, &seen.path, outcome);
    }

    /// The same where the node is known by its id and its path.
    pub(super) fn note_at(
        &self,
        caller: &Caller,
        action: AuditAction,
        node: NodeId,
        path: &str,
        outcome: AuditOutcome,
    ) {
        let row = self.session_row(caller, action, outcome);
        self.hand_over(AuditRow { document: Some(node), path: path.into(), ..row });
    }

    /// Writes down that a right ended between the proof and the change; other errors are passed over.
    pub(super) fn note_late(
        &self,
        caller: &Caller,
        action: AuditAction,
        node: NodeId,
        path: &str,
        error: &StoreError,
    ) {
        if matches!(error, StoreError::Refused(_) | StoreError::Disabled(_)) {
            self.note_at(caller, action, node, path, AuditOutcome::Refused(error.to_string()));
        }
    }

    /// Writes down that sealed data does not verify; other failures are passed over.
    pub(super) fn note_damage(&self, caller: &Caller, node: NodeId, path: &str, failure: &Failure) {
        if failure.code == Code::Integrity {
            let cause = failure.cause.as_ref().map_or_else(|| failure.detail.clone(), ToString::to_string);
            self.note_at(caller, AuditAction::Integrity, node, path, AuditOutcome::Damaged(cause));
        }
    }

    /// Writes a log-in's refusal down.
    pub(super) fn note_refused_login(&self, peer: &Peer, request: &LoginRequest, reason: &str) {
        let outcome = AuditOutcome::Refused(reason.into());
        self.hand_over(self.row_of(peer, request.uid.clone(), AuditAction::Login, outcome));
    }

    /// A row about a log-in that succeeds, to be committed with the session.
    pub(super) fn login_row(&self, peer: &Peer, uid: &sss_common::Uid) -> AuditRow {
        self.row_of(peer, uid.clone(), AuditAction::Login, AuditOutcome::allowed())
    }

    /// Writes a row and waits until it is durable.
    pub(super) async fn record(&self, row: AuditRow) -> Outcome<()> {
        self.meta.audit(vec![row])?;
        Ok(self.meta.flush().await?)
    }

    /// Refuses what may not happen unlogged while the log cannot be written.
    pub(super) fn must_be_logged(&self) -> Outcome<()> {
        Ok(self.log_works()?)
    }

    /// Whether the log can be written; a change is told of in the server's own log.
    pub(super) fn log_works(&self) -> Result<(), StoreError> {
        let works = self.meta.audit_works();
        self.alarm.heed(works.as_ref().err());
        works
    }

    fn hand_over(&self, row: AuditRow) {
        if let Err(error) = self.meta.audit(vec![row]) {
            self.alarm.heed(Some(&error));
        }
    }

    fn row_of(
        &self,
        peer: &Peer,
        user: sss_common::Uid,
        action: AuditAction,
        outcome: AuditOutcome,
    ) -> AuditRow {
        AuditRow {
            time: self.clock.now(),
            user: Some(user),
            machine: Some(peer.machine.clone()),
            action,
            document: None,
            path: String::new(),
            outcome,
            request_id: peer.request_id.clone(),
        }
    }
}
