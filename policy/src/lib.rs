//! Who may do what: facts and a time in, [`Allowed`] or a [`Refusal`] out.
//!
//! Pure. [`Allowed`] can be made nowhere else; vault and store ask for the one that they need, by its type. The rules are
//! those of section 2 of the design, and `matrix.txt` is the golden matrix in which a reviewer sees every change to them.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make, damage and time what they like"))]

mod proof;

use std::fmt;
use std::time::Duration;

use sss_common::{Effective, NodeId, Right, Timestamp, Uid};

pub use proof::{Act, Allowed, Checkin, Checkout, Delete, MayRead, MayWrite, Own, See, Share};

/// One grant, as far as a decision needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What it allows.
    pub right: Right,
    /// It allows nothing from this moment on.
    pub until: Timestamp,
    /// Later grants have larger numbers, over the whole store.
    pub seq: u64,
    /// Taken back then, before its end: it rules nothing, but its holder knows of the document for a while.
    pub revoked: Option<Timestamp>,
    /// When it was set: a version that was replaced by then is no part of what is shared.
    pub since: Timestamp,
    /// Set by who made the document as a guest in the home, not by the home's owner.
    pub by_maker: bool,
    /// Whether it gives the right, or keeps it from being more.
    pub effect: Effect,
}

/// What a grant does. A copy that 3S makes by itself (an editor's backup, a conflict copy) takes the grants on its document
/// along as limits, so that nobody reads through it what he could not read there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Effect {
    /// It gives its right.
    #[default]
    Gives,
    /// It gives nothing, and of what levels above give its holder has no more than its right.
    Limits,
    /// It gives nothing, and of what levels above give its holder has nothing, whatever its right says.
    Bars,
}

/// How long after the end of a right its holder is told that it ended, and on what. Then he learns as little as who never had one.
pub const FADES: Duration = Duration::from_secs(24 * 3600);

impl Grant {
    /// Whether its holder knows of the document by it.
    pub fn known(&self, now: Timestamp) -> bool {
        if self.effect != Effect::Gives {
            return false;
        }
        let end = self.revoked.map_or(self.until, |revoked| revoked.min(self.until));
        now < end.after(FADES)
    }
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
    /// Something on which the user had a right, less than [`FADES`] ago.
    Had,
    /// Something on which the user has a live right, or that the user made and saved last.
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
    /// Whether it is a folder.
    pub folder: bool,
    /// Whether the user saved what is there now. Never for folders.
    pub saved: bool,
    /// For a document that a guest in the home made and shared: until when the guest has a right of his own ([`maker_until`]),
    /// as what he grants lasts no longer.
    pub maker_until: Option<Timestamp>,
}

impl Facts {
    /// The facts about a document that lies in the user's own home.
    pub fn at_home(user: Uid, node: NodeId) -> Facts {
        let levels = vec![Level { owner: user.clone(), own: None, all: None }];
        Facts { user, node, levels, below: Below::Nothing, folder: false, saved: false, maker_until: None }
    }
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
    /// Rename, flag, change the mode.
    Own,
    /// Delete it.
    Delete,
    /// Grant and revoke.
    Share,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The user must not learn that the node exists.
    Hidden,
    /// The user may see the node and never had, or no longer has by revocation, the right asked for. Who asks later than
    /// [`FADES`] after his last right ended gets `Hidden`.
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
            Refusal::NotOwner => f.write_str("only the owner of the document or of the home may do this"),
        }
    }
}

/// Decides. What the user may not see is `Hidden`, whatever the act.
pub fn decide<A: Act>(facts: &Facts, act: A, now: Timestamp) -> Result<Allowed<A>, Refusal> {
    let extent = right(facts, A::ACTION, now)?;
    Ok(Allowed::new(facts.user.clone(), facts.node, extent, act))
}

/// Decides once more, on facts that may have changed, what was decided for a proof.
pub fn confirm(facts: &Facts, action: Action, now: Timestamp) -> Result<(), Refusal> {
    right(facts, action, now).map(drop)
}

/// How far a right goes in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Extent {
    /// It ends then; `None`: with nothing but its loss.
    until: Option<Timestamp>,
    /// It is for versions that were not replaced by then; `None`: for all.
    since: Option<Timestamp>,
}

/// What the user is to the node.
enum Standing {
    /// The home's owner: an owner of all that lies in it.
    Home,
    /// Made it in another's home, and has a live right there from the home's owner: owns this one node until then.
    Maker(Timestamp),
    /// Made it in another's home, has no live right any more, and saved what is there now.
    Left,
    /// Has what grants give.
    Grantee,
}

fn standing(facts: &Facts, now: Timestamp) -> Standing {
    let owns = |level: Option<&Level>| level.is_some_and(|level| level.owner == facts.user);
    if owns(facts.levels.last()) {
        return Standing::Home;
    }
    if !owns(facts.levels.first()) {
        return Standing::Grantee;
    }
    match maker_until(facts, now) {
        Some(until) => Standing::Maker(until),
        None if facts.saved => Standing::Left,
        None => Standing::Grantee,
    }
}

/// Until when the home's owner gives the user a right here: until then a guest owns what he made. What guests grant each
/// other does not count, so that nobody keeps himself a right.
pub fn maker_until(facts: &Facts, now: Timestamp) -> Option<Timestamp> {
    let of_home =
        |grant: Option<Grant>| grant.filter(|grant| !grant.by_maker && grant.effect == Effect::Gives);
    let rule = |level: &Level| in_force(of_home(level.own), of_home(level.all));
    facts.levels.iter().filter_map(rule).map(|grant| grant.until).find(|until| now < *until)
}

