//! Granting, revoking, listing.
//!
//! Costs: one round trip; the facts; one transaction, then the news to those whom it concerns.

mod events;

use std::sync::Arc;
use std::time::Duration;

use sss_common::wire::documents::{GrantInfo, GrantList, GrantRequest};
use sss_common::wire::fs::{GrantsResponse, NodeRequest, RevokeRequest, SetGrantRequest, SetGrantResponse};
use sss_common::{Clock, Code, DocPath, Grantee, Right, When};

use crate::service::audit::{AuditAction, AuditLog};
use crate::service::base::Base;
use crate::service::hub::Hub;
use crate::service::rights::Rights;
use crate::service::waking::Waking;
use crate::service::{Caller, Failure, Outcome, Service};
use crate::store::{GrantRow, MetaStore, NewGrant, Seen, StoreError};
use sss_policy::{Allowed, Share};

/// Grants, and the news of them.
pub struct Sharing {
    meta: Arc<dyn MetaStore>,
    clock: Arc<dyn Clock>,
    audit: Arc<AuditLog>,
    rights: Arc<Rights>,
    hub: Arc<Hub>,
    waking: Arc<Waking>,
    default_ttl: Duration,
    max_ttl: Duration,
}

impl Sharing {
    pub(super) fn new(base: &Base, rights: Arc<Rights>, hub: Arc<Hub>, waking: Arc<Waking>) -> Self {
        Sharing {
            meta: base.stores.meta.clone(),
            clock: base.clock.clone(),
            audit: base.audit.clone(),
            rights,
            hub,
            waking,
            default_ttl: base.settings.default_ttl,
            max_ttl: base.settings.max_ttl,
        }
    }

    /// Sets a grant by path.
    pub async fn put_grant(
        &self,
        caller: &Caller,
        path: &DocPath,
        request: GrantRequest,
    ) -> Outcome<GrantInfo> {
        let when = request.when().map_err(|text| Failure::new(Code::BadGrant, text))?;
        let seen = self.rights.seen_path(caller, path).await?;
        let allowed = self.rights.allow(caller, &seen, Share)?;
        self.set_grant(caller, &seen, &allowed, request.grantee, request.right, when).await
    }

    /// The grants on what stands at a path.
    pub async fn get_grants(&self, caller: &Caller, path: &DocPath) -> Outcome<GrantList> {
        let seen = self.rights.seen_path(caller, path).await?;
        self.list_grants(caller, &seen).await
    }

    /// Takes a grant back by path.
    pub async fn delete_grant(&self, caller: &Caller, path: &DocPath, grantee: &Grantee) -> Outcome<()> {
        let seen = self.rights.seen_path(caller, path).await?;
        let allowed = self.rights.allow(caller, &seen, Share)?;
        self.revoke_grant(caller, &seen, &allowed, grantee).await
    }

    /// Sets a grant.
    async fn grant(&self, caller: &Caller, request: SetGrantRequest) -> Outcome<SetGrantResponse> {
        let (seen, allowed) = self.rights.permit(caller, request.node, Share).await?;
        self.set_grant(caller, &seen, &allowed, request.grantee, request.right, request.when).await
    }

    /// The grants on a node.
    async fn grants(&self, caller: &Caller, request: NodeRequest) -> Outcome<GrantsResponse> {
        let seen = self.rights.seen(caller, request.node).await?;
        self.list_grants(caller, &seen).await
    }

    /// Takes a grant back.
    async fn revoke(&self, caller: &Caller, request: RevokeRequest) -> Outcome<()> {
        let (seen, allowed) = self.rights.permit(caller, request.node, Share).await?;
        self.revoke_grant(caller, &seen, &allowed, &request.grantee).await
    }

    async fn set_grant(
        &self,
        caller: &Caller,
        seen: &Seen,
        allowed: &Allowed<Share>,
        grantee: Grantee,
        right: Right,
        when: Option<When>,
    ) -> Outcome<GrantInfo> {
        let now = self.clock.now();
        let until = when.map_or(now.after(self.default_ttl), |when| when.end(now));
        if until > now.after(self.max_ttl) {
            let days = self.max_ttl.as_secs() / 86_400;
            return Err(Failure::new(
                Code::BadGrant,
                format!("a grant on this server lasts at most {days} days ({} s)", self.max_ttl.as_secs()),
            ));
        }
        if let Grantee::User(uid) = &grantee
            && self.meta.user(uid).await?.is_none()
        {
            return Err(Failure::new(Code::BadGrant, format!("there is no user {uid} on this server")));
        }
        let grant = NewGrant { grantee: grantee.clone(), right, until };
        let detail = format!("{grantee} {right} until {until}");
        let audit = self.audit.row(caller, AuditAction::Grant, seen.node.id, &seen.path, detail);
        let late =
            |error: &_| self.audit.note_late(caller, AuditAction::Grant, seen.node.id, &seen.path, error);
        self.meta.set_grant(allowed, grant, audit).await.inspect_err(late)?;
        self.tell(&grantee);
        Ok(GrantInfo { grantee, right, until })
    }

    /// An owner sees all of a node's own grants; others what applies to them: their own or, where they have none, ALL's
    /// while it lives.
    async fn list_grants(&self, caller: &Caller, seen: &Seen) -> Outcome<GrantList> {
        let owner = self.rights.attr_of(seen).right.owner;
        let mine = Grantee::User(caller.uid.clone());
        let info = |row: GrantRow| GrantInfo { grantee: row.grantee, right: row.right, until: row.until };
        let rows = self.meta.grants(seen.node.id).await?;
        let (now, has_own) = (self.clock.now(), rows.iter().any(|row| row.grantee == mine));
        let alls = |row: &GrantRow| row.grantee == Grantee::All && !has_own && now < row.until;
        let shown = |row: &GrantRow| owner || row.grantee == mine || alls(row);
        Ok(GrantList { grants: rows.into_iter().filter(shown).map(info).collect() })
    }

    async fn revoke_grant(
        &self,
        caller: &Caller,
        seen: &Seen,
        allowed: &Allowed<Share>,
        grantee: &Grantee,
    ) -> Outcome<()> {
        let detail = grantee.to_string();
        let audit = self.audit.row(caller, AuditAction::Revoke, seen.node.id, &seen.path, detail);
        match self.meta.revoke_grant(allowed, grantee, audit).await {
            Ok(()) => {}
            Err(StoreError::NotFound) => {
                return Err(Failure::new(Code::NotFound, format!("there is no grant to {grantee} here")));
            }
            Err(error) => {
                self.audit.note_late(caller, AuditAction::Revoke, seen.node.id, &seen.path, &error);
                return Err(error.into());
            }
        }
        self.tell(grantee);
        Ok(())
    }

    /// To mounts, and to who drops what nobody may read any more.
    fn tell(&self, grantee: &Grantee) {
        self.hub.rights_changed(grantee.clone());
        self.waking.work.notify_one();
    }
}

impl Service {
    /// Sets a grant.
    pub async fn fs_grant(&self, caller: &Caller, request: SetGrantRequest) -> Outcome<SetGrantResponse> {
        self.sharing.grant(caller, request).await
    }

    /// The grants on a node.
    pub async fn fs_grants(&self, caller: &Caller, request: NodeRequest) -> Outcome<GrantsResponse> {
        self.sharing.grants(caller, request).await
    }

    /// Takes a grant back.
    pub async fn fs_revoke(&self, caller: &Caller, request: RevokeRequest) -> Outcome<()> {
        self.sharing.revoke(caller, request).await
    }
}
