//! The deletion log: what was removed, by whom, and since when its keys are gone.

use std::collections::BTreeSet;

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};

use sss_common::{Epoch, Kind, NodeId, Timestamp, Version};

use super::released::Released;
use super::rows::{all, change, damaged, get, int, limit, one, optional_id, text, unsigned};
use super::{SqliteStore, facts, keys, nodes};
use crate::store::rules::RemovedBy;
use crate::store::{Deletion, DeletionSeq, Deletions, Erased, Result};
use sss_vault::sealed::{KeyImage, Leaf};

#[async_trait]
impl Deletions for SqliteStore {
    async fn deletion(&self, document: NodeId) -> Result<Option<Deletion>> {
        self.read(move |c| find(c, document)).await
    }

    async fn deletions(&self, after: DeletionSeq, limit: usize) -> Result<Vec<Deletion>> {
        self.read(move |c| self::after(c, after, limit)).await
    }

    async fn remove_again(&self, deletion: &Deletion) -> Result<bool> {
        let deletion = deletion.clone();
        self.write(move |c| remove_again(c, &deletion)).await
    }

    async fn last_deletion(&self) -> Result<DeletionSeq> {
        self.read(|c| last(c)).await
    }

    async fn skip_deletions(&self, last: DeletionSeq) -> Result<()> {
        self.write(move |c| skip(c, last)).await
    }
}

/// Removes a node that has no entries, and writes that down.
pub(super) fn remove_logged(c: &Connection, id: NodeId, by: &RemovedBy) -> Result<Deletion> {
    remove_as(c, id, by, None)
}

/// The same under a number of its own, where that is free.
fn remove_as(c: &Connection, id: NodeId, by: &RemovedBy, seq: Option<DeletionSeq>) -> Result<Deletion> {
    let home = nodes::existing(c, id)?.home;
    let path = facts::path(c, id)?.unwrap_or_default();
    let sql = "SELECT version FROM versions WHERE node = ? ORDER BY version";
    let versions = all(c, sql, [id.0], |row| unsigned(row, 0).map(Version))?;
    let released = Released::of_node(c, id)?;
    nodes::delete(c, id)?;
    let found = released.queue_unused(c, Some(id))?;
    let mut deletion = Deletion {
        seq: DeletionSeq::NONE,
        document: id,
        home,
        user: by.user.clone(),
        path,
        time: by.time,
        versions,
        keys: found.keys,
        shared: found.shared,
        erased: None,
    };
    deletion.seq = insert(c, &deletion, seq)?;
    Ok(deletion)
}

fn insert(c: &Connection, deletion: &Deletion, seq: Option<DeletionSeq>) -> Result<DeletionSeq> {
    let seq = one(
        c,
        "INSERT INTO deletions (seq, document, home, user, path, time, versions, keys, shared)
         VALUES ((SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM deletions WHERE seq = ?1)), ?, ?, ?, ?, ?, ?, ?, ?)
         RETURNING seq",
        params![
            seq.map(|seq| int(seq.0)).transpose()?,
            deletion.document.0,
            deletion.home.as_str(),
            deletion.user.as_str(),
            deletion.path,
            deletion.time.millis(),
            list(deletion.versions.iter().map(|version| version.0)),
            list(deletion.keys.iter().map(|leaf| leaf.0)),
            list(deletion.shared.iter().map(|leaf| leaf.0)),
        ],
        |row| seq_at(row, 0),
    )?;
    seq.ok_or_else(|| damaged("an entry of the deletion log without a number"))
}

pub(super) fn erased(c: &Connection, leaves: &[Leaf], keys: &[KeyImage], at: Erased) -> Result<()> {
    keys::write(c, keys)?;
    let mut documents = BTreeSet::new();
    for leaf in leaves {
        let sql = "DELETE FROM erasures WHERE leaf = ? RETURNING document";
        documents.extend(one(c, sql, [int(leaf.0)?], |row| optional_id(row, 0))?.flatten());
    }
    documents.into_iter().try_for_each(|document| settle(c, document, at))
}

