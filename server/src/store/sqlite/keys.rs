//! The key tree's sealed nodes.

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::SqliteStore;
use super::rows::{all, change, get, int, leaf as leaf_at, limit, one, unsigned};
use crate::store::{Keys, Result};
use sss_vault::sealed::{KeyImage, KeyPosition, Leaf};

#[async_trait]
impl Keys for SqliteStore {
    async fn key_node(&self, position: KeyPosition) -> Result<Option<KeyImage>> {
        self.read(move |c| node(c, position)).await
    }

    async fn key_nodes(&self, level: u8, from: u64, limit: usize) -> Result<Vec<KeyImage>> {
        self.read(move |c| nodes(c, level, from, limit)).await
    }

    async fn last_leaf(&self) -> Result<Option<Leaf>> {
        self.read(|c| last_leaf(c)).await
    }

    async fn last_queued(&self) -> Result<Option<Leaf>> {
        self.read(|c| last_queued(c)).await
    }
}

/// Never lets an image replace a newer one.
pub(super) fn write(c: &Connection, keys: &[KeyImage]) -> Result<()> {
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

pub(super) fn node(c: &Connection, position: KeyPosition) -> Result<Option<KeyImage>> {
    one(
        c,
        "SELECT sequence, sealed FROM key_nodes WHERE level = ? AND position = ?",
        params![position.level, int(position.index)?],
        |row| Ok(KeyImage { position, sequence: unsigned(row, 0)?, sealed: get::<Vec<u8>>(row, 1)?.into() }),
    )
}

pub(super) fn nodes(c: &Connection, level: u8, from: u64, most: usize) -> Result<Vec<KeyImage>> {
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

pub(super) fn last_leaf(c: &Connection) -> Result<Option<Leaf>> {
    one(c, "SELECT value FROM counters WHERE name = 'leaf'", [], |row| leaf_at(row, 0))
}

pub(super) fn last_queued(c: &Connection) -> Result<Option<Leaf>> {
    one(c, "SELECT leaf FROM erasures ORDER BY leaf DESC LIMIT 1", [], |row| leaf_at(row, 0))
}
