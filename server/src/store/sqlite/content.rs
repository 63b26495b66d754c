//! Versions, packs and the key tree.

use bytes::Bytes;
use rusqlite::{Connection, params};

use sss_common::{Kind, NodeId, PackId, Timestamp, Version};

use super::rows::{all, change, damaged, get, int, limit, one, pack_id, unsigned, version as version_at};
use super::{names, nodes};
use crate::store::rules::{self, MODE_MASK, nanos};
use crate::store::{Commit, Node, PackRow, Result, StoreError, StoredVersion};
use sss_policy::Allowed;
use sss_vault::sealed::{KeyImage, KeyPosition};

pub(super) fn version(c: &Connection, id: NodeId, version: Version) -> Result<Option<StoredVersion>> {
    one(
        c,
        "SELECT version, leaf, record, superseded FROM versions WHERE node = ? AND version = ?",
        params![id.0, int(version.0)?],
        |row| {
            Ok(StoredVersion {
                version: version_at(row, 0)?,
                leaf: unsigned(row, 1)?,
                sealed_record: get::<Vec<u8>>(row, 2)?.into(),
                superseded: get::<Option<i64>>(row, 3)?.map(Timestamp),
            })
        },
    )
}

pub(super) fn packs(c: &Connection, ids: &[PackId]) -> Result<Vec<PackRow>> {
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let row = one(
            c,
            "SELECT id, document, leaf, length, blocks, inline FROM packs WHERE id = ?",
            [id.0],
            |row| {
                Ok(PackRow {
                    id: pack_id(row, 0)?,
                    document: NodeId(get(row, 1)?),
                    leaf: unsigned(row, 2)?,
                    length: unsigned(row, 3)?,
                    blocks: unsigned(row, 4)?,
                    inline: get::<Option<Vec<u8>>>(row, 5)?.map(Bytes::from),
                })
            },
        )?;
        found.extend(row);
    }
    Ok(found)
}

fn has_row(c: &Connection, id: PackId) -> Result<bool> {
    Ok(one(c, "SELECT 1 FROM packs WHERE id = ?", [id.0], |_| Ok(()))?.is_some())
}

pub(super) fn has_pack(c: &Connection, id: PackId) -> Result<bool> {
    let waits = "SELECT 1 FROM trash WHERE pack = ?";
    Ok(has_row(c, id)? || one(c, waits, [id.0], |_| Ok(()))?.is_some())
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
    write_keys(c, &commit.keys)?;
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
        if !has_row(c, *pack)? {
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
    if has_row(c, pack.id)? {
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
    names::remove_consumed(c, source)?;
    node.parent.map_or(Ok(()), |parent| nodes::touch(c, parent, nanos(commit.now)))
}

/// Never lets an image replace a newer one.
pub(super) fn write_keys(c: &Connection, keys: &[KeyImage]) -> Result<()> {
    for key in keys {
        change(
            c,
            "INSERT INTO key_nodes (level, position, sequence, sealed) VALUES (?, ?, ?, ?)
             ON CONFLICT (level, position) DO UPDATE SET sequence = excluded.sequence, sealed = excluded.sealed
             WHERE excluded.sequence > sequence",
            params![key.position.level, int(key.position.index)?, int(key.sequence)?, &key.sealed[..]],
        )?;
    }
    Ok(())
}

pub(super) fn key_node(c: &Connection, position: KeyPosition) -> Result<Option<KeyImage>> {
    one(
        c,
        "SELECT sequence, sealed FROM key_nodes WHERE level = ? AND position = ?",
        params![position.level, int(position.index)?],
        |row| Ok(KeyImage { position, sequence: unsigned(row, 0)?, sealed: get::<Vec<u8>>(row, 1)?.into() }),
    )
}

pub(super) fn key_nodes(c: &Connection, level: u8, from: u64, most: usize) -> Result<Vec<KeyImage>> {
    all(
        c,
        "SELECT position, sequence, sealed FROM key_nodes WHERE level = ? AND position >= ? ORDER BY position LIMIT ?",
        params![level, int(from)?, limit(most)],
        |row| {
            let position = KeyPosition { level, index: unsigned(row, 0)? };
            Ok(KeyImage { position, sequence: unsigned(row, 1)?, sealed: get::<Vec<u8>>(row, 2)?.into() })
        },
    )
}

pub(super) fn last_leaf(c: &Connection) -> Result<Option<u64>> {
    one(c, "SELECT value FROM counters WHERE name = 'leaf'", [], |row| unsigned(row, 0))
}
