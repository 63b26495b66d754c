//! What nothing uses any more: versions, packs and leaves, and the two queues that they went to.

use async_trait::async_trait;
use rusqlite::{Connection, params};
use sss_common::{NodeId, PackId, Timestamp, Version};

use super::released::{Released, is_used, queue};
use super::rows::{all, change, get, int, leaf as leaf_at, limit, one, pack_id, version as version_at};
use super::{SqliteStore, content, deletions};
use crate::store::{Erased, Reclaim, Result};
use sss_vault::sealed::{KeyImage, Leaf};

#[async_trait]
impl Reclaim for SqliteStore {
    async fn superseded(&self, before: Timestamp, limit: usize) -> Result<Vec<(NodeId, Version)>> {
        self.read(move |c| superseded(c, before, limit)).await
    }

    async fn drop_versions(&self, versions: &[(NodeId, Version)]) -> Result<()> {
        let versions = versions.to_vec();
        self.write_urgent(None, move |c| drop_versions(c, &versions)).await
    }

    async fn erasures(&self, limit: usize) -> Result<Vec<Leaf>> {
        self.read(move |c| erasures(c, limit)).await
    }

    async fn erased(&self, leaves: &[Leaf], keys: Vec<KeyImage>, at: Erased) -> Result<()> {
        let leaves = leaves.to_vec();
        self.write_urgent(None, move |c| deletions::erased(c, &leaves, &keys, at)).await
    }

    async fn unused(&self, leaves: &[Leaf]) -> Result<Vec<Leaf>> {
        let leaves = leaves.to_vec();
        self.read(move |c| unused(c, &leaves)).await
    }

    async fn abandon(&self, leaves: &[Leaf]) -> Result<()> {
        let leaves = leaves.to_vec();
        self.write_urgent(None, move |c| abandon(c, &leaves)).await
    }

    async fn trash(&self, limit: usize, now: Timestamp) -> Result<Vec<PackId>> {
        self.read(move |c| trash(c, limit, now)).await
    }

    async fn trashed(&self, packs: &[PackId]) -> Result<()> {
        let packs = packs.to_vec();
        self.write_urgent(None, move |c| trashed(c, &packs)).await
    }

    async fn has_pack(&self, id: PackId) -> Result<bool> {
        self.read(move |c| content::has_pack(c, id)).await
    }

    async fn hold(&self, name: &str, until: Timestamp) -> Result<()> {
        let name = name.to_owned();
        self.write(move |c| hold(c, &name, until)).await
    }

    async fn release(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.write(move |c| release(c, &name)).await
    }
}

/// Free pages that stay in the file for the next check-ins (16 MiB); more are given back to the disk.
const FREE_KEPT: i64 = 4096;

/// Most pages given back in one transaction (8 MiB).
const FREED_AT_ONCE: i64 = 2048;

pub(super) fn unused(c: &Connection, leaves: &[Leaf]) -> Result<Vec<Leaf>> {
    let mut unused = Vec::new();
    for leaf in leaves {
        let queued = one(c, "SELECT 1 FROM erasures WHERE leaf = ?", [int(leaf.0)?], |_| Ok(()))?;
        if queued.is_none() && !is_used(c, *leaf)? {
            unused.push(*leaf);
        }
    }
    Ok(unused)
}

pub(super) fn abandon(c: &Connection, leaves: &[Leaf]) -> Result<()> {
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
    let mut released = Released::default();
    for (id, version) in versions {
        let version = int(version.0)?;
        let sql = "SELECT leaf FROM versions WHERE node = ? AND version = ? AND superseded IS NOT NULL";
        let Some(leaf) = one(c, sql, params![id.0, version], |row| leaf_at(row, 0))? else { continue };
        released.add_version(c, *id, version, leaf)?;
        change(c, "DELETE FROM versions WHERE node = ? AND version = ?", params![id.0, version])?;
    }
    released.queue_unused(c, None)?;
    give_back(c)
}

pub(super) fn erasures(c: &Connection, most: usize) -> Result<Vec<Leaf>> {
    all(
        c,
        "SELECT leaf FROM erasures e
         WHERE NOT EXISTS (SELECT 1 FROM versions v WHERE v.leaf = e.leaf)
           AND NOT EXISTS (SELECT 1 FROM packs p WHERE p.leaf = e.leaf)
         ORDER BY seq LIMIT ?",
        [limit(most)],
        |row| leaf_at(row, 0),
    )
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
