//! Names: where a node lies, who sees it there, and how that changes.

use async_trait::async_trait;

use sss_common::{Name, NodeId, Timestamp, Uid};

use super::{Audience, AuditRow, Deletion, NewNode, Node, Remove, Rename, Result, Seen};
use sss_policy::{Allowed, Checkin, Delete, Own};

/// Names: where a node lies, who sees it there, and how that changes. Every method is one transaction; see [`super::MetaStore`].
///
/// The reads come with the facts that a decision about `user` needs. `Facts::below` is filled in only where a decision
/// may depend on it: for folders whose levels give the user no live right at `now`.
///
/// A folder's times change when its entries do. Each change is to the node that its proof names.
#[async_trait]
pub trait Names: Send + Sync {
    /// A user's home.
    async fn home(&self, owner: &Uid, user: &Uid, now: Timestamp) -> Result<Option<Seen>>;
    /// Any node.
    async fn node(&self, id: NodeId, user: &Uid, now: Timestamp) -> Result<Option<Seen>>;
    /// A name in a folder.
    async fn child(&self, parent: NodeId, name: &Name, user: &Uid, now: Timestamp) -> Result<Option<Seen>>;
    /// Up to `limit` children behind `after`, in the order of their names' bytes, whether visible or not.
    /// Fewer than `limit` means that these were the last. `NotFound`, `NotFolder`.
    async fn children(
        &self,
        folder: NodeId,
        after: Option<&Name>,
        limit: usize,
        user: &Uid,
        now: Timestamp,
    ) -> Result<Vec<Seen>>;
    /// The other users in whose homes `user` has a live right on anything, or made and saved last anything, in order.
    async fn shared_homes(&self, user: &Uid, now: Timestamp) -> Result<Vec<Uid>>;
    /// `@owner/a/b`, for people and the audit log.
    async fn path(&self, id: NodeId) -> Result<Option<String>>;
    /// Whom it concerns when this node goes or moves; nobody, where it is not there.
    async fn audience(&self, id: NodeId, now: Timestamp) -> Result<Audience>;
    /// A new node in that folder. `Exists` when the name is taken, `NotFound` or `NotFolder` for the folder, `TooDeep`.
    async fn create(&self, folder: &Allowed<Checkin>, new: NewNode, audit: AuditRow) -> Result<Node>;
    /// Moves a node. `NotFound` when it is not there any more or the new folder is in another home, `Exists` when the
    /// new name is taken by anything but `rename.replacing`; `NotFolder`, `IsFolder` and `NotEmpty` as rename(2) has
    /// them, `Loop`, `TooDeep`. When what was to be replaced is gone already, that is as good. Onto itself: nothing.
    async fn rename(&self, proof: &Allowed<Own>, rename: Rename, audit: AuditRow) -> Result<Node>;
    /// Removes a node with its grants, attributes and versions; what only they used goes to the erasure and trash
    /// queues in the same transaction, which writes the deletion log too. `NotEmpty` for a folder with entries, `NotFound`
    /// when it is not (or no longer) under that parent and name.
    async fn remove(&self, proof: &Allowed<Delete>, remove: Remove, audit: AuditRow) -> Result<Deletion>;
}
