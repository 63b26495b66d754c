//! Attributes and grants.

use async_trait::async_trait;

use sss_common::{Flag, Grantee, NodeId, Timestamp, Version, XattrMode};

use super::MemoryStore;
use crate::store::rules::{Claim, MODE_MASK};
use crate::store::{AuditRow, GrantRow, NewGrant, Node, Result, SetAttr, Sharing, StoreError};
use sss_policy::{Allowed, MayWrite, Own, Share};

#[async_trait]
impl Sharing for MemoryStore {
    async fn set_attr(&self, proof: &dyn MayWrite, set: SetAttr) -> Result<Node> {
        let claim = Claim::of_writer(proof);
        self.write_by(&claim, set.now, |state| {
            let node = state.existing_mut(claim.node)?;
            node.mode = set.mode.map_or(node.mode, |mode| mode & MODE_MASK);
            node.mtime_ns = set.mtime_ns.unwrap_or(node.mtime_ns);
            node.ctime_ns = set.now.nanos();
            Ok(node.clone())
        })
    }

    async fn set_flag(&self, proof: &Allowed<Own>, flag: Flag, audit: AuditRow) -> Result<Node> {
        let (claim, now) = (Claim::of(proof), audit.time);
        self.write_audited_by(&claim, audit, |state| {
            let node = state.existing_mut(claim.node)?;
            if node.version != Version::NONE {
                return Err(StoreError::VersionMoved(node.version));
            }
            node.flag = Some(flag);
            node.ctime_ns = now.nanos();
            Ok(node.clone())
        })
    }

    async fn xattrs(&self, id: NodeId) -> Result<Vec<(String, Vec<u8>)>> {
        self.read(|state| {
            state.existing(id)?;
            let own = state.xattrs.iter().filter(|((node, _), _)| *node == id);
            Ok(own.map(|((_, name), value)| (name.clone(), value.clone())).collect())
        })
    }

    async fn set_xattr(
        &self,
        proof: &dyn MayWrite,
        name: &str,
        value: &[u8],
        mode: XattrMode,
        now: Timestamp,
    ) -> Result<()> {
        let claim = Claim::of_writer(proof);
        self.write_by(&claim, now, |state| state.set_xattr(claim.node, name, value, mode))
    }

    async fn remove_xattr(&self, proof: &dyn MayWrite, name: &str, now: Timestamp) -> Result<()> {
        let claim = Claim::of_writer(proof);
        self.write_by(&claim, now, |state| {
            state.xattrs.remove(&(claim.node, name.to_owned())).map(drop).ok_or(StoreError::NotFound)
        })
    }

    async fn grants(&self, id: NodeId) -> Result<Vec<GrantRow>> {
        self.read(|state| state.grants_on(id))
    }

    async fn set_grant(&self, proof: &Allowed<Share>, grant: NewGrant, audit: AuditRow) -> Result<()> {
        let (claim, since) = (Claim::of(proof), audit.time);
        self.write_audited_by(&claim, audit, |state| state.set_grant(claim.node, grant, &claim.user, since))
    }

    async fn revoke_grant(&self, proof: &Allowed<Share>, grantee: &Grantee, audit: AuditRow) -> Result<()> {
        let (claim, now) = (Claim::of(proof), audit.time);
        self.write_audited_by(&claim, audit, |state| state.revoke_grant(claim.node, grantee, now))
    }
}
