//! What a node says of itself, and who may use it: attributes and grants.

use async_trait::async_trait;

use sss_common::{Flag, Grantee, NodeId, Timestamp, XattrMode};

use super::{AuditRow, GrantRow, NewGrant, Node, Result, SetAttr};
use sss_policy::{Allowed, MayWrite, Own, Share};

/// What a node says of itself, and who may use it: attributes and grants. Every method is one transaction; see [`super::MetaStore`].
///
/// Each change is to the node that its proof names.
#[async_trait]
pub trait Sharing: Send + Sync {
    /// Sets mode and times.
    async fn set_attr(&self, proof: &dyn MayWrite, set: SetAttr) -> Result<Node>;
    /// Sets what new documents in a folder get, or the flag of a document that has no version yet; `VersionMoved` when
    /// it has one.
    async fn set_flag(&self, proof: &Allowed<Own>, flag: Flag, audit: AuditRow) -> Result<Node>;
    /// The other `user.*` attributes in the order of their names; `NotFound`.
    async fn xattrs(&self, id: NodeId) -> Result<Vec<(String, Vec<u8>)>>;
    /// Sets one. `Exists`, `NotFound` as the mode says; `TooLarge`.
    async fn set_xattr(
        &self,
        proof: &dyn MayWrite,
        name: &str,
        value: &[u8],
        mode: XattrMode,
        now: Timestamp,
    ) -> Result<()>;
    /// Removes one; `NotFound`.
    async fn remove_xattr(&self, proof: &dyn MayWrite, name: &str, now: Timestamp) -> Result<()>;
    /// The grants on a node that were not revoked or replaced, ended ones included: ALL first, then by uid. `NotFound`.
    async fn grants(&self, id: NodeId) -> Result<Vec<GrantRow>>;
    /// Sets a grant with the next sequence number. One to ALL revokes every earlier one on the node.
    async fn set_grant(&self, proof: &Allowed<Share>, grant: NewGrant, audit: AuditRow) -> Result<()>;
    /// Marks a grant revoked; `NotFound` when there is none.
    async fn revoke_grant(&self, proof: &Allowed<Share>, grantee: &Grantee, audit: AuditRow) -> Result<()>;
}
