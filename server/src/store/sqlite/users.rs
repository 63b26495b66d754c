//! Users and sessions.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use sss_common::{NodeId, Timestamp, Uid};

use super::rows::{all, change, damaged, get, limit, one, text};
use super::{SqliteStore, nodes};
use crate::store::rules;
use crate::store::{
    AuditRow, Ended, Fingerprint, NewSession, NewUser, Result, Session, StoreError, TokenHash, User, Users,
};

#[async_trait]
impl Users for SqliteStore {
    async fn add_user(&self, user: NewUser, audit: AuditRow) -> Result<()> {
        self.write_audited(audit, move |c| add(c, &user)).await
    }

    async fn user(&self, uid: &Uid) -> Result<Option<User>> {
        let uid = uid.clone();
        self.read(move |c| find(c, &uid)).await
    }

    async fn users(&self) -> Result<Vec<User>> {
        self.read(|c| list(c)).await
    }

    async fn set_disabled(&self, uid: &Uid, disabled: bool, audit: AuditRow) -> Result<()> {
        let uid = uid.clone();
        self.write_urgent(audit, move |c| set_disabled(c, &uid, disabled)).await
    }

    async fn set_key(&self, uid: &Uid, public_key: &str, audit: AuditRow) -> Result<()> {
        let (uid, public_key) = (uid.clone(), public_key.to_owned());
        self.write_urgent(audit, move |c| set_key(c, &uid, &public_key)).await
    }

    async fn begin_session(
        &self,
        session: NewSession,
        keep: usize,
        audit: AuditRow,
    ) -> Result<Vec<TokenHash>> {
        self.write_urgent(audit, move |c| begin_session(c, &session, keep)).await
    }

    async fn session(&self, token: &TokenHash) -> Result<Option<Session>> {
        let token = *token;
        self.read(move |c| session(c, &token)).await
    }

    async fn live_sessions(&self) -> Result<Vec<TokenHash>> {
        self.read(|c| {
            all(c, "SELECT token FROM sessions WHERE ended IS NULL", [], |row| get(row, 0).map(TokenHash))
        })
        .await
    }

    async fn revision(&self) -> Result<u64> {
        self.revision.ask().await
    }

    async fn end_session(&self, token: &TokenHash, now: Timestamp, audit: AuditRow) -> Result<()> {
        let token = *token;
        self.write_urgent(audit, move |c| end_session(c, &token, now)).await
    }
}

const USER: &str = "SELECT uid, public_key, disabled, created, home FROM users";

pub(super) fn add(c: &Connection, user: &NewUser) -> Result<()> {
    if find(c, &user.uid)?.is_some() || removed(c, &user.uid)?.is_some() {
        return Err(StoreError::Exists);
    }
    let home = NodeId::random();
    change(
        c,
        "INSERT INTO users (uid, public_key, disabled, created, home) VALUES (?, ?, 0, ?, ?)",
        params![user.uid.as_str(), user.public_key, user.now.millis(), home.as_bytes()],
    )?;
    nodes::insert(c, &rules::home(home, &user.uid, user.now.nanos()))
}

pub(super) fn find(c: &Connection, uid: &Uid) -> Result<Option<User>> {
    one(c, &format!("{USER} WHERE uid = ?"), [uid.as_str()], user)
}

/// When a user was removed who had this uid.
pub(super) fn removed(c: &Connection, uid: &Uid) -> Result<Option<Timestamp>> {
    let sql = "SELECT removed FROM removed_users WHERE uid = ?";
    one(c, sql, [uid.as_str()], |row| get(row, 0).map(Timestamp))
}

pub(super) fn list(c: &Connection) -> Result<Vec<User>> {
    all(c, &format!("{USER} ORDER BY uid"), [], user)
}

fn user(row: &Row<'_>) -> Result<User> {
    Ok(User {
        uid: text(row, 0)?,
        public_key: get(row, 1)?,
        disabled: get(row, 2)?,
        created: Timestamp(get(row, 3)?),
        home: NodeId(get(row, 4)?),
    })
}

