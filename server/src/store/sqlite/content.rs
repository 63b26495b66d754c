//! Versions and packs.

use bytes::Bytes;
use rusqlite::{Connection, params};

use sss_common::{NodeId, PackId, Timestamp, Version};

use super::rows::{get, int, leaf as leaf_at, one, pack_id, unsigned, version as version_at};
use crate::store::{PackRow, Result, StoredVersion};

pub(super) fn version(c: &Connection, id: NodeId, version: Version) -> Result<Option<StoredVersion>> {
    one(
        c,
        "SELECT version, leaf, record, superseded FROM versions WHERE node = ? AND version = ?",
        params![id.0, int(version.0)?],
        |row| {
            Ok(StoredVersion {
                version: version_at(row, 0)?,
                leaf: leaf_at(row, 1)?,
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
                    leaf: leaf_at(row, 2)?,
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

pub(super) fn has_row(c: &Connection, id: PackId) -> Result<bool> {
    Ok(one(c, "SELECT 1 FROM packs WHERE id = ?", [id.0], |_| Ok(()))?.is_some())
}

pub(super) fn has_pack(c: &Connection, id: PackId) -> Result<bool> {
    let waits = "SELECT 1 FROM trash WHERE pack = ?";
    Ok(has_row(c, id)? || one(c, waits, [id.0], |_| Ok(()))?.is_some())
}
