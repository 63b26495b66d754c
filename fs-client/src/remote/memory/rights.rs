//! Who may do what on the server in this process. The latest grant is the rule; the nearest level with a live one decides.

use std::time::Duration;

use sss_common::{Code, Effective, Grantee, Kind, Name, NodeId, Right, Timestamp, Uid};

use super::{Effect, Grant, Result, State, refuse};

impl Grant {
    /// Whether it is one, and no limit; and nobody took it back.
    pub(super) fn gives(&self) -> bool {
        self.over.is_none() && self.effect == Effect::Gives
    }
}

impl State {
    /// A copy has the grants on its document as limits; only owners have one of a document that is gone, hidden or in another
    /// folder.
    pub(super) fn limit(&mut self, copy: NodeId, document: Option<NodeId>, now: Timestamp) {
        let folder = |id| self.levels(id).get(1).copied();
        match document.filter(|document| folder(*document) == folder(copy)) {
            None => self.grants.push(Grant {
                node: copy,
                grantee: Grantee::All,
                right: Right::Both,
                until: Timestamp::MAX,
                over: None,
                by_maker: false,
                effect: Effect::Bars,
            }),
            Some(document) => {
                let live =
                    |grant: &&Grant| grant.node == document && grant.over.is_none() && now < grant.until;
                let there = self.grants.iter().filter(live);
                let limits: Vec<Grant> = there
                    .map(|grant| Grant {
                        node: copy,
                        by_maker: false,
                        until: Timestamp::MAX,
                        effect: if grant.effect == Effect::Bars { Effect::Bars } else { Effect::Limits },
                        ..grant.clone()
                    })
                    .collect();
                self.grants.extend(limits);
            }
        }
    }

    /// The document that an editor would call this the backup of.
    pub(super) fn backed_up(
        &self,
        (folder, name): &(NodeId, Name),
        user: &Uid,
        now: Timestamp,
    ) -> Option<NodeId> {
        let there = name.backed_up().filter_map(|original| self.child(*folder, &original));
        let mut files = there.filter(|id| self.nodes.get(id).is_some_and(|node| node.kind == Kind::File));
        files.find(|id| self.visible(*id, user, now))
    }

    /// Whether a grant to the user lives here, or ended less than a day ago.
    fn bears_on(&self, node: NodeId, user: &Uid, now: Timestamp) -> bool {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        let is =
            |grantee: &Grantee| matches!(grantee, Grantee::All) || *grantee == Grantee::User(user.clone());
        let known = |grant: &Grant| now < grant.over.unwrap_or(grant.until).min(grant.until).after(DAY);
        self.grants.iter().any(|grant| {
            grant.node == node && is(&grant.grantee) && grant.effect == Effect::Gives && known(grant)
        })
    }

    fn is_of(&self, id: NodeId, user: &Uid) -> bool {
        self.nodes.get(&id).is_some_and(|node| node.owner == *user)
    }

    /// Whether the user has the home in which it lies.
    pub(super) fn has_home_of(&self, id: NodeId, user: &Uid) -> bool {
        self.levels(id).last().is_some_and(|home| self.is_of(*home, user))
    }

    /// Who has the home is an owner of all in it; a guest of what he made, as long as the home's owner lets him.
    pub(super) fn owns(&self, id: NodeId, user: &Uid, now: Timestamp) -> bool {
        self.has_home_of(id, user) || (self.is_of(id, user) && self.let_until(id, user, now).is_some())
    }

    /// Until when the home's owner gives the user a right.
    fn let_until(&self, id: NodeId, user: &Uid, now: Timestamp) -> Option<Timestamp> {
        let live = |level| {
            self.rule_here(level, user, |grant| !grant.by_maker && grant.effect == Effect::Gives)
                .map(|grant| grant.until)
        };
        self.levels(id).into_iter().filter_map(live).find(|until| now < *until)
    }

    /// A guest may read and delete what he made and saved last, whatever ended.
    fn saved(&self, id: NodeId, user: &Uid) -> bool {
        let mine = |node: &super::Node| {
            node.kind != Kind::Folder
                && node.owner == *user
                && node.author.as_ref().unwrap_or(&node.owner) == user
        };
        self.nodes.get(&id).is_some_and(mine)
    }

    /// The grant that rules on one node, among those that count.
    fn rule_here(&self, node: NodeId, user: &Uid, counts: impl Fn(&Grant) -> bool) -> Option<&Grant> {
        let of = |grantee: Grantee| {
            let mut here = self
                .grants
                .iter()
                .filter(|grant| grant.node == node && grant.over.is_none() && counts(grant));
            here.find(|grant| grant.grantee == grantee)
        };
        of(Grantee::User(user.clone())).or_else(|| of(Grantee::All))
    }

