//! The audit log's rows.

use rusqlite::{Connection, params};

use crate::store::{AuditRow, Result};

/// Appends one row.
pub(super) fn append(connection: &Connection, row: &AuditRow) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO audit (time, user, node, action, document, path, outcome, request_id)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            row.time.millis(),
            row.user.as_ref().map(|user| user.as_str()),
            row.machine.as_ref().map(|node| node.as_str()),
            row.action,
            row.document.as_ref().map(|id| id.as_bytes()),
            row.path,
            row.outcome,
            row.request_id,
        ])?;
    Ok(())
}
