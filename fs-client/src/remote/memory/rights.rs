//! Who may do what on the server in this process. The latest grant is the rule; the nearest level with a live one decides.

use sss_common::{Code, Effective, Grantee, NodeId, Right, Timestamp, Uid};

use super::{Grant, Result, State, refuse};

impl State {
    fn bears_on(&self, node: NodeId, user: &Uid) -> bool {
        let is =
            |grantee: &Grantee| matches!(grantee, Grantee::All) || *grantee == Grantee::User(user.clone());
        self.grants.iter().any(|grant| grant.node == node && is(&grant.grantee))
    }

    pub(super) fn owns(&self, id: NodeId, user: &Uid) -> bool {
        self.levels(id).iter().any(|level| self.nodes.get(level).is_some_and(|node| node.owner == *user))
    }

    /// The grant that rules on one node, if it is live.
    fn live_here(&self, node: NodeId, user: &Uid, now: Timestamp) -> Option<&Grant> {
        let of = |grantee: Grantee| {
            let mut here = self.grants.iter().filter(|grant| grant.node == node && !grant.over);
            here.find(|grant| grant.grantee == grantee)
        };
        of(Grantee::User(user.clone())).or_else(|| of(Grantee::All)).filter(|grant| now < grant.until)
    }

    pub(super) fn ruling(&self, id: NodeId, user: &Uid, now: Timestamp) -> Option<(Right, Timestamp)> {
        let live = |level| self.live_here(level, user, now).map(|grant| (grant.right, grant.until));
        self.levels(id).into_iter().find_map(live)
    }

    pub(super) fn effective(&self, id: NodeId, user: &Uid, now: Timestamp) -> Effective {
        if self.owns(id, user) {
            return Effective { owner: true, checkout: true, checkin: true, ends_in_ms: None };
        }
        self.ruling(id, user, now).map_or_else(Effective::default, |(right, until)| Effective {
            owner: false,
            checkout: right.reads(),
            checkin: right.writes(),
            ends_in_ms: Some(until.since(now).as_millis() as u64),
        })
    }

    fn any_below(&self, id: NodeId, found: impl Fn(NodeId) -> bool) -> bool {
        self.nodes.keys().any(|other| *other != id && self.levels(*other).contains(&id) && found(*other))
    }

    fn visible(&self, id: NodeId, user: &Uid) -> bool {
        self.owns(id, user)
            || self.levels(id).iter().any(|level| self.bears_on(*level, user))
            || self.any_below(id, |other| self.bears_on(other, user) || self.nodes[&other].owner == *user)
    }

    /// What a listing shows: what there is a live right on, and what leads there.
    pub(super) fn listed(&self, id: NodeId, user: &Uid, now: Timestamp) -> bool {
        let leads = |other| self.live_here(other, user, now).is_some() || self.nodes[&other].owner == *user;
        self.owns(id, user) || self.ruling(id, user, now).is_some() || self.any_below(id, leads)
    }

    /// What is not there and what is hidden look the same.
    pub(super) fn see(&self, id: NodeId, user: &Uid) -> Result<()> {
        self.node(id)?;
        if self.visible(id, user) { Ok(()) } else { refuse(Code::NotFound, "no such document") }
    }

    pub(super) fn allow(&self, id: NodeId, user: &Uid, now: Timestamp, want: Right) -> Result<()> {
        self.see(id, user)?;
        let right = self.effective(id, user, now);
        if (!want.reads() || right.checkout) && (!want.writes() || right.checkin) {
            return Ok(());
        }
        match self.ruling(id, user, now) {
            None => refuse(Code::GrantEnded, "the grant ended"),
            Some(_) => refuse(Code::NoRight, "your grant does not give you this right"),
        }
    }

    pub(super) fn own(&self, id: NodeId, user: &Uid) -> Result<()> {
        self.see(id, user)?;
        if self.owns(id, user) { Ok(()) } else { refuse(Code::NoRight, "only the owner may do this") }
    }
}
