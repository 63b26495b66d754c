//! Rows to types and back. What does not parse is `Damaged`.

use std::fmt::Display;
use std::str::FromStr;

use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension, Params, Row};

use sss_common::{FileTime, Flag, Grantee, Kind, NodeId, PackId, Right, Timestamp, Version};

use crate::store::{Node, Result, StoreError};
use sss_policy::{Effect, Grant};
use sss_vault::sealed::Leaf;

/// The columns that [`node`] reads, of a table called `n`.
macro_rules! node_columns {
    () => {
        "n.id, n.parent, n.name, n.home, n.owner, n.kind, n.mode, n.mtime_ns, n.ctime_ns, n.flag, \
         n.version, n.size, n.author"
    };
}
pub(super) use node_columns;

/// How many they are.
pub(super) const NODE_COLUMNS: usize = 13;

/// A node from the first columns of a row.
pub(super) fn node(row: &Row<'_>) -> Result<Node> {
    Ok(Node {
        id: NodeId(get(row, 0)?),
        parent: optional_id(row, 1)?,
        name: optional_text(row, 2)?,
        home: text(row, 3)?,
        owner: text(row, 4)?,
        kind: kind_from(get(row, 5)?)?,
        mode: get(row, 6)?,
        mtime_ns: FileTime(get(row, 7)?),
        ctime_ns: FileTime(get(row, 8)?),
        flag: get::<Option<u8>>(row, 9)?.map(flag_from).transpose()?,
        version: version(row, 10)?,
        size: unsigned(row, 11)?,
        author: optional_text(row, 12)?,
    })
}

/// How many columns [`grant`] reads.
pub(super) const GRANT_COLUMNS: usize = 7;

/// A grant from seven columns (access, until, seq, revoked, since, by_maker, effect) that are NULL when there is none.
pub(super) fn grant(row: &Row<'_>, at: usize) -> Result<Option<Grant>> {
    let Some(access) = get::<Option<u8>>(row, at)? else { return Ok(None) };
    Ok(Some(Grant {
        right: right_from(access)?,
        until: Timestamp(get(row, at + 1)?),
        seq: unsigned(row, at + 2)?,
        revoked: get::<Option<i64>>(row, at + 3)?.filter(|at| *at != 0).map(Timestamp),
        since: Timestamp(get(row, at + 4)?),
        by_maker: get(row, at + 5)?,
        effect: effect_from(get(row, at + 6)?)?,
    }))
}

/// Runs a query that gives at most one row.
pub(super) fn one<T>(
    connection: &Connection,
    sql: &str,
    values: impl Params,
    read: impl FnOnce(&Row<'_>) -> Result<T>,
) -> Result<Option<T>> {
    #[cfg(test)]
    queries::count();
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_row(values, |row| Ok(read(row))).optional()?.transpose()
}

/// Runs a query and reads every row.
pub(super) fn all<T>(
    connection: &Connection,
    sql: &str,
    values: impl Params,
    mut read: impl FnMut(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    #[cfg(test)]
    queries::count();
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let mut read_rows = Vec::new();
    while let Some(row) = rows.next()? {
        read_rows.push(read(row)?);
    }
    Ok(read_rows)
}

/// Changes rows; says how many.
pub(super) fn change(connection: &Connection, sql: &str, values: impl Params) -> Result<usize> {
    Ok(connection.prepare_cached(sql)?.execute(values)?)
}

/// One column.
pub(super) fn get<T: FromSql>(row: &Row<'_>, at: usize) -> Result<T> {
    Ok(row.get(at)?)
}

/// A column that holds a name of ours.
pub(super) fn text<T: FromStr<Err: Display>>(row: &Row<'_>, at: usize) -> Result<T> {
    let text = row.get_ref(at)?.as_str().map_err(damaged)?;
    text.parse().map_err(damaged)
}

/// The same where NULL may stand.
pub(super) fn optional_text<T: FromStr<Err: Display>>(row: &Row<'_>, at: usize) -> Result<Option<T>> {
    let text = row.get_ref(at)?.as_str_or_null().map_err(damaged)?;
    text.map(|text| text.parse().map_err(damaged)).transpose()
}

/// A column that is never negative.
pub(super) fn unsigned(row: &Row<'_>, at: usize) -> Result<u64> {
    u64::try_from(get::<i64>(row, at)?).map_err(damaged)
}

/// A version's number.
pub(super) fn version(row: &Row<'_>, at: usize) -> Result<Version> {
    unsigned(row, at).map(Version)
}

/// A leaf's number.
pub(super) fn leaf(row: &Row<'_>, at: usize) -> Result<Leaf> {
    unsigned(row, at).map(Leaf)
}

/// A pack's id.
pub(super) fn pack_id(row: &Row<'_>, at: usize) -> Result<PackId> {
    get(row, at).map(PackId)
}

/// A node's id where NULL may stand.
pub(super) fn optional_id(row: &Row<'_>, at: usize) -> Result<Option<NodeId>> {
    Ok(get::<Option<[u8; 16]>>(row, at)?.map(NodeId))
}

/// A number as SQLite keeps it.
pub(super) fn int(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(damaged)
}

/// A row count as SQLite keeps it; more than fits means all.
pub(super) fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// `ALL`, or the uid.
pub(super) fn grantee(row: &Row<'_>, at: usize) -> Result<Grantee> {
    text(row, at)
}

pub(super) fn kind_number(kind: Kind) -> u8 {
    match kind {
        Kind::File => 1,
        Kind::Folder => 2,
        Kind::Symlink => 3,
    }
}

pub(super) fn kind_from(number: u8) -> Result<Kind> {
    match number {
        1 => Ok(Kind::File),
        2 => Ok(Kind::Folder),
        3 => Ok(Kind::Symlink),
        _ => Err(damaged("a kind that does not exist")),
    }
}

fn effect_from(number: u8) -> Result<Effect> {
    match number {
        0 => Ok(Effect::Gives),
        1 => Ok(Effect::Limits),
        2 => Ok(Effect::Bars),
        _ => Err(damaged("a grant's effect that does not exist")),
    }
}

pub(super) fn right_number(right: Right) -> u8 {
    match right {
        Right::Checkin => 1,
        Right::Checkout => 2,
        Right::Both => 3,
    }
}

pub(super) fn right_from(number: u8) -> Result<Right> {
    match number {
        1 => Ok(Right::Checkin),
        2 => Ok(Right::Checkout),
        3 => Ok(Right::Both),
        _ => Err(damaged("a right that does not exist")),
    }
}

fn flag_from(byte: u8) -> Result<Flag> {
    Flag::from_byte(byte).ok_or_else(|| damaged("a flag that does not exist"))
}

pub(super) fn damaged(what: impl Display) -> StoreError {
    StoreError::Damaged(what.to_string())
}

/// How many queries a thread has asked, for tests.
#[cfg(test)]
pub(super) mod queries {
    use std::cell::Cell;

    thread_local! {
        static ASKED: Cell<usize> = const { Cell::new(0) };
    }

    pub(in crate::store::sqlite) fn count() {
        ASKED.set(ASKED.get() + 1);
    }

    pub(in crate::store::sqlite) fn asked() -> usize {
        ASKED.get()
    }
}
