//! Who may do what.

use sss_common::Right;

use super::{Grant, Id, Model, Refused};
use crate::step::USERS;

/// What somebody wants.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    Read,
    Write,
    Own,
}

impl Model {
    /// The node first, its home last.
    pub(super) fn levels(&self, id: Id) -> Vec<Id> {
        let mut levels = vec![id];
        let mut at = id;
        while let Some((folder, _)) = self.nodes.get(&at).and_then(|node| node.place.as_ref()) {
            at = *folder;
            levels.push(at);
        }
        levels
    }

    pub(super) fn home_of(&self, id: Id) -> Id {
        self.levels(id).last().copied().unwrap_or(id)
    }

    /// Who owns a node or anything above it.
    pub(super) fn owns(&self, id: Id, user: usize) -> bool {
        self.levels(id).iter().any(|level| self.nodes[level].owner == user)
    }

    /// The grants on one node that are in force for a user, whether they have run out or not: one to ALL replaces all
    /// that came before it, one to the user the user's own; and the user's own goes before ALL's.
    fn in_force(&self, id: Id, user: usize) -> Option<&Grant> {
        let (mut own, mut all) = (None, None);
        for grant in &self.nodes[&id].grants {
            match grant.to {
                None => (own, all) = (None, Some(grant)),
                Some(to) if to == user => own = Some(grant),
                Some(_) => {}
            }
        }
        own.filter(|grant| !grant.revoked).or(all.filter(|grant| !grant.revoked))
    }

    fn live_here(&self, id: Id, user: usize) -> Option<&Grant> {
        self.in_force(id, user).filter(|grant| self.now < grant.until)
    }

    /// The nearest level that gives a live right decides.
    pub(super) fn ruling(&self, id: Id, user: usize) -> Option<&Grant> {
        self.levels(id).into_iter().find_map(|level| self.live_here(level, user))
    }

    fn had_here(&self, id: Id, user: usize) -> bool {
        self.nodes[&id].grants.iter().any(|grant| grant.to.is_none_or(|to| to == user))
    }

    fn below(&self, id: Id) -> impl Iterator<Item = Id> {
        self.nodes.keys().copied().filter(move |other| *other != id && self.levels(*other).contains(&id))
    }

    /// Who owns it, or has or had a grant on it, or on anything above it, or below it.
    pub(super) fn visible(&self, id: Id, user: usize) -> bool {
        self.owns(id, user)
            || self.levels(id).iter().any(|level| self.had_here(*level, user))
            || self.below(id).any(|other| self.had_here(other, user) || self.nodes[&other].owner == user)
    }

    /// What a listing shows: what there is a live right on, and what leads there.
    pub(super) fn listed(&self, id: Id, user: usize) -> bool {
        self.owns(id, user) || self.ruling(id, user).is_some() || self.leads_somewhere(id, user)
    }

    fn leads_somewhere(&self, id: Id, user: usize) -> bool {
        self.below(id).any(|other| self.live_here(other, user).is_some() || self.nodes[&other].owner == user)
    }

    /// The homes of others in which there is something.
    pub(super) fn homes(&self, user: usize) -> Vec<usize> {
        (0..USERS.len()).filter(|home| *home != user && self.listed(*home, user)).collect()
    }

    /// Whether a user may. What is not there and what is hidden look the same.
    pub(super) fn decide(&self, id: Id, user: usize, want: Want) -> Refused<()> {
        if !self.nodes.contains_key(&id) {
            return Err(libc::ENOENT);
        }
        if self.owns(id, user) {
            return Ok(());
        }
        if !self.visible(id, user) {
            return Err(libc::ENOENT);
        }
        let right = self.ruling(id, user).map(|grant| grant.right);
        let may = match want {
            Want::Own => false,
            Want::Read => right.is_some_and(Right::reads),
            Want::Write => right.is_some_and(Right::writes),
        };
        if may { Ok(()) } else { Err(libc::EACCES) }
    }

    /// As text: what a user may do, and how long.
    pub(super) fn right(&self, id: Id, user: usize) -> String {
        if self.owns(id, user) {
            return "owner".into();
        }
        self.ruling(id, user)
            .map_or("none".into(), |grant| format!("{} for {} ms", grant.right, grant.until - self.now))
    }
}
