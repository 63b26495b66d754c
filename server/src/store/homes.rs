//! Whole homes: emptied, given up, handed over. An administrator's, while a server may run on the same metadata.

use async_trait::async_trait;
use sss_common::{Name, Timestamp, Uid};

use super::{AuditRow, Deletion, Node, Result};

/// Whole homes. Every method is one transaction; see [`super::MetaStore`]. No proof is asked for: an administrator's command does it.
///
/// A home is given up in steps, each of which can be taken again: [`Homes::shut`], [`Homes::empty`] until nothing is left,
/// [`Homes::withdraw`] until nothing is left, [`Homes::remove_user`].
#[async_trait]
pub trait Homes: Send + Sync {
    /// Disables a user, ends the sessions, and takes back what is granted on the home itself, so that nobody makes anything new in
    /// its root; `NotFound` for an unknown uid.
    async fn shut(&self, uid: &Uid, audit: AuditRow) -> Result<()>;
    /// Removes what is in a home, entries before their folders, as [`super::Names::remove`] does on the behalf of the home's owner at
    /// that time: about `weight` documents, folders and versions, at least one node. Each has its row in the audit log.
    /// Returns what went; nothing when the home is empty. `NotFound`; [`super::StoreError::Enabled`] when the user is not disabled.
    async fn empty(&self, uid: &Uid, weight: usize, now: Timestamp) -> Result<Vec<Deletion>>;
    /// Takes from a disabled user up to `limit` grants that others gave, and up to `limit` nodes in others' homes, which become
    /// the homes' owners', without what the user granted on them. Returns how many there were; `NotFound`, `Enabled` as above.
    async fn withdraw(&self, uid: &Uid, limit: usize, now: Timestamp) -> Result<usize>;
    /// Removes a disabled user with sessions and home; the uid is never given again. `NotEmpty` while anything is left that
    /// the steps before take; `NotFound`, `Enabled` as above.
    async fn remove_user(&self, uid: &Uid, audit: AuditRow) -> Result<()>;
    /// When a user was removed who had this uid.
    async fn removed(&self, uid: &Uid) -> Result<Option<Timestamp>>;
    /// Puts all that is in one user's home into a new folder of another's: `into`, or a free name made of the first one's uid. Nodes
    /// keep their ids, versions, attributes and grants (those on the home itself go to the folder), but for grants to either of the two. The
    /// first one's nodes, and those that the other made there, become the other's. Returns the folder and how many nodes lie
    /// in it. `NotFound` for an unknown user, `Exists` when `into` is taken, `TooDeep`, `Loop` for one and the same user.
    async fn transfer(
        &self,
        from: &Uid,
        to: &Uid,
        into: Option<&Name>,
        audit: AuditRow,
    ) -> Result<(Node, u64)>;
    /// Grows with each of the changes above: what a server told its clients before may not be so any more.
    async fn reordered(&self) -> Result<u64>;
}
