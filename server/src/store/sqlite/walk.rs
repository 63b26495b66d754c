//! Walking over all that is kept, for the scrub. Each page is a read of its own, and sees the last commit.

use async_trait::async_trait;
use rusqlite::{Connection, params};

use sss_common::{Kind, NodeId, PackId, Version};

use super::SqliteStore;
use super::rows::{
    all, get, int, kind_number, leaf as leaf_at, limit, one, pack_id, unsigned, version as version_at,
};
use crate::store::{Kept, Result, Totals, Versions, Walk};
use sss_vault::sealed::Leaf;

#[async_trait]
impl Walk for SqliteStore {
    async fn totals(&self) -> Result<Totals> {
        self.read(|c| totals(c)).await
    }

    async fn documents(&self, after: Option<NodeId>, limit: usize) -> Result<Vec<NodeId>> {
        self.read(move |c| documents(c, after, limit)).await
    }

    async fn versions_of(&self, id: NodeId) -> Result<Option<Versions>> {
        self.read(move |c| versions_of(c, id)).await
    }

    async fn packs_after(&self, after: Option<(Leaf, PackId)>, limit: usize) -> Result<Vec<(Leaf, PackId)>> {
        self.read(move |c| packs_after(c, after, limit)).await
    }

    async fn pack_blocks(&self, id: PackId) -> Result<Option<u64>> {
        self.read(move |c| pack_blocks(c, id)).await
    }

    async fn users_of(&self, id: PackId) -> Result<Vec<(NodeId, Version)>> {
        self.read(move |c| users_of(c, id)).await
    }
}

/// Looks at every row of `versions` and `packs`, through indexes or without the sealed bytes.
pub(super) fn totals(c: &Connection) -> Result<Totals> {
    let found = one(
        c,
        "SELECT (SELECT count(*) FROM versions), (SELECT count(*) FROM packs), (SELECT coalesce(sum(length), 0) FROM packs)",
        [],
        |row| Ok(Totals { versions: unsigned(row, 0)?, packs: unsigned(row, 1)?, bytes: unsigned(row, 2)? }),
    )?;
    Ok(found.unwrap_or_default())
}

pub(super) fn documents(c: &Connection, after: Option<NodeId>, most: usize) -> Result<Vec<NodeId>> {
    // Every id is longer than nothing, so nothing is before the first.
    let after = after.map_or(Vec::new(), |id| id.0.to_vec());
    all(
        c,
        "SELECT id FROM nodes WHERE id > ? AND kind <> ? ORDER BY id LIMIT ?",
        params![after, kind_number(Kind::Folder), limit(most)],
        |row| get(row, 0).map(NodeId),
    )
}

pub(super) fn versions_of(c: &Connection, id: NodeId) -> Result<Option<Versions>> {
    let sql = "SELECT version, size FROM nodes WHERE id = ?";
    let Some((current, size)) = one(c, sql, [id.0], |row| Ok((version_at(row, 0)?, unsigned(row, 1)?)))?
    else {
        return Ok(None);
    };
    let rows = all(
        c,
        "SELECT v.version, p.pack FROM versions v
         LEFT JOIN version_packs p ON p.node = v.node AND p.version = v.version
         WHERE v.node = ? ORDER BY v.version, p.pack",
        [id.0],
        |row| Ok((version_at(row, 0)?, get::<Option<[u8; 16]>>(row, 1)?.map(PackId))),
    )?;
    let mut kept: Vec<Kept> = Vec::new();
    for (version, pack) in rows {
        match kept.last_mut().filter(|last| last.version == version) {
            Some(last) => last.uses.extend(pack),
            None => kept.push(Kept { version, uses: pack.into_iter().collect() }),
        }
    }
    Ok(Some(Versions { current, size, kept }))
}

pub(super) fn packs_after(
    c: &Connection,
    after: Option<(Leaf, PackId)>,
    most: usize,
) -> Result<Vec<(Leaf, PackId)>> {
    let (leaf, id) = match after {
        Some((leaf, id)) => (int(leaf.0)?, id.0.to_vec()),
        None => (-1, Vec::new()),
    };
    all(
        c,
        "SELECT leaf, id FROM packs WHERE (leaf, id) > (?, ?) ORDER BY leaf, id LIMIT ?",
        params![leaf, id, limit(most)],
        |row| Ok((leaf_at(row, 0)?, pack_id(row, 1)?)),
    )
}

pub(super) fn pack_blocks(c: &Connection, id: PackId) -> Result<Option<u64>> {
    one(c, "SELECT blocks FROM packs WHERE id = ?", [id.0], |row| unsigned(row, 0))
}

pub(super) fn users_of(c: &Connection, id: PackId) -> Result<Vec<(NodeId, Version)>> {
    all(c, "SELECT node, version FROM version_packs WHERE pack = ? ORDER BY node, version", [id.0], |row| {
        Ok((NodeId(get(row, 0)?), version_at(row, 1)?))
    })
}
