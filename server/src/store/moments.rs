//! What time it was, so that it is never earlier again.

use std::time::Duration;

use async_trait::async_trait;
use sss_common::Timestamp;

use super::{AuditRow, Result};

/// The latest moment that the store knows of. Every method is one transaction; see [`super::MetaStore`].
#[async_trait]
pub trait Moments: Send + Sync {
    /// The latest moment that was remembered, or that one of the last rows of the audit log names: a right that was refused at
    /// some time, with a row about it, stays refused whatever the machine's clock says later.
    async fn latest_moment(&self) -> Result<Timestamp>;
    /// Remembers a moment, unless a later one is.
    async fn remember_moment(&self, now: Timestamp) -> Result<()>;
    /// The store lived ahead of the true time, which is `now`: rows that are there do not count for the latest moment any
    /// more. What was set by the wrong time lasts as long from now on as it was given for (grants), or is over (sessions), or
    /// is old by now (superseded versions), or lasts an hour (holds).
    async fn set_back(&self, now: Timestamp, audit: AuditRow) -> Result<SetBack>;
}

/// What [`Moments::set_back`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetBack {
    /// Grants that were set at a moment that has not come yet, and begin now.
    pub grants: u64,
    /// Sessions that ended.
    pub sessions: u64,
}

/// Rows of the audit log that are looked through for the latest moment, from the last on: as many as may be written in
/// another order than their times have.
pub(super) const ROWS: usize = 4096;

/// How long a hold from the wrong time lasts on.
pub(super) const HELD_STILL: Duration = Duration::from_secs(3600);
