//! Modes, times, flags, extended attributes and grants.

use async_trait::async_trait;
use rusqlite::{Connection, params};

use sss_common::{FileTime, Flag, Grantee, Kind, NodeId, Right, Timestamp, Uid, Version, XattrMode};

use super::rows::{self, all, change, get, grantee, one, right_number, unsigned};
use super::{SqliteStore, facts, nodes};
use crate::store::rules::{Claim, MODE_MASK, xattr_fits};
use crate::store::{AuditRow, GrantRow, Limited, NewGrant, Node, Result, SetAttr, Sharing, StoreError};
use sss_policy::{Allowed, MayWrite, Own, Share};

#[async_trait]
impl Sharing for SqliteStore {
    async fn set_attr(&self, proof: &dyn MayWrite, set: SetAttr) -> Result<Node> {
        self.write_by(Claim::of_writer(proof), set.now, move |c, claim| set_attr(c, claim.node, &set)).await
    }

    async fn set_flag(&self, proof: &Allowed<Own>, flag: Flag, audit: AuditRow) -> Result<Node> {
        let now_ns = audit.time.nanos();
        let work = move |c: &Connection, claim: &Claim| set_flag(c, claim.node, flag, now_ns);
        self.write_audited_by(Claim::of(proof), audit, work).await
    }

    async fn xattrs(&self, id: NodeId) -> Result<Vec<(String, Vec<u8>)>> {
        self.read(move |c| xattrs(c, id)).await
    }

    async fn set_xattr(
        &self,
        proof: &dyn MayWrite,
        name: &str,
        value: &[u8],
        mode: XattrMode,
        now: Timestamp,
    ) -> Result<()> {
        let (name, value) = (name.to_owned(), value.to_vec());
        let work = move |c: &Connection, claim: &Claim| set_xattr(c, claim.node, &name, &value, mode);
        self.write_by(Claim::of_writer(proof), now, work).await
    }

    async fn remove_xattr(&self, proof: &dyn MayWrite, name: &str, now: Timestamp) -> Result<()> {
        let name = name.to_owned();
        self.write_by(Claim::of_writer(proof), now, move |c, claim| remove_xattr(c, claim.node, &name)).await
    }

    async fn grants(&self, id: NodeId) -> Result<Vec<GrantRow>> {
        self.read(move |c| grants(c, id)).await
    }

    async fn set_grant(&self, proof: &Allowed<Share>, grant: NewGrant, audit: AuditRow) -> Result<()> {
        let since = audit.time;
        let work = move |c: &Connection, claim: &Claim| set_grant(c, claim.node, &grant, &claim.user, since);
        self.write_audited_by(Claim::of(proof), audit, work).await
    }

    async fn revoke_grant(&self, proof: &Allowed<Share>, grantee: &Grantee, audit: AuditRow) -> Result<()> {
        let grantee = grantee.clone();
        let now = audit.time;
        let claim = Claim::of(proof);
        let work = move |c: &Connection| {
            facts::confirm(c, &claim, now)?;
            revoke_grant(c, claim.node, &grantee, now)
        };
        self.write_urgent(audit, work).await
    }
}

pub(super) fn set_attr(c: &Connection, id: NodeId, set: &SetAttr) -> Result<Node> {
    change(
        c,
        "UPDATE nodes SET mode = coalesce(?, mode), mtime_ns = coalesce(?, mtime_ns), ctime_ns = ? WHERE id = ?",
        params![
            set.mode.map(|mode| mode & MODE_MASK),
            set.mtime_ns.map(|mtime| mtime.0),
            set.now.nanos().0,
            id.0
        ],
    )?;
    nodes::existing(c, id)
}

pub(super) fn set_flag(c: &Connection, id: NodeId, flag: Flag, now_ns: FileTime) -> Result<Node> {
    let node = nodes::existing(c, id)?;
    if node.kind != Kind::Folder && node.version != Version::NONE {
        return Err(StoreError::VersionMoved(node.version));
    }
    change(
        c,
        "UPDATE nodes SET flag = ?, ctime_ns = ? WHERE id = ?",
        params![flag.to_byte(), now_ns.0, id.0],
    )?;
    nodes::existing(c, id)
}

pub(super) fn xattrs(c: &Connection, id: NodeId) -> Result<Vec<(String, Vec<u8>)>> {
    nodes::existing(c, id)?;
    all(c, "SELECT name, value FROM xattrs WHERE node = ? ORDER BY name", [id.0], |row| {
        Ok((get(row, 0)?, get(row, 1)?))
    })
}