/// How far the user's right goes, if there is one.
fn right(facts: &Facts, action: Action, now: Timestamp) -> Result<Extent, Refusal> {
    let of = |grant: Grant| Extent { until: Some(grant.until), since: Some(grant.since) };
    match (standing(facts, now), action) {
        (Standing::Home, _) | (Standing::Maker(_) | Standing::Left, Action::See) => Ok(Extent::default()),
        // His folder holds what others put there too: that is not his to share.
        (Standing::Maker(_), Action::Share) if facts.folder => Err(Refusal::NotOwner),
        (Standing::Maker(until), _) => Ok(Extent { until: Some(until), since: None }),
        (Standing::Left, Action::Checkout | Action::Delete) => Ok(Extent { until: None, since: Some(now) }),
        (Standing::Left | Standing::Grantee, _) => match (action, ruling(facts, now)) {
            _ if !visible(facts, now) => Err(Refusal::Hidden),
            (Action::See, _) => Ok(Extent::default()),
            (Action::Own | Action::Delete | Action::Share, _) => Err(Refusal::NotOwner),
            (Action::Checkout, Some(grant)) if grant.right.reads() => Ok(of(grant)),
            (Action::Checkin, Some(grant)) if grant.right.writes() => Ok(of(grant)),
            (_, Some(grant)) => Err(Refusal::Only(grant.right)),
            (_, None) => Err(last_end(facts, action, now).map_or(Refusal::NoRight, Refusal::Ended)),
        },
    }
}

/// What the user may do at this moment, for attributes and mode bits.
pub fn effective(facts: &Facts, now: Timestamp) -> Effective {
    let ends_in = |until: Timestamp| Some(until.since(now).as_millis().try_into().unwrap_or(u64::MAX));
    let ends_in_ms = match standing(facts, now) {
        Standing::Home => None,
        Standing::Maker(until) => ends_in(until),
        Standing::Left => return Effective { checkout: true, ..Effective::default() },
        Standing::Grantee => {
            return ruling(facts, now).map_or_else(Effective::default, |grant| Effective {
                owner: false,
                checkout: grant.right.reads(),
                checkin: grant.right.writes(),
                ends_in_ms: ends_in(grant.until),
            });
        }
    };
    Effective { owner: true, checkout: true, checkin: true, ends_in_ms }
}

/// Whether a listing of the parent shows the node: a live right on it, or a way to one.
pub fn listed(facts: &Facts, now: Timestamp) -> bool {
    let own = !matches!(standing(facts, now), Standing::Grantee);
    own || ruling(facts, now).is_some() || facts.below == Below::Live
}

/// Who may have the receipt of a deletion: who deleted the document, and whose home it lay in. Nobody else learns that it was
/// there, whatever grants there were: those went with it.
pub fn receipt(user: &Uid, deleted_by: &Uid, home: &Uid) -> Result<(), Refusal> {
    if user == deleted_by || user == home { Ok(()) } else { Err(Refusal::Hidden) }
}

fn visible(facts: &Facts, now: Timestamp) -> bool {
    facts.below > Below::Nothing
        || facts
            .levels
            .iter()
            .flat_map(|level| level.own.iter().chain(&level.all))
            .any(|grant| grant.known(now))
        || matches!(standing(facts, now), Standing::Left)
}

/// The grant that decides: the nearest level's that is live, cut down to what limits on the way leave of it.
fn ruling(facts: &Facts, now: Timestamp) -> Option<Grant> {
    let mut most = Right::Both;
    for grant in rules(facts).filter(|grant| now < grant.until) {
        match grant.effect {
            Effect::Gives => return most.common(grant.right).map(|right| Grant { right, ..grant }),
            Effect::Limits => most = most.common(grant.right)?,
            Effect::Bars => return None,
        }
    }
    None
}

/// The grants in force from the node up, each with its end: a guest's last no longer than his own right.
fn rules(facts: &Facts) -> impl Iterator<Item = Grant> {
    facts.levels.iter().filter_map(|level| in_force(level.own, level.all)).filter_map(|grant| {
        match grant.by_maker {
            false => Some(grant),
            true => facts.maker_until.map(|end| Grant { until: grant.until.min(end), ..grant }),
        }
    })
}

/// The grant that rules at a level: ALL's replaces what came before it, the user's own goes before ALL's.
fn in_force(own: Option<Grant>, all: Option<Grant>) -> Option<Grant> {
    let replaced_at = all.map_or(0, |grant| grant.seq);
    own.filter(|own| own.revoked.is_none() && own.seq >= replaced_at)
        .or(all.filter(|grant| grant.revoked.is_none()))
}

/// When the right asked for ended, if a grant in force once gave it.
fn last_end(facts: &Facts, action: Action, now: Timestamp) -> Option<Timestamp> {
    let gave = |grant: &Grant| match action {
        _ if grant.effect != Effect::Gives => false,
        Action::Checkout => grant.right.reads(),
        Action::Checkin => grant.right.writes(),
        Action::See | Action::Own | Action::Delete | Action::Share => false,
    };
    rules(facts).filter(gave).map(|grant| grant.until).filter(|end| *end <= now).max()
}

#[cfg(test)]
mod tests;