pub(super) fn set_disabled(c: &Connection, uid: &Uid, disabled: bool) -> Result<()> {
    if change(c, "UPDATE users SET disabled = ? WHERE uid = ?", params![disabled, uid.as_str()])? == 0 {
        return Err(StoreError::NotFound);
    }
    if disabled {
        end_sessions(c, uid)?;
    }
    Ok(())
}

pub(super) fn set_key(c: &Connection, uid: &Uid, public_key: &str) -> Result<()> {
    if change(c, "UPDATE users SET public_key = ? WHERE uid = ?", [public_key, uid.as_str()])? == 0 {
        return Err(StoreError::NotFound);
    }
    end_sessions(c, uid)
}

/// As an administrator does; the schema has one word for it.
fn end_sessions(c: &Connection, uid: &Uid) -> Result<()> {
    let ended = "UPDATE sessions SET ended = 'disabled' WHERE uid = ? AND ended IS NULL";
    change(c, ended, [uid.as_str()]).map(drop)
}

pub(super) fn begin_session(c: &Connection, new: &NewSession, keep: usize) -> Result<Vec<TokenHash>> {
    let user = find(c, &new.uid)?.filter(|user| !user.disabled && user.public_key == new.public_key);
    let user = user.ok_or(StoreError::NotFound)?;
    let over = rules::session_over(new.now);
    change(c, "DELETE FROM sessions WHERE coalesce(ended_at, expires) < ?", [over.millis()])?;
    if session(c, &new.token)?.is_some() {
        return Err(StoreError::Exists);
    }
    let replaced = all(
        c,
        "SELECT seq, token FROM sessions WHERE uid = ? AND ended IS NULL AND expires > ?
         ORDER BY seq DESC LIMIT -1 OFFSET ?",
        params![user.uid.as_str(), new.now.millis(), limit(keep.max(1) - 1)],
        |row| Ok((get::<i64>(row, 0)?, TokenHash(get(row, 1)?))),
    )?;
    for (seq, _) in &replaced {
        change(
            c,
            "UPDATE sessions SET ended = 'replaced', ended_at = ?, ended_by = ? WHERE seq = ?",
            params![new.now.millis(), new.machine.as_str(), seq],
        )?;
    }
    change(
        c,
        "INSERT INTO sessions (token, uid, node, certificate, expires) VALUES (?, ?, ?, ?, ?)",
        params![
            new.token.0,
            user.uid.as_str(),
            new.machine.as_str(),
            new.certificate.0,
            new.expires.millis()
        ],
    )?;
    Ok(replaced.into_iter().rev().map(|(_, token)| token).collect())
}

pub(super) fn session(c: &Connection, token: &TokenHash) -> Result<Option<Session>> {
    one(
        c,
        "SELECT uid, node, certificate, expires, ended, ended_at, ended_by FROM sessions WHERE token = ?",
        [token.0],
        |row| {
            let ended = match get::<Option<String>>(row, 4)?.as_deref() {
                None => None,
                Some("logout") => Some(Ended::Logout),
                Some("disabled") => Some(Ended::ByAdministrator),
                Some("replaced") => Some(Ended::Replaced { by: text(row, 6)?, at: Timestamp(get(row, 5)?) }),
                Some(_) => return Err(damaged("a session that ended in no known way")),
            };
            Ok(Session {
                uid: text(row, 0)?,
                machine: text(row, 1)?,
                certificate: Fingerprint(get(row, 2)?),
                expires: Timestamp(get(row, 3)?),
                ended,
            })
        },
    )
}

pub(super) fn end_session(c: &Connection, token: &TokenHash, now: Timestamp) -> Result<()> {
    change(
        c,
        "UPDATE sessions SET ended = 'logout', ended_at = ? WHERE token = ? AND ended IS NULL",
        params![now.millis(), token.0],
    )?;
    Ok(())
}

/// The root of a user's home.
pub(super) fn home(c: &Connection, owner: &Uid) -> Result<Option<NodeId>> {
    one(c, "SELECT home FROM users WHERE uid = ?", [owner.as_str()], |row| get(row, 0).map(NodeId))
}
