//! What a store does with the log.

use async_trait::async_trait;
use sss_common::Timestamp;

use super::{AuditEntry, AuditHead, AuditRow, AuditSeq};
use crate::store::Result;

/// The audit log. A row that a change is handed with is in the log when and only when the change is done; `Unlogged`
/// when the log does not take it. See [`crate::store::MetaStore`].
#[async_trait]
pub trait Audit: Send + Sync {
    /// Hands rows to the audit log and does not wait: they are durable within a second, in the order of the calls, ahead
    /// of the row of any change that is asked for later. [`Audit::flush`] waits for them. While the log cannot be
    /// written they are held and tried again, up to a bound; `Full` beyond it: these rows are lost, and a row will say so.
    fn audit(&self, rows: Vec<AuditRow>) -> Result<()>;
    /// Whether the log could be written the last time that rows waited for it: the failure, until it succeeds again.
    fn audit_works(&self) -> Result<()>;
    /// Up to `limit` rows behind `seq`, in order.
    async fn audit_after(&self, seq: AuditSeq, limit: usize) -> Result<Vec<AuditEntry>>;
    /// The log's last row.
    async fn audit_head(&self) -> Result<AuditHead>;
    /// The last row that was pruned; [`AuditHead::NONE`] where none was.
    async fn audit_start(&self) -> Result<AuditHead>;
    /// Removes up to `most` of the oldest rows that are from before that time, behind a new row that says which; the log
    /// begins behind them. Says how many went.
    async fn prune_audit(&self, before: Timestamp, most: usize, now: Timestamp) -> Result<u64>;
    /// Waits until everything that was acknowledged, audit rows included, is durable.
    async fn flush(&self) -> Result<()>;
}
