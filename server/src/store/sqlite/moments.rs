//! The latest moment that the store knows of.
//!
//! What the audit log's rows name costs nothing to keep: it is looked for when a server starts.

use async_trait::async_trait;
use rusqlite::{Connection, params};
use sss_common::Timestamp;

use super::SqliteStore;
use super::audit;
use super::rows::{change, get, int, limit, one};
use crate::store::moments::{HELD_STILL, ROWS};
use crate::store::{AuditRow, Moments, Result, SetBack};

#[async_trait]
impl Moments for SqliteStore {
    async fn latest_moment(&self) -> Result<Timestamp> {
        self.read(|c| latest(c)).await
    }

    async fn remember_moment(&self, now: Timestamp) -> Result<()> {
        self.write(move |c| remember(c, now)).await
    }

    async fn set_back(&self, now: Timestamp, audit: AuditRow) -> Result<SetBack> {
        self.write_audited(audit, move |c| set_back(c, now)).await
    }
}

fn latest(c: &Connection) -> Result<Timestamp> {
    let latest = one(
        c,
        "SELECT max(latest, coalesce(
             (SELECT max(time) FROM (SELECT time FROM audit WHERE audit.seq > clock.seq ORDER BY audit.seq DESC LIMIT ?)),
             latest))
         FROM clock",
        [limit(ROWS)],
        |row| get(row, 0).map(Timestamp),
    )?;
    Ok(latest.unwrap_or(Timestamp(0)))
}

fn remember(c: &Connection, now: Timestamp) -> Result<()> {
    change(c, "UPDATE clock SET latest = ?1 WHERE latest < ?1", [now.millis()]).map(drop)
}

fn set_back(c: &Connection, now: Timestamp) -> Result<SetBack> {
    let (now_ms, last) = (now.millis(), audit::given(c)?);
    change(c, "UPDATE clock SET latest = ?, seq = ?", params![now_ms, int(last.0)?])?;
    let grants = change(
        c,
        "UPDATE grants SET until = ?1 + max(until - since, 0), since = ?1 WHERE since > ?1",
        [now_ms],
    )?;
    change(c, "UPDATE grants SET revoked = ?1 WHERE revoked > ?1", [now_ms])?;
    let sessions =
        change(c, "UPDATE sessions SET ended = 'logout', ended_at = ? WHERE ended IS NULL", [now_ms])?;
    change(c, "UPDATE sessions SET ended_at = ?1 WHERE ended_at > ?1", [now_ms])?;
    change(c, "UPDATE versions SET superseded = ?1 WHERE superseded > ?1", [now_ms])?;
    change(c, "UPDATE holds SET until = min(until, ?)", [now.after(HELD_STILL).millis()])?;
    Ok(SetBack { grants: grants as u64, sessions: sessions as u64 })
}
