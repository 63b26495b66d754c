//! Attributes and grants.

use async_trait::async_trait;

use sss_common::{Flag, Grantee, NodeId, Version, XattrMode};

use super::MemoryStore;
use crate::store::rules::MODE_MASK;
use crate::store::{AuditRow, GrantRow, NewGrant, Node, Result, SetAttr, Sharing, StoreError};
use sss_policy::{Allowed, MayWrite, Own, Share};

#[async_trait]
impl Sharing for MemoryStore {
    async fn set_attr(&self, proof: &dyn MayWrite, set: SetAttr) -> Result<Node> {
        let id = proof.node();
        self.write(|state| {
            let node = state.existing_mut(id)?;
            node.mode = set.mode.map_or(node.mode, |mode| mode & MODE_MASK);
            node.mtime_ns = set.mtime_ns.unwrap_or(node.mtime_ns);
            node.ctime_ns = set.now_ns;
            Ok(node.clone())
        })
    }

    async fn set_flag(&self, proof: &Allowed<Own>, flag: Flag, audit: AuditRow) -> Result<Node> {
        let id = proof.node();
        let now_ns = audit.time.nanos();
        self.write_audited(audit, |state| {
            let node = state.existing_mut(id)?;
            if node.version != Version::NONE {
                return Err(StoreError::VersionMoved(node.version));
            }
            node.flag = Some(flag);
            node.ctime_ns = now_ns;
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

    async fn set_xattr(&self, proof: &dyn MayWrite, name: &str, value: &[u8], mode: XattrMode) -> Result<()> {
        let id = proof.node();
        self.write(|state| state.set_xattr(id, name, value, mode))
    }

    async fn remove_xattr(&self, proof: &dyn MayWrite, name: &str) -> Result<()> {
        let id = proof.node();
        self.write(|state| state.xattrs.remove(&(id, name.to_owned())).map(drop).ok_or(StoreError::NotFound))
    }

    async fn grants(&self, id: NodeId) -> Result<Vec<GrantRow>> {
        self.read(|state| state.grants_on(id))
    }

    async fn set_grant(&self, proof: &Allowed<Share>, grant: NewGrant, audit: AuditRow) -> Result<()> {
        let id = proof.node();
        let (by, since) = (proof.user().clone(), audit.time);
        self.write_audited(audit, |state| state.set_grant(id, grant, &by, since))
    }

    async fn revoke_grant(&self, proof: &Allowed<Share>, grantee: &Grantee, audit: AuditRow) -> Result<()> {
        let id = proof.node();
        self.write_audited(audit, |state| state.revoke_grant(id, grantee))
    }
}
