//! What nothing uses any more: versions, packs, leaves, and the two queues that they go to.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};
use sss_common::{NodeId, PackId, Timestamp, Version};

use super::rows::{all, change, get, int, limit, one, pack_id, unsigned, version as version_at};
use crate::store::Result;

/// Free pages that stay in the file for the next check-ins (16 MiB); more are given back to the disk.
const FREE_KEPT: i64 = 4096;

/// Most pages given back in one transaction (8 MiB).
const FREED_AT_ONCE: i64 = 2048;

/// Packs and leaves that may have lost their last use.
#[derive(Default)]
pub(super) struct Loose {
    packs: BTreeSet<PackId>,
    leaves: BTreeSet<u64>,
}

/// What became of them.
#[derive(Default)]
pub(super) struct Swept {
    /// Leaves that were queued.
    pub(super) keys: Vec<u64>,
    /// Leaves that are in use elsewhere.
    pub(super) shared: Vec<u64>,
}

impl Loose {
    /// Those of all versions of a node; to be asked before they are deleted.
    pub(super) fn of_node(c: &Connection, id: NodeId) -> Result<Self> {
        let packs =
            all(c, "SELECT DISTINCT pack FROM version_packs WHERE node = ?", [id.0], |row| pack_id(row, 0))?;
        let leaves = all(c, "SELECT leaf FROM versions WHERE node = ?", [id.0], |row| unsigned(row, 0))?;
        Ok(Loose { packs: packs.into_iter().collect(), leaves: leaves.into_iter().collect() })
    }

    fn add_version(&mut self, c: &Connection, id: NodeId, version: i64, leaf: u64) -> Result<()> {
        let sql = "SELECT pack FROM version_packs WHERE node = ? AND version = ?";
        self.packs.extend(all(c, sql, params![id.0, version], |row| pack_id(row, 0))?);
        self.leaves.insert(leaf);
        Ok(())
    }

    /// Sends what has no use left to the queues, the keys as those of this document's removal if it is one.
    pub(super) fn sweep(mut self, c: &Connection, document: Option<NodeId>) -> Result<Swept> {
        for pack in &self.packs {
            let row = one(
                c,
                "SELECT leaf, inline IS NULL, EXISTS (SELECT 1 FROM version_packs WHERE pack = ?1) FROM packs WHERE id = ?1",
                [pack.0],
                |row| Ok((unsigned(row, 0)?, get::<bool>(row, 1)?, get::<bool>(row, 2)?)),
            )?;
            let Some((leaf, in_blobs, in_use)) = row else { continue };
            self.leaves.insert(leaf);
            if in_use {
                continue;
            }
            if in_blobs {
                change(c, "INSERT OR IGNORE INTO trash (pack) VALUES (?)", [pack.0])?;
            }
            change(c, "DELETE FROM packs WHERE id = ?", [pack.0])?;
        }
        let mut swept = Swept::default();
        for leaf in self.leaves {
            if queue(c, leaf, document)? { swept.keys.push(leaf) } else { swept.shared.push(leaf) }
        }
        Ok(swept)
    }
}

fn is_used(c: &Connection, leaf: u64) -> Result<bool> {
    let sql = "SELECT 1 WHERE EXISTS (SELECT 1 FROM versions WHERE leaf = ?1)
                  OR EXISTS (SELECT 1 FROM packs WHERE leaf = ?1)";
    Ok(one(c, sql, [int(leaf)?], |_| Ok(()))?.is_some())
}

pub(super) fn unused(c: &Connection, leaves: &[u64]) -> Result<Vec<u64>> {
    let mut unused = Vec::new();
    for leaf in leaves {
        let queued = one(c, "SELECT 1 FROM erasures WHERE leaf = ?", [int(*leaf)?], |_| Ok(()))?;
        if queued.is_none() && !is_used(c, *leaf)? {
            unused.push(*leaf);
        }
    }
    Ok(unused)
}

