//! Whole homes: emptied, given up, handed over.
//!
//! Costs: `empty` a few steps in an index for each node, however large the home is; `transfer` one walk over all nodes and all grants of
//! the store, in one transaction.

use async_trait::async_trait;
use rusqlite::{Connection, params};

use sss_common::{Kind, Name, NodeId, Timestamp, Uid};

use super::rows::{all, change, get, kind_from, limit, one, unsigned};
use super::{SqliteStore, audit, deletions, nodes, users};
use crate::store::rules::{self, RemovedBy};
use crate::store::{AuditRow, Deletion, Homes, Node, Result, StoreError};

#[async_trait]
impl Homes for SqliteStore {
    async fn shut(&self, uid: &Uid, audit: AuditRow) -> Result<()> {
        let uid = uid.clone();
        let now = audit.time;
        self.write_urgent(audit, move |c| shut(c, &uid, now)).await
    }

    async fn empty(&self, uid: &Uid, weight: usize, now: Timestamp) -> Result<Vec<Deletion>> {
        let by = RemovedBy { user: uid.clone(), time: now };
        self.write_urgent(None, move |c| empty(c, &by, weight)).await
    }

    async fn withdraw(&self, uid: &Uid, limit: usize, now: Timestamp) -> Result<usize> {
        let uid = uid.clone();
        self.write_urgent(None, move |c| withdraw(c, &uid, limit, now)).await
    }

    async fn remove_user(&self, uid: &Uid, audit: AuditRow) -> Result<()> {
        let (uid, now) = (uid.clone(), audit.time);
        self.write_urgent(audit, move |c| remove_user(c, &uid, now)).await
    }

    async fn removed(&self, uid: &Uid) -> Result<Option<Timestamp>> {
        let uid = uid.clone();
        self.read(move |c| users::removed(c, &uid)).await
    }

    async fn transfer(
        &self,
        from: &Uid,
        to: &Uid,
        into: Option<&Name>,
        audit: AuditRow,
    ) -> Result<(Node, u64)> {
        let (from, to, into) = (from.clone(), to.clone(), into.cloned());
        self.write(move |c| {
            let (folder, nodes) = transfer(c, &from, &to, into.as_ref(), audit.time)?;
            audit::append(c, &rules::transferred(audit, &folder))?;
            Ok((folder, nodes))
        })
        .await
    }

    async fn reordered(&self) -> Result<u64> {
        self.read(|c| {
            let sql = "SELECT value FROM counters WHERE name = 'reordered'";
            Ok(one(c, sql, [], |row| unsigned(row, 0))?.unwrap_or(0))
        })
        .await
    }
}

/// For servers that run beside.
fn reorder(c: &Connection) -> Result<()> {
    let sql = "INSERT INTO counters (name, value) VALUES ('reordered', 1)
               ON CONFLICT (name) DO UPDATE SET value = value + 1";
    change(c, sql, []).map(drop)
}

fn shut(c: &Connection, uid: &Uid, now: Timestamp) -> Result<()> {
    users::set_disabled(c, uid, true)?;
    let home = disabled_home(c, uid)?;
    let taken_back = "UPDATE grants SET revoked = ? WHERE node = ? AND revoked = 0";
    change(c, taken_back, params![now.millis(), home.0])?;
    reorder(c)
}

/// The home of a user who is there and disabled.
fn disabled_home(c: &Connection, uid: &Uid) -> Result<NodeId> {
    let user = users::find(c, uid)?.ok_or(StoreError::NotFound)?;
    if user.disabled { Ok(user.home) } else { Err(StoreError::Enabled(uid.clone())) }
}

fn empty(c: &Connection, by: &RemovedBy, weight: usize) -> Result<Vec<Deletion>> {
    let home = disabled_home(c, &by.user)?;
    let (mut doomed, mut left) = (Vec::new(), weight.max(1));
    collect(c, home, &mut left, &mut doomed)?;
    let mut gone = Vec::with_capacity(doomed.len());
    for id in doomed {
        let deletion = deletions::remove_logged(c, id, by)?;
        audit::append(c, &rules::emptied(&deletion))?;
        gone.push(deletion);
    }
    if !gone.is_empty() {
        nodes::touch(c, home, by.time.nanos())?;
        reorder(c)?;
    }
    Ok(gone)
}

/// Nodes below a folder, entries before their folders, while there is something `left` of the weight. Whether all of them are there.
fn collect(c: &Connection, folder: NodeId, left: &mut usize, doomed: &mut Vec<NodeId>) -> Result<bool> {
    // Each weighs at least one, so that the last of a full page is one too many.
    let page = all(
        c,
        "SELECT n.id, n.kind, (SELECT count(*) FROM versions v WHERE v.node = n.id) FROM nodes n
         WHERE n.parent = ? ORDER BY n.name LIMIT ?",
        params![folder.0, limit(left.saturating_add(1))],
        |row| Ok((NodeId(get(row, 0)?), kind_from(get(row, 1)?)?, unsigned(row, 2)?)),
    )?;
    for (id, kind, versions) in page {
        if *left == 0 || (kind == Kind::Folder && !collect(c, id, left, doomed)?) {
            return Ok(false);
        }
        doomed.push(id);
        *left = left.saturating_sub(1).saturating_sub(usize::try_from(versions).unwrap_or(usize::MAX));
    }
    Ok(true)
}

