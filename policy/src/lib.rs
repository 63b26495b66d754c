//! Who may do what: facts and a time in, [`Allowed`] or a [`Refusal`] out.
//!
//! Pure. [`Allowed`] can be made nowhere else; vault and store ask for the one that they need, by its type. The rules are
//! those of section 2 of the design, and `matrix.txt` is the golden matrix in which a reviewer sees every change to them.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make, damage and time what they like"))]

mod proof;

use std::fmt;

use sss_common::{Effective, NodeId, Right, Timestamp, Uid};

pub use proof::{Act, Allowed, Checkin, Checkout, MayRead, MayWrite, Own, See};

/// One grant, as far as a decision needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What it allows.
    pub right: Right,
    /// It allows nothing from this moment on.
    pub until: Timestamp,
    /// Later grants have larger numbers, over the whole store.
    pub seq: u64,
    /// Taken back before its end: it rules nothing, but its holder knows of the document.
    pub revoked: bool,
}

/// A document or folder on the way to the home, with what bears on one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// Who created it.
    pub owner: Uid,
    /// The user's own latest grant here.
    pub own: Option<Grant>,
    /// The latest grant to ALL here.
    pub all: Option<Grant>,
}

/// For a folder: whether something below it makes it visible to the user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Below {
    /// Nothing does.
    #[default]
    Nothing,
    /// Something on which the user had a right.
    Had,
    /// Something on which the user has a live right, or that the user owns.
    Live,
}

/// All that a decision about one user and one node rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Who asks.
    pub user: Uid,
    /// About what.
    pub node: NodeId,
    /// The node first, the home last; never empty.
    pub levels: Vec<Level>,
    /// What lies below, for folders.
    pub below: Below,
}

/// What somebody wants to do, as a value: for words and tables. [`Act`] is the same as a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Learn that it is there, and its attributes.
    See,
    /// Read it.
    Checkout,
    /// Write it; on a folder: make something in it.
    Checkin,
    /// Delete, rename, flag, grant.
    Own,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The user must not learn that the node exists.
    Hidden,
    /// The user may see the node and never had, or no longer has by revocation, the right asked for.
    NoRight,
    /// A grant gave the right and ended at this moment.
    Ended(Timestamp),
    /// A live grant gives only this.
    Only(Right),
    /// Only an owner may.
    NotOwner,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Hidden => f.write_str("no such document"),
            Refusal::NoRight => f.write_str("no grant gives you this right"),
            Refusal::Ended(at) => write!(f, "the grant ended at {at}"),
            Refusal::Only(right) => write!(f, "your grant is for {right} only"),
            Refusal::NotOwner => {
                f.write_str("only the owner of the document or of an enclosing folder may do this")
            }
        }
    }
}

/// Decides. What the user may not see is `Hidden`, whatever the act.
pub fn decide<A: Act>(facts: &Facts, act: A, now: Timestamp) -> Result<Allowed<A>, Refusal> {
    let until = right(facts, A::ACTION, now)?;
    Ok(Allowed::new(facts.user.clone(), facts.node, until, act))
}

/// Until when the user has the right.
fn right(facts: &Facts, action: Action, now: Timestamp) -> Result<Option<Timestamp>, Refusal> {
    if owns(facts) {
        return Ok(None);
    }
    let ruling = ruling(facts, now);
    if !visible(facts) {
        return Err(Refusal::Hidden);
    }
    match (action, ruling) {
        (Action::See, _) => Ok(None),
        (Action::Own, _) => Err(Refusal::NotOwner),
        (Action::Checkout, Some(grant)) if grant.right.reads() => Ok(Some(grant.until)),
        (Action::Checkin, Some(grant)) if grant.right.writes() => Ok(Some(grant.until)),
        (_, Some(grant)) => Err(Refusal::Only(grant.right)),
        (_, None) => Err(last_end(facts, action, now).map_or(Refusal::NoRight, Refusal::Ended)),
    }
}

/// What the user may do at this moment, for attributes and mode bits.
pub fn effective(facts: &Facts, now: Timestamp) -> Effective {
    if owns(facts) {
        return Effective { owner: true, checkout: true, checkin: true, ends_in_ms: None };
    }
    match ruling(facts, now) {
        None => Effective::default(),
        Some(grant) => Effective {
            owner: false,
            checkout: grant.right.reads(),
            checkin: grant.right.writes(),
            ends_in_ms: Some(grant.until.since(now).as_millis().try_into().unwrap_or(u64::MAX)),
        },
    }
}

/// Whether a listing of the parent shows the node: a live right on it, or a way to one.
pub fn listed(facts: &Facts, now: Timestamp) -> bool {
    owns(facts) || ruling(facts, now).is_some() || facts.below == Below::Live
}

/// Who may have the receipt of a deletion: who deleted the document, and whose home it lay in. Nobody else learns that it was
/// there, whatever grants there were: those went with it.
pub fn receipt(user: &Uid, deleted_by: &Uid, home: &Uid) -> Result<(), Refusal> {
    if user == deleted_by || user == home { Ok(()) } else { Err(Refusal::Hidden) }
}

fn owns(facts: &Facts) -> bool {
    facts.levels.iter().any(|level| level.owner == facts.user)
}

fn visible(facts: &Facts) -> bool {
    facts.below > Below::Nothing
        || facts.levels.iter().any(|level| level.own.is_some() || level.all.is_some())
}

/// The grant that decides: the nearest level's that is live.
fn ruling(facts: &Facts, now: Timestamp) -> Option<Grant> {
    facts.levels.iter().filter_map(in_force).find(|grant| now < grant.until)
}

/// The grant that rules at a level: ALL's replaces what came before it, the user's own goes before ALL's.
fn in_force(level: &Level) -> Option<Grant> {
    let all = level.all.filter(|grant| !grant.revoked);
    let replaced_at = level.all.map_or(0, |grant| grant.seq);
    level.own.filter(|own| !own.revoked && own.seq >= replaced_at).or(all)
}

/// When the right asked for ended, if a grant in force once gave it.
fn last_end(facts: &Facts, action: Action, now: Timestamp) -> Option<Timestamp> {
    let gave = |grant: &Grant| match action {
        Action::Checkout => grant.right.reads(),
        Action::Checkin => grant.right.writes(),
        Action::See | Action::Own => false,
    };
    facts
        .levels
        .iter()
        .filter_map(in_force)
        .filter(gave)
        .map(|grant| grant.until)
        .filter(|end| *end <= now)
        .max()
}

#[cfg(test)]
mod tests;
