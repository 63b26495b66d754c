//! Changes to names: create, rename, remove.

use async_trait::async_trait;
use rusqlite::Connection;

use sss_common::{Kind, Name, NodeId, Timestamp, Uid, Version};

use super::{SqliteStore, attributes, deletions, facts, nodes};
use crate::store::rules::{self, Claim, MODE_MASK, RemovedBy};
use crate::store::{
    Audience, AuditRow, Deletion, Names, NewNode, Node, Remove, Rename, Result, Seen, StoreError,
};
use sss_policy::{Allowed, Checkin, Delete, Own, Refusal};

#[async_trait]
impl Names for SqliteStore {
    async fn home(&self, owner: &Uid, user: &Uid, now: Timestamp) -> Result<Option<Seen>> {
        let (owner, user) = (owner.clone(), user.clone());
        self.read(move |c| facts::home(c, &owner, &user, now)).await
    }

    async fn node(&self, id: NodeId, user: &Uid, now: Timestamp) -> Result<Option<Seen>> {
        let user = user.clone();
        self.read(move |c| facts::node(c, id, &user, now)).await
    }

    async fn child(&self, parent: NodeId, name: &Name, user: &Uid, now: Timestamp) -> Result<Option<Seen>> {
        let (name, user) = (name.clone(), user.clone());
        self.read(move |c| facts::child(c, parent, &name, &user, now)).await
    }

    async fn children(
        &self,
        folder: NodeId,
        after: Option<&Name>,
        limit: usize,
        user: &Uid,
        now: Timestamp,
    ) -> Result<Vec<Seen>> {
        let (after, user) = (after.cloned(), user.clone());
        self.read(move |c| facts::children(c, folder, after.as_ref(), limit, &user, now)).await
    }

    async fn shared_homes(&self, user: &Uid, now: Timestamp) -> Result<Vec<Uid>> {
        let user = user.clone();
        self.read(move |c| facts::shared_homes(c, &user, now)).await
    }

    async fn path(&self, id: NodeId) -> Result<Option<String>> {
        self.read(move |c| facts::path(c, id)).await
    }

    async fn audience(&self, id: NodeId, now: Timestamp) -> Result<Audience> {
        self.read(move |c| facts::audience(c, id, now)).await
    }

    async fn create(&self, folder: &Allowed<Checkin>, new: NewNode, audit: AuditRow) -> Result<Node> {
        let (claim, folder) = (Claim::of(folder), folder.clone());
        self.write_audited_by(claim, audit, move |c, _| create(c, &folder, &new)).await
    }

    async fn rename(&self, proof: &Allowed<Own>, rename: Rename, audit: AuditRow) -> Result<Node> {
        let (claim, by) = (Claim::of(proof), RemovedBy::of(proof, &audit));
        self.write_audited(audit, move |c| self::rename(c, &claim, &rename, &by)).await
    }

    async fn remove(&self, proof: &Allowed<Delete>, remove: Remove, audit: AuditRow) -> Result<Deletion> {
        let (claim, by) = (Claim::of(proof), RemovedBy::of(proof, &audit));
        self.write_urgent(audit, move |c| self::remove(c, &claim, &remove, &by)).await
    }
}

pub(super) fn create(c: &Connection, folder: &Allowed<Checkin>, new: &NewNode) -> Result<Node> {
    let parent = nodes::folder(c, folder.node())?;
    nodes::fits_below(c, parent.id, 1)?;
    free(c, parent.id, &new.name)?;
    unused(c, new.id)?;
    let owner = if new.of_home { &parent.home } else { folder.user() };
    let node = fresh(new, &parent, owner);
    nodes::insert(c, &node)?;
    attributes::limit(c, &node, new.limited)?;
    nodes::touch(c, parent.id, new.now_ns)?;
    Ok(node)
}

fn fresh(new: &NewNode, parent: &Node, owner: &Uid) -> Node {
    Node {
        id: new.id,
        parent: Some(parent.id),
        name: Some(new.name.clone()),
        home: parent.home.clone(),
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

pub(super) fn free(c: &Connection, parent: NodeId, name: &Name) -> Result<()> {
    if nodes::at(c, parent, name)?.is_some() { Err(StoreError::Exists) } else { Ok(()) }
}

fn unused(c: &Connection, id: NodeId) -> Result<()> {
    if nodes::find(c, id)?.is_some() { Err(StoreError::Exists) } else { Ok(()) }
}

pub(super) fn rename(c: &Connection, claim: &Claim, rename: &Rename, by: &RemovedBy) -> Result<Node> {
    let node = nodes::placed(c, claim.node, rename.parent, &rename.name)?;
    facts::confirm(c, claim, by.time)?;
    let target = nodes::folder(c, rename.into.node())?;
    facts::confirm(c, &Claim::of(&rename.into), by.time)?;
    if target.home != node.home {
        return Err(StoreError::NotFound);
    }
    if (rename.parent, &rename.name) == (target.id, &rename.new_name) {
        return Ok(node);
    }
    if nodes::way_up(c, target.id)?.iter().any(|(id, _)| *id == node.id) {
        return Err(StoreError::Loop);
    }
    if rules::takes_others_along(&node, &target, &by.user) && nodes::holds_others(c, node.id, &by.user)? {
        return Err(StoreError::Refused(Refusal::NotOwner));
    }
    fits(c, &node, &target)?;
    if let Some(there) = nodes::at(c, target.id, &rename.new_name)? {
        let Some(replacing) = rename.replacing.as_ref().filter(|proof| proof.node() == there.id) else {
            return Err(StoreError::Exists);
        };
        facts::confirm(c, &Claim::of(replacing), by.time)?;
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

pub(super) fn remove(c: &Connection, claim: &Claim, remove: &Remove, by: &RemovedBy) -> Result<Deletion> {
    let node = nodes::placed(c, claim.node, remove.parent, &remove.name)?;
    facts::confirm(c, claim, by.time)?;
    rules::removable(&node, remove)?;
    if node.kind == Kind::Folder && !nodes::is_empty(c, node.id)? {
        return Err(StoreError::NotEmpty);
    }
    let deletion = deletions::remove_logged(c, node.id, by)?;
    nodes::touch(c, remove.parent, remove.now_ns)?;
    Ok(deletion)
}
