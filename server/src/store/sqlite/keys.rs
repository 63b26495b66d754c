//! The key tree's sealed nodes.

use rusqlite::{Connection, params};

use super::rows::{all, change, get, int, limit, one, unsigned};
use crate::store::Result;
use sss_vault::sealed::{KeyImage, KeyPosition};

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

pub(super) fn last_leaf(c: &Connection) -> Result<Option<u64>> {
    one(c, "SELECT value FROM counters WHERE name = 'leaf'", [], |row| unsigned(row, 0))
}
