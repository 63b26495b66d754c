//! Names: looking them up, listing them, moving and removing them.
//!
//! Costs: a node or a child is one read of the store, facts included; a path is one for each of its names; a listing is
//! one for each page.

mod remove;
mod rename;

use sss_common::limits::LIST_MAX;
use sss_common::wire::calls::{
    Attr, Empty, Entry, HomeRequest, HomesResponse, ListRequest, ListResponse, LookupRequest, NodeRequest,
};
use sss_common::{Code, Kind, NodeId};

use crate::service::{Caller, Failure, Outcome, Service};
use crate::store::Audience;
use sss_policy as policy;

impl Service {
    /// Whom it concerns when these go or move.
    async fn concerned(&self, those: &[NodeId]) -> Outcome<Audience> {
        let mut concerned = Audience::nobody();
        for node in those {
            concerned = concerned.and(self.meta.audience(*node, self.now()).await?);
        }
        Ok(concerned)
    }

    /// The root of a home, as far as the caller may see it.
    pub async fn fs_home(&self, caller: &Caller, request: HomeRequest) -> Outcome<Attr> {
        let seen = self.rights.seen_home(caller, &request.uid).await?;
        Ok(self.rights.attr_of(&seen))
    }

    /// Other users' homes with something in them that the caller has a live right on.
    pub async fn fs_homes(&self, caller: &Caller, _: Empty) -> Outcome<HomesResponse> {
        Ok(HomesResponse { uids: self.meta.shared_homes(&caller.uid, self.now()).await? })
    }

    /// A name in a folder.
    pub async fn fs_lookup(&self, caller: &Caller, request: LookupRequest) -> Outcome<Attr> {
        let seen = self.rights.seen_child(caller, request.parent, &request.name).await?;
        Ok(self.rights.attr_of(&seen.ok_or_else(Failure::not_found)?))
    }

    /// A node's attributes.
    pub async fn fs_attr(&self, caller: &Caller, request: NodeRequest) -> Outcome<Attr> {
        Ok(self.rights.attr_of(&self.rights.seen(caller, request.node).await?))
    }

    /// A page of a folder: what the caller has a live right on, and what leads to it.
    pub async fn fs_list(&self, caller: &Caller, request: ListRequest) -> Outcome<ListResponse> {
        let folder = self.rights.seen(caller, request.folder).await?;
        if folder.node.kind != Kind::Folder {
            return Err(Failure::new(Code::NotFolder, "it is not a folder"));
        }
        let limit = request.limit.clamp(1, LIST_MAX) as usize;
        let mut after = request.after;
        // A page of which nothing is shown is followed by the next, so that an empty answer is the end.
        loop {
            let (meta, now) = (&self.meta, self.now());
            let page = meta.children(request.folder, after.as_ref(), limit, &caller.uid, now).await?;
            let more = page.len() == limit;
            after = page.last().and_then(|seen| seen.node.name.clone());
            let shown = page.iter().filter(|seen| policy::listed(&seen.facts, now));
            let entries: Vec<Entry> = shown
                .filter_map(|seen| {
                    Some(Entry { name: seen.node.name.clone()?, attr: self.rights.attr_of(seen) })
                })
                .collect();
            if !entries.is_empty() || !more {
                return Ok(ListResponse { entries, more });
            }
        }
    }
}
