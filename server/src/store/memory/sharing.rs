//! Attributes and grants.

use async_trait::async_trait;

use sss_common::{Flag, Grantee, NodeId, Version, XattrMode};

use super::MemoryStore;
use crate::store::rules::{self, nanos};
use crate::store::{AuditRow, GrantRow, NewGrant, Node, Result, SetAttr, Sharing, StoreError};
use sss_policy::Allowed;

#[async_trait]
impl Sharing for MemoryStore {
    async fn set_attr(&self, allowed: &Allowed, set: SetAttr) -> Result<Node> {
        let id = rules::writable(allowed)?;
        self.write(|state| {
            let node = state.existing_mut(id)?;
            node.mode = set.mode.map_or(node.mode, |mode| mode & rules::MODE_MASK);
            node.mtime_ns = set.mtime_ns.unwrap_or(node.mtime_ns);
            node.ctime_ns = set.now_ns;
            Ok(node.clone())
        })
    }

    async fn set_flag(&self, allowed: &Allowed, flag: Flag, audit: AuditRow) -> Result<Node> {
        let id = rules::owned(allowed)?;
        let now_ns = nanos(audit.time);
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

    async fn set_xattr(&self, allowed: &Allowed, name: &str, value: &[u8], mode: XattrMode) -> Result<()> {
        let id = rules::writable(allowed)?;
        self.write(|state| state.set_xattr(id, name, value, mode))
    }

    async fn remove_xattr(&self, allowed: &Allowed, name: &str) -> Result<()> {
        let id = rules::writable(allowed)?;
        self.write(|state| state.xattrs.remove(&(id, name.to_owned())).map(drop).ok_or(StoreError::NotFound))
    }

    async fn grants(&self, id: NodeId) -> Result<Vec<GrantRow>> {
        self.read(|state| state.grants_on(id))
    }

    async fn set_grant(&self, allowed: &Allowed, grant: NewGrant, audit: AuditRow) -> Result<()> {
        let id = rules::owned(allowed)?;
        self.write_audited(audit, |state| state.set_grant(id, grant))
    }

    async fn revoke_grant(&self, allowed: &Allowed, grantee: &Grantee, audit: AuditRow) -> Result<()> {
        let id = rules::owned(allowed)?;
        self.write_audited(audit, |state| state.revoke_grant(id, grantee))
    }
}
