//! Nodes and their places: what the other families build on.

use rusqlite::{Connection, params};
use sss_common::limits::DEPTH_MAX;

use sss_common::{FileTime, Kind, Name, NodeId, Uid};

use super::rows::{self, all, change, get, int, one};
use crate::store::{Node, Result, StoreError};

pub(super) fn find(c: &Connection, id: NodeId) -> Result<Option<Node>> {
    one(c, concat!("SELECT ", rows::node_columns!(), " FROM nodes n WHERE n.id = ?"), [id.0], rows::node)
}

pub(super) fn at(c: &Connection, parent: NodeId, name: &Name) -> Result<Option<Node>> {
    let sql = concat!("SELECT ", rows::node_columns!(), " FROM nodes n WHERE n.parent = ? AND n.name = ?");
    one(c, sql, params![parent.0, name.as_str()], rows::node)
}

/// A node that must be there.
pub(super) fn existing(c: &Connection, id: NodeId) -> Result<Node> {
    find(c, id)?.ok_or(StoreError::NotFound)
}

/// A node that must be there and be a folder.
pub(super) fn folder(c: &Connection, id: NodeId) -> Result<Node> {
    let node = existing(c, id)?;
    if node.kind == Kind::Folder { Ok(node) } else { Err(StoreError::NotFolder) }
}

/// A node that must be at that place.
pub(super) fn placed(c: &Connection, id: NodeId, parent: NodeId, name: &Name) -> Result<Node> {
    at(c, parent, name)?.filter(|node| node.id == id).ok_or(StoreError::NotFound)
}

pub(super) fn is_empty(c: &Connection, id: NodeId) -> Result<bool> {
    Ok(one(c, "SELECT 1 FROM nodes WHERE parent = ? LIMIT 1", [id.0], |_| Ok(()))?.is_none())
}

pub(super) fn insert(c: &Connection, node: &Node) -> Result<()> {
    change(
        c,
        "INSERT INTO nodes (id, parent, name, home, owner, kind, mode, mtime_ns, ctime_ns, flag, version, size, author)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            node.id.0,
            node.parent.map(|id| id.0),
            node.name.as_ref().map(Name::as_str),
            node.home.as_str(),
            node.owner.as_str(),
            rows::kind_number(node.kind),
            node.mode,
            node.mtime_ns.0,
            node.ctime_ns.0,
            node.flag.map(|flag| flag.to_byte()),
            int(node.version.0)?,
            int(node.size)?,
            node.author.as_ref().map(|uid| uid.as_str()),
        ],
    )?;
    Ok(())
}

/// Grants and attributes go with the node's row.
pub(super) fn delete(c: &Connection, id: NodeId) -> Result<()> {
    change(c, "DELETE FROM versions WHERE node = ?", params![id.0])?;
    change(c, "DELETE FROM nodes WHERE id = ?", params![id.0])?;
    Ok(())
}

/// An entry of the folder came or went.
pub(super) fn touch(c: &Connection, folder: NodeId, now_ns: FileTime) -> Result<()> {
    change(c, "UPDATE nodes SET mtime_ns = ?1, ctime_ns = ?1 WHERE id = ?2", params![now_ns.0, folder.0])?;
    Ok(())
}

/// Puts a node elsewhere; the place must be free.
pub(super) fn place(c: &Connection, id: NodeId, parent: NodeId, name: &Name, now_ns: FileTime) -> Result<()> {
    change(
        c,
        "UPDATE nodes SET parent = ?, name = ?, ctime_ns = ? WHERE id = ?",
        params![parent.0, name.as_str(), now_ns.0, id.0],
    )?;
    Ok(())
}

/// The node itself, its folder, and so on up to the home, each with its name.
pub(super) fn way_up(c: &Connection, id: NodeId) -> Result<Vec<(NodeId, Option<Name>)>> {
    all(
        c,
        "WITH RECURSIVE up (step, id, parent, name) AS (
             SELECT 0, id, parent, name FROM nodes WHERE id = ?
             UNION ALL
             SELECT up.step + 1, n.id, n.parent, n.name FROM up JOIN nodes n ON n.id = up.parent WHERE up.step < 256
         )
         SELECT id, name FROM up ORDER BY step",
        [id.0],
        |row| Ok((NodeId(get(row, 0)?), rows::optional_text(row, 1)?)),
    )
}

/// How many names lead from the home to the node.
pub(super) fn depth(c: &Connection, id: NodeId) -> Result<usize> {
    Ok(way_up(c, id)?.len().saturating_sub(1))
}

/// Whether `height` more names fit below a folder.
pub(super) fn fits_below(c: &Connection, folder: NodeId, height: usize) -> Result<()> {
    if depth(c, folder)? + height <= DEPTH_MAX { Ok(()) } else { Err(StoreError::TooDeep) }
}

/// Whether anything below the folder is another's than `user`'s. Costs a walk over the subtree, up to the first.
pub(super) fn holds_others(c: &Connection, id: NodeId, user: &Uid) -> Result<bool> {
    let found = one(
        c,
        "WITH RECURSIVE down (id, owner, step) AS (
             SELECT id, owner, 0 FROM nodes WHERE parent = ?1
             UNION ALL
             SELECT n.id, n.owner, down.step + 1 FROM down JOIN nodes n ON n.parent = down.id WHERE down.step < 256
         )
         SELECT 1 FROM down WHERE owner <> ?2 LIMIT 1",
        params![id.0, user.as_str()],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

/// The most names that lead from the node to anything below it. Costs a walk over the whole subtree.
pub(super) fn height(c: &Connection, id: NodeId) -> Result<usize> {
    let height = one(
        c,
        "WITH RECURSIVE down (id, step) AS (
             SELECT ?, 0
             UNION ALL
             SELECT n.id, down.step + 1 FROM down JOIN nodes n ON n.parent = down.id WHERE down.step < 256
         )
         SELECT max(step) FROM down",
        [id.0],
        |row| rows::unsigned(row, 0),
    )?;
    usize::try_from(height.unwrap_or(0)).map_err(rows::damaged)
}
