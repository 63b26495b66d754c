//! The facts: what SQL finds from the user's rows upwards is looked for here in every node.

use sss_common::{Grantee, NodeId, Timestamp, Uid};

use super::state::State;
use crate::store::rules::{self, Claim, asks_below, asks_maker, has_live_right};
use crate::store::{Audience, Node, Result, Seen};
use sss_policy::{Below, Facts, Level, maker_until};

impl State {
    pub(super) fn seen(&self, id: NodeId, user: &Uid, now: Timestamp) -> Option<Seen> {
        let node = self.nodes.get(&id)?.clone();
        let levels = self.way_up(id).map(|node| self.level(node, user)).collect();
        let mut facts = rules::facts(&node, user, levels);
        if asks_maker(&facts) {
            let levels = self.way_up(id).map(|above| self.level(above, &node.owner)).collect();
            facts.maker_until = maker_until(&rules::facts(&node, &node.owner, levels), now);
        }
        if asks_below(&node, &facts, now) {
            let below = self.nodes.values().filter(|other| other.id != id && self.is_above(id, other.id));
            facts.below = below.map(|other| self.bears(other, user, now)).max().unwrap_or_default();
        }
        Some(Seen { node, facts, path: self.path(id)? })
    }

    /// What a proof said, on what is there now.
    pub(super) fn confirm(&self, claim: &Claim, now: Timestamp) -> Result<()> {
        let disabled = self.users.get(&claim.user).is_none_or(|user| user.disabled);
        claim.confirm(self.seen(claim.node, &claim.user, now), disabled, now)
    }

    fn level(&self, node: &Node, user: &Uid) -> Level {
        Level {
            owner: node.owner.clone(),
            own: self.grants.get(&(node.id, Grantee::User(user.clone()))).copied(),
            all: self.grants.get(&(node.id, Grantee::All)).copied(),
        }
    }

    /// What one node alone is to the user.
    fn bears(&self, node: &Node, user: &Uid, now: Timestamp) -> Below {
        let level = self.level(node, user);
        let had = level.own.iter().chain(&level.all).any(|grant| grant.known(now));
        // As something in a home: who is asked about is a guest there. What a maker granted is taken for live.
        let home = Level { owner: node.home.clone(), own: None, all: None };
        let facts =
            Facts { maker_until: Some(Timestamp(i64::MAX)), ..rules::facts(node, user, vec![level, home]) };
        match has_live_right(&facts, now) {
            true => Below::Live,
            false if had => Below::Had,
            false => Below::Nothing,
        }
    }

    pub(super) fn audience(&self, id: NodeId, now: Timestamp) -> Audience {
        let Some(node) = self.nodes.get(&id) else { return Audience::nobody() };
        let known = |level: &Node| {
            let grants = self.grants.iter().filter(|((on, _), grant)| *on == level.id && grant.known(now));
            grants.map(|((_, grantee), _)| grantee.clone()).collect::<Vec<_>>()
        };
        let grantees = self.way_up(id).flat_map(known);
        Audience::of(grantees.chain([&node.home, &node.owner].map(|uid| Grantee::User(uid.clone()))))
    }

    pub(super) fn shared_homes(&self, user: &Uid, now: Timestamp) -> Vec<Uid> {
        let live = |node: &&Node| node.home != *user && self.bears(node, user, now) == Below::Live;
        let homes: std::collections::BTreeSet<_> =
            self.nodes.values().filter(live).map(|node| node.home.clone()).collect();
        homes.into_iter().collect()
    }

    pub(super) fn path(&self, id: NodeId) -> Option<String> {
        let home = &self.nodes.get(&id)?.home;
        let names: Vec<_> = self.way_up(id).filter_map(|node| node.name.as_ref()).collect();
        Some(names.iter().rev().fold(format!("@{home}"), |path, name| format!("{path}/{name}")))
    }
}
