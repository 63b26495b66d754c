//! A new current version, with all that goes into its transaction: what it creates, uses and consumes.

use async_trait::async_trait;
use rusqlite::{Connection, params};

use sss_common::{FileTime, Kind, NodeId, PackId, Version};

use super::released::Released;
use super::rows::{change, damaged, int};
use super::{SqliteStore, attributes, content, facts, keys, names, nodes};
use crate::store::rules::{self, Claim, MODE_MASK};
use crate::store::{
    AuditRow, Commit, Content, Creation, Node, PackRow, Result, StoreError, StoredVersion, Swap,
};
use sss_policy::{Allowed, MayWrite, Own};

#[async_trait]
impl Content for SqliteStore {
    async fn version(&self, id: NodeId, version: Version) -> Result<Option<StoredVersion>> {
        self.read(move |c| content::version(c, id, version)).await
    }

    async fn packs(&self, ids: &[PackId]) -> Result<Vec<PackRow>> {
        let ids = ids.to_vec();
        self.read(move |c| content::packs(c, &ids)).await
    }

    async fn commit(&self, proof: &dyn MayWrite, commit: Commit, audit: AuditRow) -> Result<Node> {
        let (claim, by_owner) = (Claim::of_writer(proof), proof.proves_ownership());
        let confirmed = move |c: &Connection| {
            confirm(c, &claim, &commit)?;
            self::commit(c, claim.node, &commit, by_owner)
        };
        self.write_audited(audit, confirmed).await
    }

    async fn swap(&self, proof: &Allowed<Own>, swap: Swap, audit: AuditRow) -> Result<(Node, Node)> {
        let now = audit.time;
        let work = move |c: &Connection, claim: &Claim| {
            facts::confirm(c, &Claim::of(&swap.folder), now)?;
            self::swap(c, claim.node, &swap)
        };
        self.write_audited_by(Claim::of(proof), audit, work).await
    }
}

/// The right to write the document, or to make it there; and to what goes for it.
fn confirm(c: &Connection, claim: &Claim, commit: &Commit) -> Result<()> {
    match &commit.create {
        Some(creation) => facts::confirm(c, &Claim::of(&creation.folder), commit.now)?,
        None => facts::confirm(c, claim, commit.now)?,
    }
    match &commit.consumes {
        Some((source, _)) => facts::confirm(c, &Claim::of(source), commit.now),
        None => Ok(()),
    }
}

/// What it creates first; then the version, its pack and its uses, then what it consumes: packs that pass from one to the other are never
/// without a use.
pub(super) fn commit(c: &Connection, id: NodeId, commit: &Commit, by_owner: bool) -> Result<Node> {
    if let Some(Creation { folder, node }) = &commit.create {
        rules::own_creation(id, commit, node)?;
        names::create(c, folder, node)?;
    }
    let node = nodes::existing(c, id)?;
    if node.kind == Kind::Folder {
        return Err(StoreError::IsFolder);
    }
    rules::current(&node, commit, by_owner)?;
    add_version(c, id, commit)?;
    make_current(c, id, commit)?;
    keys::write(c, &commit.keys)?;
    if let Some((source, version)) = &commit.consumes {
        if source.node() == id {
            return Err(damaged("a document cannot consume itself"));
        }
        consume(c, id, source.node(), *version, commit.now.nanos())?;
    }
    nodes::existing(c, node.id)
}

fn add_version(c: &Connection, id: NodeId, commit: &Commit) -> Result<()> {
    change(
        c,
        "UPDATE versions SET superseded = ? WHERE node = ? AND version = ?",
        params![commit.now.millis(), id.0, int(commit.base.0)?],
    )?;
    let number = int(commit.base.next().0)?;
    change(
        c,
        "INSERT INTO versions (node, version, leaf, record) VALUES (?, ?, ?, ?)",
        params![id.0, number, int(commit.leaf.0)?, &commit.sealed_record[..]],
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
            params![id.0, number, pack.0],
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
            int(pack.leaf.0)?,
            int(pack.length)?,
            int(pack.blocks)?,
            pack.inline.as_deref(),
        ],
    )?;
    Ok(())
}

fn make_current(c: &Connection, id: NodeId, commit: &Commit) -> Result<()> {
    change(
        c,
        "UPDATE nodes SET version = ?, size = ?, flag = ?, author = ?, mtime_ns = ?, ctime_ns = ?,
             mode = coalesce(?, mode) WHERE id = ?",
        params![
            int(commit.base.next().0)?,
            int(commit.size)?,
            commit.flag.to_byte(),
            commit.author.as_str(),
            commit.mtime_ns.0,
            commit.now.nanos().0,
            commit.mode.map(|mode| mode & MODE_MASK),
            id.0,
        ],
    )?;
    let leaf = commit.pack.as_ref().map_or(commit.leaf, |pack| pack.leaf.max(commit.leaf));
    change(
        c,
        "INSERT INTO counters (name, value) VALUES ('leaf', ?)
         ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
        [int(leaf.0)?],
    )?;
    Ok(())
}

fn consume(c: &Connection, by: NodeId, source: NodeId, version: Version, now_ns: FileTime) -> Result<()> {
    let node = nodes::existing(c, source)?;
    if node.kind == Kind::Folder {
        return Err(StoreError::IsFolder);
    }
    if node.version != version {
        return Err(StoreError::VersionMoved(node.version));
    }
    attributes::take_xattrs(c, source, by)?;
    remove_consumed(c, source)?;
    node.parent.map_or(Ok(()), |parent| nodes::touch(c, parent, now_ns))
}

/// Removes a node whose content lives on in another; nothing was deleted.
pub(super) fn remove_consumed(c: &Connection, id: NodeId) -> Result<()> {
    let released = Released::of_node(c, id)?;
    nodes::delete(c, id)?;
    released.queue_unused(c, None).map(drop)
}

pub(super) fn swap(c: &Connection, id: NodeId, swap: &Swap) -> Result<(Node, Node)> {
    let folder = swap.folder.node();
    let document = nodes::placed(c, id, folder, &swap.copy.name)?;
    if document.kind == Kind::Folder {
        return Err(StoreError::IsFolder);
    }
    if document.version != swap.version {
        return Err(StoreError::VersionMoved(document.version));
    }
    names::free(c, folder, &swap.name)?;
    nodes::place(c, id, folder, &swap.name, swap.copy.now_ns)?;
    let copy = names::create(c, &swap.folder, &swap.copy)?;
    if let Some(first) = &swap.commit {
        rules::plain(first)?;
        commit(c, copy.id, first, true)?;
    }
    Ok((nodes::existing(c, id)?, nodes::existing(c, copy.id)?))
}