    pub(super) fn ruling(&self, id: NodeId, user: &Uid, now: Timestamp) -> Option<(Right, Timestamp)> {
        let live = |level| {
            let grant = self.rule_here(level, user, |_| true)?;
            let until = match grant.by_maker {
                // What a guest grants lasts no longer than his own right.
                true => self.let_until(level, &self.nodes[&level].owner, now)?.min(grant.until),
                false => grant.until,
            };
            (now < until).then_some((grant, until))
        };
        let mut most = Right::Both;
        for (grant, until) in self.levels(id).into_iter().filter_map(live) {
            match grant.effect {
                Effect::Gives => return most.common(grant.right).map(|right| (right, until)),
                Effect::Limits => most = most.common(grant.right)?,
                Effect::Bars => return None,
            }
        }
        None
    }

    pub(super) fn effective(&self, id: NodeId, user: &Uid, now: Timestamp) -> Effective {
        let ends_in = |until: Timestamp| Some(until.since(now).as_millis() as u64);
        if self.owns(id, user, now) {
            let ends_in_ms = match self.has_home_of(id, user) {
                true => None,
                false => self.let_until(id, user, now).and_then(ends_in),
            };
            return Effective { owner: true, checkout: true, checkin: true, ends_in_ms };
        }
        if self.saved(id, user) {
            return Effective { checkout: true, ..Effective::default() };
        }
        self.ruling(id, user, now).map_or_else(Effective::default, |(right, until)| Effective {
            owner: false,
            checkout: right.reads(),
            checkin: right.writes(),
            ends_in_ms: ends_in(until),
        })
    }

    fn any_below(&self, id: NodeId, found: impl Fn(NodeId) -> bool) -> bool {
        self.nodes.keys().any(|other| *other != id && self.levels(*other).contains(&id) && found(*other))
    }

    fn visible(&self, id: NodeId, user: &Uid, now: Timestamp) -> bool {
        self.has_home_of(id, user)
            || self.saved(id, user)
            || self.levels(id).iter().any(|level| self.bears_on(*level, user, now))
            || self.any_below(id, |other| self.bears_on(other, user, now) || self.saved(other, user))
    }

    /// What a listing shows: what there is a live right on, and what leads there.
    pub(super) fn listed(&self, id: NodeId, user: &Uid, now: Timestamp) -> bool {
        let gives = |grant: &Grant| grant.effect == Effect::Gives;
        let live = |other| self.rule_here(other, user, gives).is_some_and(|grant| now < grant.until);
        let right = self.effective(id, user, now);
        right.owner
            || right.checkout
            || right.checkin
            || self.any_below(id, |other| live(other) || self.saved(other, user))
    }

    /// What is not there and what is hidden look the same.
    pub(super) fn see(&self, id: NodeId, user: &Uid, now: Timestamp) -> Result<()> {
        self.node(id)?;
        if self.visible(id, user, now) { Ok(()) } else { refuse(Code::NotFound, "no such document") }
    }

    pub(super) fn allow(&self, id: NodeId, user: &Uid, now: Timestamp, want: Right) -> Result<()> {
        self.see(id, user, now)?;
        let right = self.effective(id, user, now);
        if (!want.reads() || right.checkout) && (!want.writes() || right.checkin) {
            return Ok(());
        }
        match self.ruling(id, user, now) {
            None => refuse(Code::GrantEnded, "the grant ended"),
            Some(_) => refuse(Code::NoRight, "your grant does not give you this right"),
        }
    }

    pub(super) fn own(&self, id: NodeId, user: &Uid, now: Timestamp) -> Result<()> {
        self.see(id, user, now)?;
        if self.owns(id, user, now) { Ok(()) } else { refuse(Code::NoRight, "only the owner may do this") }
    }

    /// Whether the user may delete it.
    pub(super) fn delete(&self, id: NodeId, user: &Uid, now: Timestamp) -> Result<()> {
        if self.saved(id, user) { Ok(()) } else { self.own(id, user, now) }
    }

    /// Whether the user may grant rights to it: a guest to his documents, and not to his folders.
    pub(super) fn share(&self, id: NodeId, user: &Uid, now: Timestamp) -> Result<()> {
        self.own(id, user, now)?;
        let whole = self.has_home_of(id, user) || self.node(id)?.kind != Kind::Folder;
        if whole { Ok(()) } else { refuse(Code::NoRight, "only the home's owner may do this") }
    }
}
