//! What is written down about each call.

use sss_common::wire::session::LoginRequest;
use sss_common::{Code, NodeId, Timestamp, Uid};

use super::{Caller, Failure, Peer, Service};
use crate::store::AuditRow;

impl Service {
    /// A row that is committed with the change it tells of.
    pub(super) fn audit_row(
        &self,
        caller: &Caller,
        action: &'static str,
        document: NodeId,
        path: String,
        outcome: impl Into<String>,
    ) -> AuditRow {
        let row = row(&caller.peer, &caller.uid, self.now(), action, Some(document), outcome.into());
        AuditRow { path, ..row }
    }

    /// Writes a row without keeping the caller waiting; its path is looked up on the way.
    pub(super) fn audit_later(
        &self,
        caller: &Caller,
        action: &'static str,
        document: Option<NodeId>,
        outcome: impl Into<String>,
    ) {
        self.append_later(row(&caller.peer, &caller.uid, self.now(), action, document, outcome.into()));
    }

    /// The same where the path is known: the document is gone.
    pub(super) fn audit_gone(
        &self,
        caller: &Caller,
        action: &'static str,
        document: NodeId,
        path: &str,
        outcome: String,
    ) {
        self.append_later(self.audit_row(caller, action, document, path.into(), outcome));
    }

    fn append_later(&self, mut row: AuditRow) {
        let meta = self.stores.meta.clone();
        tokio::spawn(async move {
            if let Some(document) = row.document.filter(|_| row.path.is_empty()) {
                row.path = meta.path(document).await.ok().flatten().unwrap_or_default();
            }
            if let Err(error) = meta.audit(vec![row]).await {
                tracing::error!(%error, "an audit row was not written");
            }
        });
    }

    /// Writes down that sealed data does not verify; other failures are passed over.
    pub(super) fn note_damage(&self, caller: &Caller, document: NodeId, failure: &Failure) {
        if failure.code == Code::Integrity {
            let cause = failure.cause.as_ref().map_or_else(|| failure.detail.clone(), ToString::to_string);
            self.audit_later(caller, "integrity", Some(document), cause);
        }
    }

    /// Writes down a login or its refusal.
    pub(super) fn note_login(&self, peer: &Peer, request: &LoginRequest, outcome: &'static str) {
        self.append_later(row(peer, &request.uid, self.now(), "login", None, outcome.into()));
    }
}

/// A row whose path is still to be filled in.
fn row(
    peer: &Peer,
    user: &Uid,
    time: Timestamp,
    action: &'static str,
    document: Option<NodeId>,
    outcome: String,
) -> AuditRow {
    AuditRow {
        time,
        user: Some(user.clone()),
        machine: Some(peer.machine.clone()),
        action,
        document,
        path: String::new(),
        outcome,
        request_id: peer.request_id.clone(),
    }
}
