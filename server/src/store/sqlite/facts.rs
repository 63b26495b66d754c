//! The facts that a decision about one user rests on.
//!
//! The levels are one walk up, and so is the path. What lies below a folder is found from the other end: from the few rows that
//! concern the user (grants to it or to ALL in this home, its own nodes as a guest there) upwards, so the cost
//! follows their number and not the size of the home.

use std::collections::HashMap;

use rusqlite::{Connection, Row};
use sss_common::{Name, NodeId, Timestamp, Uid};

use super::rows::{self, GRANT_COLUMNS, NODE_COLUMNS, all, get, limit, text};
use super::{nodes, users};
use crate::store::rules::{self, Claim, asks_below, asks_maker, faded, has_live_right};
use crate::store::{Audience, Node, Result, Seen};
use sss_policy::{self as policy, Below, Facts, Level};

/// The columns of both grants at a level, of the tables `own` and `everyone`.
macro_rules! grant_columns {
    () => {
        "own.access, own.until, own.seq, own.revoked, own.since, own.by_maker, own.effect, \
         everyone.access, everyone.until, everyone.seq, everyone.revoked, everyone.since, everyone.by_maker, everyone.effect"
    };
}

/// Joins the grants of the user `:user` and of ALL on the table `n`.
macro_rules! grant_joins {
    () => {
        "LEFT JOIN grants own ON own.node = n.id AND own.grantee = :user \
         LEFT JOIN grants everyone ON everyone.node = n.id AND everyone.grantee = 'ALL'"
    };
}

/// Which grant of the table `g` gives the user `:user` a live right: not revoked, not ended, and ALL's only where
/// no later one of the user's own goes before it, ended or not.
macro_rules! live {
    () => {
        "(g.effect = 0 AND g.revoked = 0 AND g.until > :now AND NOT (g.grantee = 'ALL' AND EXISTS (
             SELECT 1 FROM grants o
             WHERE o.node = g.node AND o.grantee = :user AND o.revoked = 0 AND o.seq > g.seq)))"
    };
}

/// From `:id` up to the home. No walk goes further than folders can be nested, whatever the rows say.
const LEVELS: &str = concat!(
    "WITH RECURSIVE up (step, id, parent, owner, name) AS (
         SELECT 0, id, parent, owner, name FROM nodes WHERE id = :id
         UNION ALL
         SELECT up.step + 1, f.id, f.parent, f.owner, f.name FROM up JOIN nodes f ON f.id = up.parent WHERE up.step < 256
     )
     SELECT n.owner, n.name, ",
    grant_columns!(),
    " FROM up n ",
    grant_joins!(),
    " ORDER BY n.step"
);

const CHILDREN: &str = concat!(
    "SELECT ",
    rows::node_columns!(),
    ", ",
    grant_columns!(),
    " FROM nodes n ",
    grant_joins!(),
    " WHERE n.parent = :folder AND n.name > :after ORDER BY n.name LIMIT :most"
);

/// Every folder above a row that concerns the user, each with the best of what such rows give; of these `:folder`
/// `:itself`, or its children.
const BELOW: &str = concat!(
    "WITH RECURSIVE up (id, live) AS (
         SELECT * FROM (
             SELECT DISTINCT parent, 1 FROM nodes
             WHERE owner = :user AND home = :home AND owner <> home AND kind <> 2 AND coalesce(author, owner) = :user
             UNION
             SELECT n.parent, ",
    live!(),
    "        FROM grants g JOIN nodes n ON n.id = g.node
             WHERE g.grantee IN (:user, 'ALL') AND g.home = :home AND n.parent IS NOT NULL
                 AND g.effect = 0 AND g.until > :faded AND (g.revoked = 0 OR g.revoked > :faded))
         UNION
         SELECT n.parent, up.live FROM up JOIN nodes n ON n.id = up.id WHERE n.parent IS NOT NULL
     )
     SELECT up.id, max(up.live) FROM up JOIN nodes n ON n.id = up.id
     WHERE CASE WHEN :itself THEN n.id = :folder ELSE n.parent = :folder END
     GROUP BY up.id"
);

const SHARED_HOMES: &str = concat!(
    "SELECT home FROM nodes
     WHERE owner = :user AND owner <> home AND kind <> 2 AND coalesce(author, owner) = :user
     UNION
     SELECT g.home FROM grants g WHERE g.grantee IN (:user, 'ALL') AND g.home <> :user AND ",
    live!(),
    " ORDER BY 1"
);

