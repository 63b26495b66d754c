//! What may have lost its last use, and how it comes to the queues.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};
use sss_common::{NodeId, PackId};

use super::rows::{all, change, get, int, leaf as leaf_at, one, pack_id};
use crate::store::Result;
use sss_vault::sealed::Leaf;

/// Packs and leaves that may have lost their last use.
#[derive(Default)]
pub(super) struct Released {
    packs: BTreeSet<PackId>,
    leaves: BTreeSet<Leaf>,
}

/// What became of them.
#[derive(Default)]
pub(super) struct ReleasedKeys {
    /// Leaves that were queued.
    pub(super) keys: Vec<Leaf>,
    /// Leaves that are in use elsewhere.
    pub(super) shared: Vec<Leaf>,
}

impl Released {
    /// Those of all versions of a node; to be asked before they are deleted.
    pub(super) fn of_node(c: &Connection, id: NodeId) -> Result<Self> {
        let packs =
            all(c, "SELECT DISTINCT pack FROM version_packs WHERE node = ?", [id.0], |row| pack_id(row, 0))?;
        let leaves = all(c, "SELECT leaf FROM versions WHERE node = ?", [id.0], |row| leaf_at(row, 0))?;
        Ok(Released { packs: packs.into_iter().collect(), leaves: leaves.into_iter().collect() })
    }

    pub(super) fn add_version(&mut self, c: &Connection, id: NodeId, version: i64, leaf: Leaf) -> Result<()> {
        let sql = "SELECT pack FROM version_packs WHERE node = ? AND version = ?";
        self.packs.extend(all(c, sql, params![id.0, version], |row| pack_id(row, 0))?);
        self.leaves.insert(leaf);
        Ok(())
    }

    /// Sends what has no use left to the queues, the keys as those of this document's removal if it is one.
    pub(super) fn queue_unused(mut self, c: &Connection, document: Option<NodeId>) -> Result<ReleasedKeys> {
        for pack in &self.packs {
            let row = one(
                c,
                "SELECT leaf, inline IS NULL, EXISTS (SELECT 1 FROM version_packs WHERE pack = ?1) FROM packs WHERE id = ?1",
                [pack.0],
                |row| Ok((leaf_at(row, 0)?, get::<bool>(row, 1)?, get::<bool>(row, 2)?)),
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
        let mut found = ReleasedKeys::default();
        for leaf in self.leaves {
            if queue(c, leaf, document)? { found.keys.push(leaf) } else { found.shared.push(leaf) }
        }
        Ok(found)
    }
}

/// Whether a version or a pack has it.
pub(super) fn is_used(c: &Connection, leaf: Leaf) -> Result<bool> {
    let sql = "SELECT 1 WHERE EXISTS (SELECT 1 FROM versions WHERE leaf = ?1)
                  OR EXISTS (SELECT 1 FROM packs WHERE leaf = ?1)";
    Ok(one(c, sql, [int(leaf.0)?], |_| Ok(()))?.is_some())
}

/// Queues a leaf that nothing uses; whether it is queued now.
pub(super) fn queue(c: &Connection, leaf: Leaf, document: Option<NodeId>) -> Result<bool> {
    if is_used(c, leaf)? {
        return Ok(false);
    }
    change(
        c,
        "INSERT OR IGNORE INTO erasures (leaf, document) VALUES (?, ?)",
        params![int(leaf.0)?, document.map(|id| id.0)],
    )?;
    Ok(true)
}
