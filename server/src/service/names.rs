//! Names to nodes, and what a caller is shown of them.
//!
//! Costs: a node or a child is one read of the store, facts included; a path is one for each of its names; a listing is
//! one for each page.

use sss_common::limits::LIST_MAX;
use sss_common::wire::calls::{
    Attr, Empty, Entry, HomeRequest, HomesResponse, ListRequest, ListResponse, LookupRequest, NodeRequest,
};
use sss_common::{Code, DocPath, Kind, Name, NodeId};

use super::audit::{AuditAction, AuditOutcome};
use super::{Caller, Failure, Outcome, Service};
use crate::store::{Node, Seen};
use sss_policy::{self as policy, Act, Action, Allowed, Facts, Level, Refusal, See};

impl Service {
    /// The root of a home, as far as the caller may see it.
    pub async fn fs_home(&self, caller: &Caller, request: HomeRequest) -> Outcome<Attr> {
        let seen = self.seen_home(caller, &request.uid).await?;
        Ok(self.attr_of(&seen))
    }

    /// Other users' homes with something in them that the caller has a live right on.
    pub async fn fs_homes(&self, caller: &Caller, _: Empty) -> Outcome<HomesResponse> {
        Ok(HomesResponse { uids: self.meta().shared_homes(&caller.uid, self.now()).await? })
    }

    /// A name in a folder.
    pub async fn fs_lookup(&self, caller: &Caller, request: LookupRequest) -> Outcome<Attr> {
        let seen = self.seen_child(caller, request.parent, &request.name).await?;
        Ok(self.attr_of(&seen.ok_or_else(Failure::not_found)?))
    }

    /// A node's attributes.
    pub async fn fs_attr(&self, caller: &Caller, request: NodeRequest) -> Outcome<Attr> {
        Ok(self.attr_of(&self.seen(caller, request.node).await?))
    }

    /// A page of a folder: what the caller has a live right on, and what leads to it.
    pub async fn fs_list(&self, caller: &Caller, request: ListRequest) -> Outcome<ListResponse> {
        let folder = self.seen(caller, request.folder).await?;
        if folder.node.kind != Kind::Folder {
            return Err(Failure::new(Code::NotFolder, "it is not a folder"));
        }
        let limit = request.limit.clamp(1, LIST_MAX) as usize;
        let mut after = request.after;
        // A page of which nothing is shown is followed by the next, so that an empty answer is the end.
        loop {
            let (meta, now) = (self.meta(), self.now());
            let page = meta.children(request.folder, after.as_ref(), limit, &caller.uid, now).await?;
            let more = page.len() == limit;
            after = page.last().and_then(|seen| seen.node.name.clone());
            let shown = page.iter().filter(|seen| policy::listed(&seen.facts, now));
            let entries: Vec<Entry> = shown
                .filter_map(|seen| Some(Entry { name: seen.node.name.clone()?, attr: self.attr_of(seen) }))
                .collect();
            if !entries.is_empty() || !more {
                return Ok(ListResponse { entries, more });
            }
        }
    }

    /// A node that the caller may see.
    pub(super) async fn seen(&self, caller: &Caller, node: NodeId) -> Outcome<Seen> {
        self.permit(caller, node, See).await.map(|(seen, _)| seen)
    }

    /// A node on which the caller may do this, with the proof: one read of the store, one decision. Whom the node is hidden
    /// from learns nothing of it, and nothing of him is written down; another refusal is, as [`Service::allow`] says.
    pub(super) async fn permit<A: Act>(
        &self,
        caller: &Caller,
        node: NodeId,
        act: A,
    ) -> Outcome<(Seen, Allowed<A>)> {
        let seen = self.meta().node(node, &caller.uid, self.now()).await?.ok_or_else(Failure::not_found)?;
        match policy::decide(&seen.facts, act, self.now()) {
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
        let child = self.meta().child(parent, name, &caller.uid, self.now()).await?;
        Ok(child.filter(|seen| policy::decide(&seen.facts, See, self.now()).is_ok()))
    }

    /// A home that the caller may see.
    pub(super) async fn seen_home(&self, caller: &Caller, owner: &sss_common::Uid) -> Outcome<Seen> {
        let seen = self.meta().home(owner, &caller.uid, self.now()).await?.ok_or_else(Failure::not_found)?;
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
        let decided = policy::decide(&seen.facts, act, self.now());
        decided.map_err(|refusal| self.refused(caller, seen, A::ACTION, refusal))
    }

    fn refused(&self, caller: &Caller, seen: &Seen, action: Action, refusal: Refusal) -> Failure {
        let attempted = match action {
            Action::See => None,
            Action::Checkout => Some(AuditAction::Checkout),
            Action::Checkin => Some(AuditAction::Checkin),
            Action::Own => Some(AuditAction::Own),
        };
        if let Some(attempted) = attempted {
            self.note(caller, attempted, seen, AuditOutcome::Refused(refusal.to_string()));
        }
        refusal.into()
    }

    /// What the caller is shown of a node.
    pub(super) fn attr_of(&self, seen: &Seen) -> Attr {
        self.attr(&seen.node, &seen.facts)
    }

    /// What a user with these facts is shown of a node. Who has no live right learns that it is there, and whose.
    pub(super) fn attr(&self, node: &Node, facts: &Facts) -> Attr {
        let now = self.now();
        let shown = policy::listed(facts, now);
        Attr {
            node: node.id,
            kind: node.kind,
            size: if shown && node.kind != Kind::Folder { node.size } else { 0 },
            mode: node.mode,
            mtime_ns: if shown { node.mtime_ns } else { 0 },
            ctime_ns: if shown { node.ctime_ns } else { 0 },
            version: if shown { node.version } else { Default::default() },
            owner: node.owner.clone(),
            author: node.author.clone().filter(|_| shown),
            flag: node.flag.filter(|_| shown),
            right: policy::effective(facts, now),
        }
    }
}

/// The facts about a node that the user has just created in a folder with these facts.
pub(super) fn facts_of_new(parent: &Facts, node: NodeId) -> Facts {
    let own = Level { owner: parent.user.clone(), own: None, all: None };
    let levels = std::iter::once(own).chain(parent.levels.iter().cloned()).collect();
    Facts { user: parent.user.clone(), node, levels, below: policy::Below::Nothing }
}