pub(super) fn home(c: &Connection, owner: &Uid, user: &Uid, now: Timestamp) -> Result<Option<Seen>> {
    match users::home(c, owner)? {
        Some(id) => node(c, id, user, now),
        None => Ok(None),
    }
}

pub(super) fn node(c: &Connection, id: NodeId, user: &Uid, now: Timestamp) -> Result<Option<Seen>> {
    nodes::find(c, id)?.map(|node| seen(c, node, user, now)).transpose()
}

/// What a proof said, on what is there now: one walk up, one row of the user.
pub(super) fn confirm(c: &Connection, claim: &Claim, now: Timestamp) -> Result<()> {
    let disabled = users::find(c, &claim.user)?.is_none_or(|user| user.disabled);
    claim.confirm(node(c, claim.node, &claim.user, now)?, disabled, now)
}

/// A name that is hidden and one that is not there take the same queries, so that the time does not tell one from the other:
/// the name, the way up (of the folder, where there is no child), and what lies below, unless the levels give a live right,
/// and then nothing is hidden.
pub(super) fn child(
    c: &Connection,
    parent: NodeId,
    name: &Name,
    user: &Uid,
    now: Timestamp,
) -> Result<Option<Seen>> {
    let found = nodes::at(c, parent, name)?;
    let from = found.as_ref().map_or(parent, |node| node.id);
    // The home is the last level's owner's, and where there is no folder there is no home to be told.
    let (levels, path) = way_up(c, from, user)?;
    let Some(home) = levels.last().map(|level| level.owner.clone()) else { return Ok(None) };
    let mut facts = match &found {
        Some(node) => rules::facts(node, user, levels),
        None => Facts { levels, ..Facts::at_home(user.clone(), from) },
    };
    if let Some(node) = &found {
        facts.maker_until = maker_until(c, node, &facts, now)?;
    }
    let found_below = match has_live_right(&facts, now) {
        true => None,
        false => below(c, Under::Itself(from), &home, user, now)?.remove(&from),
    };
    let Some(node) = found else { return Ok(None) };
    if asks_below(&node, &facts, now) {
        facts.below = found_below.unwrap_or_default();
    }
    Ok(Some(Seen { node, facts, path }))
}

fn seen(c: &Connection, node: Node, user: &Uid, now: Timestamp) -> Result<Seen> {
    let (levels, path) = way_up(c, node.id, user)?;
    let mut facts = rules::facts(&node, user, levels);
    facts.maker_until = maker_until(c, &node, &facts, now)?;
    if asks_below(&node, &facts, now) {
        facts.below =
            below(c, Under::Itself(node.id), &node.home, user, now)?.remove(&node.id).unwrap_or_default();
    }
    Ok(Seen { node, facts, path })
}

/// A page of a folder: one query for its own levels, one for the page with its grants, at most one for what
/// lies below the folders in it.
pub(super) fn children(
    c: &Connection,
    folder: NodeId,
    after: Option<&Name>,
    most: usize,
    user: &Uid,
    now: Timestamp,
) -> Result<Vec<Seen>> {
    let home = nodes::folder(c, folder)?.home;
    let (above, folder_path) = way_up(c, folder, user)?;
    let values = rusqlite::named_params! {
        ":user": user.as_str(),
        ":folder": folder.0,
        ":after": after.map_or("", Name::as_str), // names have at least one byte
        ":most": limit(most),
    };
    let mut page = all(c, CHILDREN, values, |row| {
        let node = rows::node(row)?;
        let level = level(row, node.owner.clone(), NODE_COLUMNS)?;
        let levels = std::iter::once(level).chain(above.iter().cloned()).collect();
        let facts = rules::facts(&node, user, levels);
        let path = match &node.name {
            Some(name) => format!("{folder_path}/{name}"),
            None => folder_path.clone(),
        };
        Ok(Seen { node, facts, path })
    })?;
    for seen in &mut page {
        seen.facts.maker_until = maker_until(c, &seen.node, &seen.facts, now)?;
    }
    if page.iter().any(|seen| asks_below(&seen.node, &seen.facts, now)) {
        let mut below = below(c, Under::ChildrenOf(folder), &home, user, now)?;
        for seen in page.iter_mut().filter(|seen| asks_below(&seen.node, &seen.facts, now)) {
            seen.facts.below = below.remove(&seen.node.id).unwrap_or_default();
        }
    }
    Ok(page)
}

