//! What every implementation shares: the check of the proofs that it is handed, limits, small conversions.

use sss_common::limits::{XATTR_NAME_MAX, XATTR_TOTAL_MAX, XATTR_VALUE_MAX};

use sss_common::{Kind, NodeId, Timestamp, Uid, Version};

use super::{Commit, NewNode, Node, Remove, Result, StoreError};
use sss_policy::{Action, Allowed, Facts, effective};

/// Permission bits that a node can have.
pub(super) const MODE_MASK: u32 = 0o7777;

/// The proof is an owner's, on this node.
pub(super) fn own(allowed: &Allowed, node: NodeId) -> Result<()> {
    fits(allowed, node, allowed.action() == Action::Own)
}

/// The proof is of the right to write this node, or an owner's.
pub(super) fn write(allowed: &Allowed, node: NodeId) -> Result<()> {
    fits(allowed, node, matches!(allowed.action(), Action::Checkin | Action::Own))
}

/// Whether the document is still the one that a version was made for: at its base, and, unless an owner changes just
/// that, under its flag.
pub(super) fn current(allowed: &Allowed, node: &Node, commit: &Commit) -> Result<()> {
    let own = allowed.action() == Action::Own;
    let flag = own || node.flag.is_none_or(|flag| flag == commit.flag);
    if node.version == commit.base && flag { Ok(()) } else { Err(StoreError::VersionMoved(node.version)) }
}

/// A document that begins to exist with its first version is the version's own.
pub(super) fn own_creation(commit: &Commit, new: &NewNode) -> Result<()> {
    if new.id == commit.node && commit.base == Version::NONE {
        return Ok(());
    }
    Err(StoreError::Damaged("a creation that is not its version's".into()))
}

/// A removal that was meant for one version finds that one.
pub(super) fn removable(node: &Node, remove: &Remove) -> Result<()> {
    match remove.version {
        Some(version) if version != node.version => Err(StoreError::VersionMoved(node.version)),
        _ => Ok(()),
    }
}

/// The node of an owner's proof.
pub(super) fn owned(allowed: &Allowed) -> Result<NodeId> {
    own(allowed, allowed.node()).map(|()| allowed.node())
}

/// The node of a proof of the right to write, or of an owner's.
pub(super) fn writable(allowed: &Allowed) -> Result<NodeId> {
    write(allowed, allowed.node()).map(|()| allowed.node())
}

/// A caller that hands in another proof has a bug, and nothing may happen then.
fn fits(allowed: &Allowed, node: NodeId, action: bool) -> Result<()> {
    if allowed.node() == node && action {
        Ok(())
    } else {
        Err(StoreError::Damaged(format!("a proof of {:?} on another node or action", allowed.action())))
    }
}

/// Nanoseconds since the epoch; stops at the ends of what fits (the years 1677 and 2262).
pub(super) fn nanos(at: Timestamp) -> i64 {
    at.millis().saturating_mul(1_000_000)
}

/// Sessions that ended, or could have lasted, until before this moment are forgotten: a day ago.
pub(super) fn session_over(now: Timestamp) -> Timestamp {
    Timestamp(now.millis().saturating_sub(24 * 3600 * 1000))
}

/// A new user's home.
pub(super) fn home(id: NodeId, uid: &Uid, now_ns: i64) -> Node {
    Node {
        id,
        parent: None,
        name: None,
        home: uid.clone(),
        owner: uid.clone(),
        kind: Kind::Folder,
        mode: 0o700,
        mtime_ns: now_ns,
        ctime_ns: now_ns,
        flag: None,
        version: Version::NONE,
        size: 0,
        author: None,
    }
}

/// Whether a decision may depend on what lies below: not for files, and not where the levels give a live right.
pub(super) fn asks_below(node: &Node, facts: &Facts, now: Timestamp) -> bool {
    let right = effective(facts, now);
    node.kind == Kind::Folder && !(right.owner || right.checkout || right.checkin)
}

/// Whether an attribute may be set on a node whose other attributes have `others` bytes of names and values.
pub(super) fn xattr_fits(name: &str, value: &[u8], others: usize) -> Result<()> {
    let fits = name.len() <= XATTR_NAME_MAX
        && value.len() <= XATTR_VALUE_MAX
        && others.saturating_add(name.len() + value.len()) <= XATTR_TOTAL_MAX;
    if fits { Ok(()) } else { Err(StoreError::TooLarge) }
}