pub(super) fn set_xattr(c: &Connection, id: NodeId, name: &str, value: &[u8], mode: XattrMode) -> Result<()> {
    nodes::existing(c, id)?;
    let there = one(c, "SELECT 1 FROM xattrs WHERE node = ? AND name = ?", params![id.0, name], |_| Ok(()))?;
    match mode {
        XattrMode::Create if there.is_some() => return Err(StoreError::Exists),
        XattrMode::Replace if there.is_none() => return Err(StoreError::NotFound),
        _ => {}
    }
    let others = one(
        c,
        "SELECT coalesce(sum(octet_length(name) + length(value)), 0) FROM xattrs WHERE node = ? AND name <> ?",
        params![id.0, name],
        |row| unsigned(row, 0),
    )?;
    xattr_fits(name, value, usize::try_from(others.unwrap_or(0)).unwrap_or(usize::MAX))?;
    change(
        c,
        "INSERT INTO xattrs (node, name, value) VALUES (?, ?, ?)
         ON CONFLICT (node, name) DO UPDATE SET value = excluded.value",
        params![id.0, name, value],
    )?;
    Ok(())
}

pub(super) fn remove_xattr(c: &Connection, id: NodeId, name: &str) -> Result<()> {
    found(change(c, "DELETE FROM xattrs WHERE node = ? AND name = ?", params![id.0, name])?)
}

/// Gives a node another's attributes in place of its own, unless the other has none.
pub(super) fn take_xattrs(c: &Connection, from: NodeId, to: NodeId) -> Result<()> {
    if one(c, "SELECT 1 FROM xattrs WHERE node = ? LIMIT 1", [from.0], |_| Ok(()))?.is_some() {
        change(c, "DELETE FROM xattrs WHERE node = ?", [to.0])?;
        change(c, "UPDATE xattrs SET node = ? WHERE node = ?", params![to.0, from.0])?;
    }
    Ok(())
}

pub(super) fn grants(c: &Connection, id: NodeId) -> Result<Vec<GrantRow>> {
    nodes::existing(c, id)?;
    all(
        c,
        "SELECT grantee, access, until, seq FROM grants WHERE node = ? AND revoked = 0 AND effect = 0
         ORDER BY grantee <> 'ALL', grantee",
        [id.0],
        |row| {
            Ok(GrantRow {
                grantee: grantee(row, 0)?,
                right: rows::right_from(get(row, 1)?)?,
                until: Timestamp(get(row, 2)?),
                seq: unsigned(row, 3)?,
            })
        },
    )
}

/// One to ALL replaces every earlier one: their rows stay, revoked, as their holders still know of the node.
pub(super) fn set_grant(
    c: &Connection,
    id: NodeId,
    grant: &NewGrant,
    by: &Uid,
    since: Timestamp,
) -> Result<()> {
    let home = nodes::existing(c, id)?.home;
    let seq = one(
        c,
        "INSERT INTO counters (name, value) VALUES ('grant', 1)
         ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value",
        [],
        |row| get::<i64>(row, 0),
    )?;
    if grant.grantee == Grantee::All {
        change(
            c,
            "UPDATE grants SET revoked = ? WHERE node = ? AND revoked = 0",
            params![since.millis(), id.0],
        )?;
    }
    change(
        c,
        "INSERT INTO grants (node, grantee, home, access, until, seq, revoked, since, by_maker)
         VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?)
         ON CONFLICT (node, grantee) DO UPDATE
         SET access = excluded.access, until = excluded.until, seq = excluded.seq, revoked = 0,
             since = excluded.since, by_maker = excluded.by_maker, effect = 0",
        params![
            id.0,
            grant.grantee.to_string(),
            home.as_str(),
            right_number(grant.right),
            grant.until.millis(),
            seq,
            since.millis(),
            *by != home,
        ],
    )?;
    Ok(())
}

pub(super) fn revoke_grant(c: &Connection, id: NodeId, grantee: &Grantee, now: Timestamp) -> Result<()> {
    found(change(
        c,
        "UPDATE grants SET revoked = ? WHERE node = ? AND grantee = ? AND revoked = 0 AND effect = 0",
        params![now.millis(), id.0, grantee.to_string()],
    )?)
}

/// What keeps others from a new node.
pub(super) fn limit(c: &Connection, node: &Node, limited: Limited) -> Result<()> {
    let (now, ever) = (node.ctime_ns.0 / 1_000_000, Timestamp::MAX.millis());
    match limited {
        Limited::No => {}
        Limited::As(document)
            if nodes::find(c, document)?.is_some_and(|there| there.parent == node.parent) =>
        {
            change(
                c,
                "INSERT INTO grants (node, grantee, home, access, until, seq, revoked, since, by_maker, effect)
                 SELECT ?, grantee, home, access, ?, seq, 0, since, 0, max(effect, 1) FROM grants
                 WHERE node = ? AND revoked = 0 AND until > ?",
                params![node.id.0, ever, document.0, now],
            )?;
        }
        // Who could read it is not known any more, or not by its own grants alone.
        Limited::As(_) | Limited::ToOwners => {
            change(
                c,
                "INSERT INTO grants (node, grantee, home, access, until, seq, revoked, since, by_maker, effect)
                 VALUES (?, 'ALL', ?, ?, ?, 0, 0, 0, 0, 2)",
                params![node.id.0, node.home.as_str(), right_number(Right::Both), ever],
            )?;
        }
    }
    Ok(())
}

fn found(changed: usize) -> Result<()> {
    if changed == 0 { Err(StoreError::NotFound) } else { Ok(()) }
}