/// Marks a document's deletion as erased once none of its keys is queued.
fn settle(c: &Connection, document: NodeId, at: Erased) -> Result<()> {
    change(
        c,
        "UPDATE deletions SET epoch = ?2, erased = ?3
         WHERE document = ?1 AND NOT EXISTS (SELECT 1 FROM erasures WHERE document = ?1)",
        params![document.0, int(at.epoch.0)?, at.time.millis()],
    )
    .map(drop)
}

const COLUMNS: &str = "seq, document, home, user, path, time, versions, keys, shared, epoch, erased";

pub(super) fn find(c: &Connection, document: NodeId) -> Result<Option<Deletion>> {
    one(c, &format!("SELECT {COLUMNS} FROM deletions WHERE document = ?"), [document.0], read)
}

pub(super) fn after(c: &Connection, seq: DeletionSeq, most: usize) -> Result<Vec<Deletion>> {
    let sql = format!("SELECT {COLUMNS} FROM deletions WHERE seq > ? ORDER BY seq LIMIT ?");
    all(c, &sql, params![int(seq.0)?, limit(most)], read)
}

fn read(row: &Row<'_>) -> Result<Deletion> {
    let epoch = get::<Option<i64>>(row, 9)?
        .map(|epoch| u64::try_from(epoch).map(Epoch).map_err(damaged))
        .transpose()?;
    let erased = get::<Option<i64>>(row, 10)?.map(Timestamp);
    Ok(Deletion {
        seq: seq_at(row, 0)?,
        document: NodeId(get(row, 1)?),
        home: text(row, 2)?,
        user: text(row, 3)?,
        path: get(row, 4)?,
        time: Timestamp(get(row, 5)?),
        versions: numbers(row, 6)?.into_iter().map(Version).collect(),
        keys: numbers(row, 7)?.into_iter().map(Leaf).collect(),
        shared: numbers(row, 8)?.into_iter().map(Leaf).collect(),
        erased: epoch.zip(erased).map(|(epoch, time)| Erased { epoch, time }),
    })
}

fn seq_at(row: &Row<'_>, at: usize) -> Result<DeletionSeq> {
    unsigned(row, at).map(DeletionSeq)
}

fn list(numbers: impl Iterator<Item = u64>) -> String {
    // Numbers have no text that could fail.
    serde_json::to_string(&numbers.collect::<Vec<_>>()).unwrap_or_default()
}

fn numbers(row: &Row<'_>, at: usize) -> Result<Vec<u64>> {
    serde_json::from_str(&get::<String>(row, at)?).map_err(damaged)
}

pub(super) fn last(c: &Connection) -> Result<DeletionSeq> {
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'deletions'";
    Ok(one(c, sql, [], |row| seq_at(row, 0))?.unwrap_or(DeletionSeq::NONE))
}

pub(super) fn skip(c: &Connection, upto: DeletionSeq) -> Result<()> {
    let upto = int(upto.0)?;
    let sql = "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'deletions'";
    if change(c, sql, [upto])? == 0 {
        change(c, "INSERT INTO sqlite_sequence (name, seq) VALUES ('deletions', ?)", [upto])?;
    }
    Ok(())
}

pub(super) fn remove_again(c: &Connection, deletion: &Deletion) -> Result<bool> {
    let Some(node) = nodes::find(c, deletion.document)? else { return Ok(false) };
    let Some(parent) = node.parent else { return Ok(false) };
    if node.kind == Kind::Folder && !nodes::is_empty(c, node.id)? {
        return Ok(false);
    }
    let by = RemovedBy { user: deletion.user.clone(), time: deletion.time };
    remove_as(c, node.id, &by, Some(deletion.seq))?;
    nodes::touch(c, parent, deletion.time.nanos())?;
    Ok(true)
}
