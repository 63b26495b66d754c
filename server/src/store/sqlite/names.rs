//! Changes to names: create, rename, swap, remove.

use rusqlite::{Connection, params};

use sss_common::{Kind, Name, NodeId, Uid, Version};

use super::deletions::{self, By};
use super::reclaim::Loose;
use super::rows::change;
use super::{content, nodes};
use crate::store::rules::{self, MODE_MASK};
use crate::store::{Deletion, NewNode, Node, Remove, Rename, Result, StoreError, Swap};
use sss_policy::Allowed;

pub(super) fn create(c: &Connection, new: &NewNode, owner: &Uid) -> Result<Node> {
    let parent = nodes::folder(c, new.parent)?;
    nodes::fits_below(c, parent.id, 1)?;
    free(c, parent.id, &new.name)?;
    unused(c, new.id)?;
    let node = fresh(new, parent.home, parent.id, &new.name, owner);
    nodes::insert(c, &node)?;
    nodes::touch(c, parent.id, new.now_ns)?;
    Ok(node)
}

fn fresh(new: &NewNode, home: Uid, parent: NodeId, name: &Name, owner: &Uid) -> Node {
    Node {
        id: new.id,
        parent: Some(parent),
        name: Some(name.clone()),
        home,
        owner: owner.clone(),
        kind: new.kind,
        mode: new.mode & MODE_MASK,
        mtime_ns: new.now_ns,
        ctime_ns: new.now_ns,
        flag: new.flag,
        version: Version::NONE,
        size: 0,
        author: None,
    }
}

fn free(c: &Connection, parent: NodeId, name: &Name) -> Result<()> {
    if nodes::at(c, parent, name)?.is_some() { Err(StoreError::Exists) } else { Ok(()) }
}

fn unused(c: &Connection, id: NodeId) -> Result<()> {
    if nodes::find(c, id)?.is_some() { Err(StoreError::Exists) } else { Ok(()) }
}

pub(super) fn rename(c: &Connection, rename: &Rename, by: &By) -> Result<Node> {
    let node = nodes::placed(c, rename.node, rename.parent, &rename.name)?;
    let target = nodes::folder(c, rename.new_parent)?;
    if target.home != node.home {
        return Err(StoreError::NotFound);
    }
    if (rename.parent, &rename.name) == (rename.new_parent, &rename.new_name) {
        return Ok(node);
    }
    if nodes::way_up(c, target.id)?.iter().any(|(id, _)| *id == node.id) {
        return Err(StoreError::Loop);
    }
    fits(c, &node, &target)?;
    if let Some(there) = nodes::at(c, target.id, &rename.new_name)? {
        if rename.replacing != Some(there.id) {
            return Err(StoreError::Exists);
        }
        replaceable(c, &node, &there)?;
        deletions::remove_logged(c, there.id, by)?;
    }
    nodes::place(c, node.id, target.id, &rename.new_name, rename.now_ns)?;
    nodes::touch(c, rename.parent, rename.now_ns)?;
    nodes::touch(c, target.id, rename.now_ns)?;
    nodes::existing(c, node.id)
}

/// A folder's subtree is measured only when it comes to lie deeper than it did.
fn fits(c: &Connection, node: &Node, target: &Node) -> Result<()> {
    let deeper = nodes::depth(c, target.id)? + 1 > nodes::depth(c, node.id)?;
    let height = if node.kind == Kind::Folder && deeper { nodes::height(c, node.id)? } else { 0 };
    nodes::fits_below(c, target.id, height + 1)
}

/// As rename(2): folders take the place of empty folders only, and nothing else does.
fn replaceable(c: &Connection, node: &Node, there: &Node) -> Result<()> {
    match (node.kind == Kind::Folder, there.kind == Kind::Folder) {
        (true, false) => Err(StoreError::NotFolder),
        (false, true) => Err(StoreError::IsFolder),
        (true, true) if !nodes::is_empty(c, there.id)? => Err(StoreError::NotEmpty),
        _ => Ok(()),
    }
}

pub(super) fn swap(c: &Connection, allowed: &Allowed, swap: &Swap) -> Result<(Node, Node)> {
    let document = nodes::placed(c, swap.document, swap.backup_parent, &swap.backup_name)?;
    if document.kind == Kind::Folder {
        return Err(StoreError::IsFolder);
    }
    if document.version != swap.version {
        return Err(StoreError::VersionMoved(document.version));
    }
    let target = nodes::folder(c, swap.parent)?;
    if target.home != document.home {
        return Err(StoreError::NotFound);
    }
    nodes::fits_below(c, target.id, 1)?;
    free(c, target.id, &swap.name)?;
    unused(c, swap.copy.id)?;

    nodes::place(c, document.id, target.id, &swap.name, swap.copy.now_ns)?;
    let copy = fresh(&swap.copy, document.home, swap.backup_parent, &swap.backup_name, &swap.owner);
    nodes::insert(c, &copy)?;
    nodes::touch(c, swap.backup_parent, swap.copy.now_ns)?;
    nodes::touch(c, target.id, swap.copy.now_ns)?;
    if let Some(commit) = &swap.commit {
        if commit.node != copy.id || commit.consumes.is_some() || commit.create.is_some() {
            return Err(StoreError::Damaged("a swap's version is not its copy's".into()));
        }
        content::commit(c, allowed, commit)?;
    }
    Ok((nodes::existing(c, document.id)?, nodes::existing(c, copy.id)?))
}

pub(super) fn remove(c: &Connection, remove: &Remove, by: &By) -> Result<Deletion> {
    let node = nodes::placed(c, remove.node, remove.parent, &remove.name)?;
    rules::removable(&node, remove)?;
    if node.kind == Kind::Folder && !nodes::is_empty(c, node.id)? {
        return Err(StoreError::NotEmpty);
    }
    let deletion = deletions::remove_logged(c, node.id, by)?;
    nodes::touch(c, remove.parent, remove.now_ns)?;
    Ok(deletion)
}

/// Removes a node whose content lives on in another; nothing was deleted.
pub(super) fn remove_consumed(c: &Connection, id: NodeId) -> Result<()> {
    let loose = Loose::of_node(c, id)?;
    delete_rows(c, id)?;
    loose.sweep(c, None).map(drop)
}

/// Grants and attributes go with the node's row.
pub(super) fn delete_rows(c: &Connection, id: NodeId) -> Result<()> {
    change(c, "DELETE FROM versions WHERE node = ?", params![id.0])?;
    change(c, "DELETE FROM nodes WHERE id = ?", params![id.0])?;
    Ok(())
}
