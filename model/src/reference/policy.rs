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
    Delete,
    Share,
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

    pub(super) fn has_home_of(&self, id: Id, user: usize) -> bool {
        self.nodes[&self.home_of(id)].owner == user
    }

    /// Who has the home owns all in it; a guest what he made, while a right that the home's owner gave him lives.
    pub(super) fn owns(&self, id: Id, user: usize) -> bool {
        self.has_home_of(id, user) || (self.nodes[&id].owner == user && self.let_until(id, user).is_some())
    }

    /// Until when the home's owner gives a user a right here.
    fn let_until(&self, id: Id, user: usize) -> Option<i64> {
        let by_home =
            |level: Id| self.in_force(level, user, |grant| !grant.by_maker).map(|grant| grant.until);
        self.levels(id).into_iter().filter_map(by_home).find(|until| self.now < *until)
    }

    /// What a guest made, and saved last, is his to read and to delete, whatever ended.
    fn saved(&self, id: Id, user: usize) -> bool {
        let node = &self.nodes[&id];
        !node.is_folder() && node.owner == user && node.author.unwrap_or(node.owner) == user
    }

    /// The grants on one node that are in force for a user, whether they have run out or not: one to ALL replaces all
    /// that came before it, one to the user the user's own; and the user's own goes before ALL's.
    fn in_force(&self, id: Id, user: usize, counts: impl Fn(&Grant) -> bool) -> Option<&Grant> {
        let (mut own, mut all) = (None, None);
        for grant in &self.nodes[&id].grants {
            match grant.to {
                None => (own, all) = (None, Some(grant)),
                Some(to) if to == user => own = Some(grant),
                Some(_) => {}
            }
        }
        let live = |grant: Option<_>| grant.filter(|grant: &&Grant| grant.revoked.is_none() && counts(grant));
        live(own).or(live(all))
    }

    /// A grant that would give a right, if its giver may.
    fn live_here(&self, id: Id, user: usize) -> Option<&Grant> {
        self.in_force(id, user, |_| true).filter(|grant| self.now < grant.until)
    }

    /// The nearest level that gives a live right decides; what a guest grants lasts no longer than his own right.
    pub(super) fn ruling(&self, id: Id, user: usize) -> Option<(Right, i64)> {
        let (mut reads, mut writes) = (true, true);
        for level in self.levels(id) {
            let Some(grant) = self.in_force(level, user, |_| true) else {
                // A limit counts where no grant took its place: the user's own, else everybody's.
                let of =
                    |to: Option<usize>| self.nodes[&level].limits.iter().find(move |limit| limit.0 == to);
                if let Some((_, most, until)) = of(Some(user)).or_else(|| of(None))
                    && self.now < *until
                {
                    reads &= most.is_some_and(|right| right.reads());
                    writes &= most.is_some_and(|right| right.writes());
                }
                continue;
            };
            let until = match grant.by_maker {
                false => Some(grant.until),
                true => self.let_until(level, self.nodes[&level].owner).map(|end| grant.until.min(end)),
            };
            if let Some(until) = until.filter(|until| self.now < *until) {
                let right = match (reads && grant.right.reads(), writes && grant.right.writes()) {
                    (true, true) => Right::Both,
                    (true, false) => Right::Checkout,
                    (false, true) => Right::Checkin,
                    (false, false) => return None,
                };
                return Some((right, until));
            }
        }
        None
    }

    /// Whether a grant here is, or was until a day ago: the last of the user's own, or ALL's. One to ALL takes the others back.
    fn had_here(&self, id: Id, user: usize) -> bool {
        const DAY: i64 = 24 * 3600 * 1000;
        let grants = &self.nodes[&id].grants;
        let last = |to: Option<usize>| grants.iter().rposition(|grant| grant.to == to);
        [last(None), last(Some(user))].into_iter().flatten().any(|at| {
            let replaced = grants[at + 1..].iter().find(|grant| grant.to.is_none()).map(|grant| grant.since);
            let ends = [Some(grants[at].until), grants[at].revoked, replaced];
            ends.into_iter().flatten().min().is_some_and(|end| self.now < end + DAY)
        })
    }

    fn below(&self, id: Id) -> impl Iterator<Item = Id> {
        self.nodes.keys().copied().filter(move |other| *other != id && self.levels(*other).contains(&id))
    }

    /// Who owns it, or has or had a grant on it, or on anything above it, or below it.
    pub(super) fn visible(&self, id: Id, user: usize) -> bool {
        self.has_home_of(id, user)
            || self.saved(id, user)
            || self.levels(id).iter().any(|level| self.had_here(*level, user))
            || self.below(id).any(|other| self.had_here(other, user) || self.saved(other, user))
    }

    /// What a listing shows: what there is a live right on, and what leads there.
    pub(super) fn listed(&self, id: Id, user: usize) -> bool {
        self.owns(id, user)
            || self.saved(id, user)
            || self.ruling(id, user).is_some()
            || self.leads_somewhere(id, user)
    }

    fn leads_somewhere(&self, id: Id, user: usize) -> bool {
        self.below(id).any(|other| self.live_here(other, user).is_some() || self.saved(other, user))
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
        // A guest's folder holds what others put into it, too.
        if self.owns(id, user) {
            let whole = self.has_home_of(id, user) || !self.nodes[&id].is_folder();
            return if want != Want::Share || whole { Ok(()) } else { Err(libc::EACCES) };
        }
        if self.saved(id, user) && matches!(want, Want::Read | Want::Delete) {
            return Ok(());
        }
        if !self.visible(id, user) {
            return Err(libc::ENOENT);
        }
        let right = self.ruling(id, user).map(|(right, _)| right);
        let may = match want {
            Want::Own | Want::Delete | Want::Share => false,
            Want::Read => right.is_some_and(Right::reads),
            Want::Write => right.is_some_and(Right::writes),
        };
        if may { Ok(()) } else { Err(libc::EACCES) }
    }

    /// As text: what a user may do, and how long.
    pub(super) fn right(&self, id: Id, user: usize) -> String {
        let for_long = |right: &str, until: i64| format!("{right} for {} ms", until - self.now);
        if self.has_home_of(id, user) {
            return "owner".into();
        }
        if self.owns(id, user) {
            return self.let_until(id, user).map_or("owner".into(), |until| for_long("owner", until));
        }
        if self.saved(id, user) {
            return Right::Checkout.to_string();
        }
        self.ruling(id, user).map_or("none".into(), |(right, until)| for_long(right.as_str(), until))
    }
}