/// Queues a leaf that nothing uses; whether it is queued now.
fn queue(c: &Connection, leaf: u64, document: Option<NodeId>) -> Result<bool> {
    if is_used(c, leaf)? {
        return Ok(false);
    }
    change(
        c,
        "INSERT OR IGNORE INTO erasures (leaf, document) VALUES (?, ?)",
        params![int(leaf)?, document.map(|id| id.0)],
    )?;
    Ok(true)
}

pub(super) fn abandon(c: &Connection, leaves: &[u64]) -> Result<()> {
    leaves.iter().try_for_each(|leaf| queue(c, *leaf, None).map(drop))
}

pub(super) fn superseded(c: &Connection, before: Timestamp, most: usize) -> Result<Vec<(NodeId, Version)>> {
    all(
        c,
        "SELECT node, version FROM versions WHERE superseded <= ? ORDER BY superseded, node, version LIMIT ?",
        params![before.millis(), limit(most)],
        |row| Ok((NodeId(get(row, 0)?), version_at(row, 1)?)),
    )
}

pub(super) fn drop_versions(c: &Connection, versions: &[(NodeId, Version)]) -> Result<()> {
    let mut loose = Loose::default();
    for (id, version) in versions {
        let version = int(version.0)?;
        let sql = "SELECT leaf FROM versions WHERE node = ? AND version = ? AND superseded IS NOT NULL";
        let Some(leaf) = one(c, sql, params![id.0, version], |row| unsigned(row, 0))? else { continue };
        loose.add_version(c, *id, version, leaf)?;
        change(c, "DELETE FROM versions WHERE node = ? AND version = ?", params![id.0, version])?;
    }
    loose.sweep(c, None)?;
    give_back(c)
}

pub(super) fn erasures(c: &Connection, most: usize) -> Result<Vec<u64>> {
    all(
        c,
        "SELECT leaf FROM erasures e
         WHERE NOT EXISTS (SELECT 1 FROM versions v WHERE v.leaf = e.leaf)
           AND NOT EXISTS (SELECT 1 FROM packs p WHERE p.leaf = e.leaf)
         ORDER BY seq LIMIT ?",
        [limit(most)],
        |row| unsigned(row, 0),
    )
}

pub(super) fn last_queued(c: &Connection) -> Result<Option<u64>> {
    one(c, "SELECT leaf FROM erasures ORDER BY leaf DESC LIMIT 1", [], |row| unsigned(row, 0))
}

pub(super) fn trash(c: &Connection, most: usize, now: Timestamp) -> Result<Vec<PackId>> {
    all(
        c,
        "SELECT pack FROM trash WHERE NOT EXISTS (SELECT 1 FROM holds WHERE until > ?) ORDER BY seq LIMIT ?",
        params![now.millis(), limit(most)],
        |row| pack_id(row, 0),
    )
}

pub(super) fn hold(c: &Connection, name: &str, until: Timestamp) -> Result<()> {
    let sql = "INSERT INTO holds (name, until) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET until = excluded.until";
    change(c, sql, params![name, until.millis()]).map(drop)
}

pub(super) fn release(c: &Connection, name: &str) -> Result<()> {
    change(c, "DELETE FROM holds WHERE name = ?", [name]).map(drop)
}

pub(super) fn trashed(c: &Connection, packs: &[PackId]) -> Result<()> {
    for pack in packs {
        change(c, "DELETE FROM trash WHERE pack = ?", [pack.0])?;
    }
    give_back(c)
}

/// Shrinks the file when much of it is free, a little at a time: the background calls above come again.
fn give_back(c: &Connection) -> Result<()> {
    let free: i64 = c.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
    if free > FREE_KEPT {
        let pages = (free - FREE_KEPT).min(FREED_AT_ONCE);
        // The pragma frees one page for each step, so it is stepped to its end.
        let mut statement = c.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
    }
    Ok(())
}
