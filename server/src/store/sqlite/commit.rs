//! A new current version, with all that goes into its transaction: what it creates, uses and consumes.

use async_trait::async_trait;
use rusqlite::{Connection, params};

use sss_common::{Kind, NodeId, PackId, Version};

use super::loose::Loose;
use super::rows::{change, damaged, int};
use super::{SqliteStore, content, keys, names, nodes};
use crate::store::rules::{self, MODE_MASK, nanos};
use crate::store::{AuditRow, Commit, Content, Node, PackRow, Result, StoreError, StoredVersion, Swap};
use sss_policy::Allowed;

#[async_trait]
impl Content for SqliteStore {
    async fn version(&self, id: NodeId, version: Version) -> Result<Option<StoredVersion>> {
        self.read(move |c| content::version(c, id, version)).await
    }

    async fn packs(&self, ids: &[PackId]) -> Result<Vec<PackRow>> {
        let ids = ids.to_vec();
        self.read(move |c| content::packs(c, &ids)).await
    }

    async fn commit(&self, allowed: &Allowed, commit: Commit, audit: AuditRow) -> Result<Node> {
        rules::write(allowed, commit.node)?;
        let proof = allowed.clone();
        self.write_audited(audit, move |c| self::commit(c, &proof, &commit)).await
    }

    async fn swap(&self, allowed: &Allowed, swap: Swap, audit: AuditRow) -> Result<(Node, Node)> {
        rules::own(allowed, swap.document)?;
        let proof = allowed.clone();
        self.write_audited(audit, move |c| self::swap(c, &proof, &swap)).await
    }
}

/// What it creates first; then the version, its pack and its uses, then what it consumes: packs that pass from one to the other are never
/// without a use.
pub(super) fn commit(c: &Connection, allowed: &Allowed, commit: &Commit) -> Result<Node> {
    if let Some(new) = &commit.create {
        rules::own_creation(commit, new)?;
        names::create(c, new, allowed.user())?;
    }
    let node = nodes::existing(c, commit.node)?;
    if node.kind == Kind::Folder {
        return Err(StoreError::IsFolder);
    }
    rules::current(allowed, &node, commit)?;
    add_version(c, commit)?;
    make_current(c, commit)?;
    keys::write(c, &commit.keys)?;
    if let Some((source, version)) = commit.consumes {
        consume(c, commit, source, version)?;
    }
    nodes::existing(c, node.id)
}

fn add_version(c: &Connection, commit: &Commit) -> Result<()> {
    change(
        c,
        "UPDATE versions SET superseded = ? WHERE node = ? AND version = ?",
        params![commit.now.millis(), commit.node.0, int(commit.base.0)?],
    )?;
    let number = int(commit.base.next().0)?;
    change(
        c,
        "INSERT INTO versions (node, version, leaf, record) VALUES (?, ?, ?, ?)",
        params![commit.node.0, number, int(commit.leaf)?, &commit.sealed_record[..]],
    )?;
    if let Some(pack) = &commit.pack {
        add_pack(c, commit, pack)?;
    }
    for pack in &commit.uses {
        if !content::has_row(c, *pack)? {
            return Err(damaged("a version uses a pack that is not there"));
        }
        change(
            c,
            "INSERT OR IGNORE INTO version_packs (node, version, pack) VALUES (?, ?, ?)",
            params![commit.node.0, number, pack.0],
        )?;
    }
    Ok(())
}

fn add_pack(c: &Connection, commit: &Commit, pack: &PackRow) -> Result<()> {
    if !commit.uses.contains(&pack.id) {
        return Err(damaged("a new pack that its version does not use"));
    }
    if content::has_row(c, pack.id)? {
        return Err(StoreError::Exists);
    }
    change(
        c,
        "INSERT INTO packs (id, document, leaf, length, blocks, inline) VALUES (?, ?, ?, ?, ?, ?)",
        params![
            pack.id.0,
            pack.document.0,
            int(pack.leaf)?,
            int(pack.length)?,
            int(pack.blocks)?,
            pack.inline.as_deref(),
        ],
    )?;
    Ok(())
}

fn make_current(c: &Connection, commit: &Commit) -> Result<()> {
    change(
        c,
        "UPDATE nodes SET version = ?, size = ?, flag = ?, author = ?, mtime_ns = ?, ctime_ns = ?,
             mode = coalesce(?, mode) WHERE id = ?",
        params![
            int(commit.base.next().0)?,
            int(commit.size)?,
            commit.flag.to_byte(),
            commit.author.as_str(),
            commit.mtime_ns,
            nanos(commit.now),
            commit.mode.map(|mode| mode & MODE_MASK),
            commit.node.0,
        ],
    )?;
    let leaf = commit.pack.as_ref().map_or(commit.leaf, |pack| pack.leaf.max(commit.leaf));
    change(
        c,
        "INSERT INTO counters (name, value) VALUES ('leaf', ?)
         ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
        [int(leaf)?],
    )?;
    Ok(())
}

fn consume(c: &Connection, commit: &Commit, source: NodeId, version: Version) -> Result<()> {
    let node = nodes::existing(c, source)?;
    if node.kind == Kind::Folder {
        return Err(StoreError::IsFolder);
    }
    if source == commit.node {
        return Err(damaged("a document cannot consume itself"));
    }
    if node.version != version {
        return Err(StoreError::VersionMoved(node.version));
    }
    remove_consumed(c, source)?;
    node.parent.map_or(Ok(()), |parent| nodes::touch(c, parent, nanos(commit.now)))
}

/// Removes a node whose content lives on in another; nothing was deleted.
pub(super) fn remove_consumed(c: &Connection, id: NodeId) -> Result<()> {
    let loose = Loose::of_node(c, id)?;
    nodes::delete(c, id)?;
    loose.sweep(c, None).map(drop)
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
    names::free(c, target.id, &swap.name)?;
    names::unused(c, swap.copy.id)?;

    nodes::place(c, document.id, target.id, &swap.name, swap.copy.now_ns)?;
    let copy = names::fresh(&swap.copy, document.home, swap.backup_parent, &swap.backup_name, &swap.owner);
    nodes::insert(c, &copy)?;
    nodes::touch(c, swap.backup_parent, swap.copy.now_ns)?;
    nodes::touch(c, target.id, swap.copy.now_ns)?;
    if let Some(first) = &swap.commit {
        if first.node != copy.id || first.consumes.is_some() || first.create.is_some() {
            return Err(StoreError::Damaged("a swap's version is not its copy's".into()));
        }
        commit(c, allowed, first)?;
    }
    Ok((nodes::existing(c, document.id)?, nodes::existing(c, copy.id)?))
}