/// Until when who made a document as a guest may share it; asked only where a grant of his is to count.
fn maker_until(c: &Connection, node: &Node, facts: &Facts, now: Timestamp) -> Result<Option<Timestamp>> {
    if !asks_maker(facts) {
        return Ok(None);
    }
    let (levels, _) = way_up(c, node.id, &node.owner)?;
    Ok(policy::maker_until(&rules::facts(node, &node.owner, levels), now))
}

/// The levels from a node up to its home, and its path: one walk for both.
fn way_up(c: &Connection, id: NodeId, user: &Uid) -> Result<(Vec<Level>, String)> {
    let values = rusqlite::named_params! { ":id": id.0, ":user": user.as_str() };
    let steps =
        all(c, LEVELS, values, |row| Ok((level(row, text(row, 0)?, 2)?, get::<Option<String>>(row, 1)?)))?;
    let (levels, names): (Vec<Level>, Vec<Option<String>>) = steps.into_iter().unzip();
    let home = levels.last().map(|home| format!("@{}", home.owner)).unwrap_or_default();
    let path = names.iter().rev().flatten().fold(home, |path, name| path + "/" + name);
    Ok((levels, path))
}

fn level(row: &Row<'_>, owner: Uid, grants_at: usize) -> Result<Level> {
    Ok(Level { owner, own: rows::grant(row, grants_at)?, all: rows::grant(row, grants_at + GRANT_COLUMNS)? })
}

/// About which folders [`below`] asks.
enum Under {
    Itself(NodeId),
    ChildrenOf(NodeId),
}

/// What lies below folders; those that are missing in the answer have nothing.
fn below(
    c: &Connection,
    under: Under,
    home: &Uid,
    user: &Uid,
    now: Timestamp,
) -> Result<HashMap<NodeId, Below>> {
    let (folder, itself) = match under {
        Under::Itself(id) => (id, true),
        Under::ChildrenOf(id) => (id, false),
    };
    let values = rusqlite::named_params! {
        ":user": user.as_str(), ":home": home.as_str(), ":now": now.millis(),
        ":faded": faded(now).millis(), ":folder": folder.0, ":itself": itself,
    };
    let found = all(c, BELOW, values, |row| {
        Ok((NodeId(get(row, 0)?), if get(row, 1)? { Below::Live } else { Below::Had }))
    })?;
    Ok(found.into_iter().collect())
}

pub(super) fn shared_homes(c: &Connection, user: &Uid, now: Timestamp) -> Result<Vec<Uid>> {
    all(c, SHARED_HOMES, rusqlite::named_params! { ":user": user.as_str(), ":now": now.millis() }, |row| {
        text(row, 0)
    })
}

/// One walk up: who has, or had until a day ago, a grant on the node or above it; whose home it lies in, and who made it.
pub(super) fn audience(c: &Connection, id: NodeId, now: Timestamp) -> Result<Audience> {
    let grantees = all(
        c,
        "WITH RECURSIVE up (step, id, parent, owner, home) AS (
             SELECT 0, id, parent, owner, home FROM nodes WHERE id = :id
             UNION ALL
             SELECT up.step + 1, f.id, f.parent, NULL, NULL FROM up JOIN nodes f ON f.id = up.parent WHERE up.step < 256
         )
         SELECT g.grantee FROM up JOIN grants g ON g.node = up.id
         WHERE g.effect = 0 AND g.until > :faded AND (g.revoked = 0 OR g.revoked > :faded)
         UNION SELECT owner FROM up WHERE step = 0
         UNION SELECT home FROM up WHERE step = 0",
        rusqlite::named_params! { ":id": id.0, ":faded": faded(now).millis() },
        |row| rows::grantee(row, 0),
    )?;
    Ok(Audience::of(grantees))
}

/// `@owner/a/b`.
pub(super) fn path(c: &Connection, id: NodeId) -> Result<Option<String>> {
    let Some(node) = nodes::find(c, id)? else { return Ok(None) };
    let mut path = format!("@{}", node.home);
    for (_, name) in nodes::way_up(c, id)?.iter().rev() {
        if let Some(name) = name {
            path.push('/');
            path.push_str(name.as_str());
        }
    }
    Ok(Some(path))
}

#[cfg(test)]
mod tests;
