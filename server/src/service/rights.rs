//! Who may do what with which node: finds it, asks the policy, writes a refusal down, and shows a caller of a node what he
//! may know.
//!
//! Costs: a node or a child is one read of the store, facts included; a path is one for each of its names.

use std::sync::Arc;

use sss_common::wire::fs::Attr;
use sss_common::{Clock, DocPath, FileTime, Kind, Name, NodeId};

use super::audit::{AuditAction, AuditLog, AuditOutcome};
use super::base::Base;
use super::{Caller, Failure, Outcome};
use crate::store::{MetaStore, Node, Seen};
use sss_policy::{self as policy, Act, Action, Allowed, Facts, Level, Refusal, See};

/// Asks the policy, on what the store says now.
pub(super) struct Rights {
    meta: Arc<dyn MetaStore>,
    clock: Arc<dyn Clock>,
    audit: Arc<AuditLog>,
}

impl Rights {
    pub(super) fn new(base: &Base) -> Self {
        Rights { meta: base.stores.meta.clone(), clock: base.clock.clone(), audit: base.audit.clone() }
    }

    /// A node that the caller may see.
    pub(super) async fn seen(&self, caller: &Caller, node: NodeId) -> Outcome<Seen> {
        self.permit(caller, node, See).await.map(|(seen, _)| seen)
    }

    /// A node on which the caller may do this, with the proof: one read of the store, one decision. Whom the node is hidden
    /// from learns nothing of it, and nothing of him is written down; another refusal is, as [`Rights::allow`] says.
    pub(super) async fn permit<A: Act>(
        &self,
        caller: &Caller,
        node: NodeId,
        act: A,
    ) -> Outcome<(Seen, Allowed<A>)> {
        let seen =
            self.meta.node(node, &caller.uid, self.clock.now()).await?.ok_or_else(Failure::not_found)?;
        match policy::decide(&seen.facts, act, self.clock.now()) {
            Ok(allowed) => Ok((seen, allowed)),
            Err(Refusal::Hidden) => Err(Failure::not_found()),
            Err(refusal) => Err(self.refused(caller, &seen, A::ACTION, refusal)),
        }
    }

    /// A child that the caller may see; `None` when there is none, or none for the caller.
    pub(super) async fn seen_child(
        &self,
        caller: &Caller,
        parent: NodeId,
        name: &Name,
    ) -> Outcome<Option<Seen>> {
        let child = self.meta.child(parent, name, &caller.uid, self.clock.now()).await?;
        Ok(child.filter(|seen| policy::decide(&seen.facts, See, self.clock.now()).is_ok()))
    }

    /// A home that the caller may see.
    pub(super) async fn seen_home(&self, caller: &Caller, owner: &sss_common::Uid) -> Outcome<Seen> {
        let seen =
            self.meta.home(owner, &caller.uid, self.clock.now()).await?.ok_or_else(Failure::not_found)?;
        self.allow(caller, &seen, See)?;
        Ok(seen)
    }

    /// What stands at a path, as far as the caller may see it.
    pub(super) async fn seen_path(&self, caller: &Caller, path: &DocPath) -> Outcome<Seen> {
        let mut seen = self.seen_home(caller, &path.owner).await?;
        for name in &path.names {
            seen = self.seen_child(caller, seen.node.id, name).await?.ok_or_else(Failure::not_found)?;
        }
        Ok(seen)
    }

    /// Asks the policy about a node that came by its path or its name. A refused check-out, check-in or owner's act is
    /// written into the audit log.
    pub(super) fn allow<A: Act>(&self, caller: &Caller, seen: &Seen, act: A) -> Outcome<Allowed<A>> {
        let decided = policy::decide(&seen.facts, act, self.clock.now());
        decided.map_err(|refusal| self.refused(caller, seen, A::ACTION, refusal))
    }

    fn refused(&self, caller: &Caller, seen: &Seen, action: Action, refusal: Refusal) -> Failure {
        let attempted = match action {
            Action::See => None,
            Action::Checkout => Some(AuditAction::Checkout),
            Action::Checkin => Some(AuditAction::Checkin),
            Action::Own => Some(AuditAction::Own),
            Action::Delete => Some(AuditAction::Delete),
            Action::Share => Some(AuditAction::Grant),
        };
        if let Some(attempted) = attempted {
            self.audit.note(caller, attempted, seen, AuditOutcome::Refused(refusal.to_string()));
        }
        refusal.into()
    }

    /// What the caller is shown of a node.
    pub(super) fn attr_of(&self, seen: &Seen) -> Attr {
        self.attr(&seen.node, &seen.facts)
    }

    /// What a user with these facts is shown of a node. Who has no live right learns that it is there, and whose.
    pub(super) fn attr(&self, node: &Node, facts: &Facts) -> Attr {
        let now = self.clock.now();
        let shown = policy::listed(facts, now);
        Attr {
            node: node.id,
            kind: node.kind,
            size: if shown && node.kind != Kind::Folder { node.size } else { 0 },
            mode: node.mode,
            mtime_ns: if shown { node.mtime_ns } else { FileTime(0) },
            ctime_ns: if shown { node.ctime_ns } else { FileTime(0) },
            version: if shown { node.version } else { Default::default() },
            owner: node.owner.clone(),
            author: node.author.clone().filter(|_| shown),
            flag: node.flag.filter(|_| shown),
            right: policy::effective(facts, now),
        }
    }
}

/// The facts about a document or folder that the user has just created in a folder with these facts.
pub(super) fn facts_of_new(parent: &Facts, node: &Node) -> Facts {
    let own = Level { owner: node.owner.clone(), own: None, all: None };
    let levels = std::iter::once(own).chain(parent.levels.iter().cloned()).collect();
    let folder = node.kind == Kind::Folder;
    Facts { node: node.id, levels, below: policy::Below::Nothing, folder, saved: !folder, ..parent.clone() }
}