fn withdraw(c: &Connection, uid: &Uid, most: usize, now: Timestamp) -> Result<usize> {
    disabled_home(c, uid)?;
    let grants = change(
        c,
        "DELETE FROM grants WHERE grantee = ?1 AND node IN (SELECT node FROM grants WHERE grantee = ?1 LIMIT ?2)",
        params![uid.as_str(), limit(most)],
    )?;
    let guests = all(
        c,
        "SELECT id FROM nodes WHERE owner = ? AND owner <> home LIMIT ?",
        params![uid.as_str(), limit(most)],
        |row| get(row, 0).map(NodeId),
    )?;
    for id in &guests {
        let taken_back = "UPDATE grants SET revoked = ? WHERE node = ? AND by_maker = 1 AND revoked = 0";
        change(c, taken_back, params![now.millis(), id.0])?;
        change(c, "UPDATE nodes SET owner = home WHERE id = ?", [id.0])?;
    }
    let found = grants + guests.len();
    if found > 0 {
        reorder(c)?;
    }
    Ok(found)
}

fn remove_user(c: &Connection, uid: &Uid, now: Timestamp) -> Result<()> {
    let home = disabled_home(c, uid)?;
    let left = one(
        c,
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM grants WHERE grantee = ?1)
            OR EXISTS (SELECT 1 FROM nodes WHERE owner = ?1 AND owner <> home)",
        [uid.as_str()],
        |_| Ok(()),
    )?;
    if left.is_some() || !nodes::is_empty(c, home)? {
        return Err(StoreError::NotEmpty);
    }
    change(c, "DELETE FROM sessions WHERE uid = ?", [uid.as_str()])?;
    nodes::delete(c, home)?;
    change(c, "DELETE FROM users WHERE uid = ?", [uid.as_str()])?;
    change(c, "INSERT INTO removed_users (uid, removed) VALUES (?, ?)", params![uid.as_str(), now.millis()])?;
    reorder(c)
}

fn transfer(
    c: &Connection,
    from: &Uid,
    to: &Uid,
    into: Option<&Name>,
    now: Timestamp,
) -> Result<(Node, u64)> {
    let (source, target) = (home(c, from)?, home(c, to)?);
    if source.id == target.id {
        return Err(StoreError::Loop);
    }
    nodes::fits_below(c, target.id, nodes::height(c, source.id)? + 1)?;
    let name = place(c, target.id, from, into)?;
    let folder = rules::transfer_folder(&source, &target, name, now);
    nodes::insert(c, &folder)?;
    hand_over_grants(c, from, to, source.id, folder.id)?;
    change(c, "UPDATE xattrs SET node = ? WHERE node = ?", params![folder.id.0, source.id.0])?;
    let moved = change(
        c,
        "UPDATE nodes SET home = ?2, owner = CASE owner WHEN ?1 THEN ?2 ELSE owner END,
             parent = CASE parent WHEN ?3 THEN ?4 ELSE parent END
         WHERE home = ?1 AND id <> ?3",
        params![from.as_str(), to.as_str(), source.id.0, folder.id.0],
    )?;
    nodes::touch(c, source.id, now.nanos())?;
    nodes::touch(c, target.id, now.nanos())?;
    reorder(c)?;
    Ok((folder, moved as u64))
}

fn home(c: &Connection, uid: &Uid) -> Result<Node> {
    nodes::existing(c, users::home(c, uid)?.ok_or(StoreError::NotFound)?)
}

/// A free name in the folder.
fn place(c: &Connection, folder: NodeId, from: &Uid, into: Option<&Name>) -> Result<Name> {
    for name in rules::transfer_names(from, into) {
        if nodes::at(c, folder, &name)?.is_none() {
            return Ok(name);
        }
    }
    Err(StoreError::Exists)
}

/// Those to either of the two go; those on the home itself become the folder's; those of a guest who is now the home's owner are
/// an owner's.
fn hand_over_grants(c: &Connection, from: &Uid, to: &Uid, source: NodeId, folder: NodeId) -> Result<()> {
    let names = params![from.as_str(), to.as_str()];
    change(c, "DELETE FROM grants WHERE grantee IN (?1, ?2) AND home = ?1", names)?;
    change(
        c,
        "UPDATE grants SET by_maker = 0
         WHERE node IN (SELECT id FROM nodes WHERE owner = ?2 AND home = ?1 AND owner <> home)",
        names,
    )?;
    change(c, "UPDATE grants SET node = ? WHERE node = ?", params![folder.0, source.0])?;
    change(c, "UPDATE grants SET home = ?2 WHERE home = ?1", names).map(drop)
}
