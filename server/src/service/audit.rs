//! What is written down about each call.

use sss_common::wire::session::LoginRequest;
use sss_common::{Code, NodeId};

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
        AuditRow {
            time: self.now(),
            user: Some(caller.uid.clone()),
            node: Some(caller.peer.node.clone()),
            action,
            document: Some(document),
            path,
            outcome: outcome.into(),
            request_id: caller.peer.request_id.clone(),
        }
    }

    /// Writes a row without keeping the caller waiting; its path is looked up on the way.
    pub(super) fn audit_later(
        &self,
        caller: &Caller,
        action: &'static str,
        document: Option<NodeId>,
        outcome: impl Into<String>,
    ) {
        let mut row = AuditRow {
            time: self.now(),
            user: Some(caller.uid.clone()),
            node: Some(caller.peer.node.clone()),
            action,
            document,
            path: String::new(),
            outcome: outcome.into(),
            request_id: caller.peer.request_id.clone(),
        };
        let meta = self.stores.meta.clone();
        tokio::spawn(async move {
            if let Some(document) = document {
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
        let row = AuditRow {
            time: self.now(),
            user: Some(request.uid.clone()),
            node: Some(peer.node.clone()),
            action: "login",
            document: None,
            path: String::new(),
            outcome: outcome.into(),
            request_id: peer.request_id.clone(),
        };
        let meta = self.stores.meta.clone();
        tokio::spawn(async move {
            if let Err(error) = meta.audit(vec![row]).await {
                tracing::error!(%error, "an audit row was not written");
            }
        });
    }
}
