//! How long rows are kept (`audit.keep`): for ever, unless the configuration says otherwise.
//!
//! Costs: a query for the oldest row now and then; on the first look of each day (UTC) a transaction for each
//! [`BATCH`] rows that are too old, and one row more that says which went.

use std::time::Duration;

use sss_common::Timestamp;

use super::AuditLog;
use crate::service::Outcome;

/// Rows that one transaction removes: others wait for it.
const BATCH: usize = 10_000;

const DAY_MS: i64 = 24 * 3600 * 1000;

impl AuditLog {
    /// Removes the rows that are older than the configuration keeps them.
    pub(in crate::service) async fn prune(&self) -> Outcome<()> {
        let Some(keep) = self.keep else { return Ok(()) };
        let now = self.clock.now();
        let before = first_kept(now, keep);
        let mut pruned = 0;
        loop {
            let gone = self.meta.prune_audit(before, BATCH, now).await?;
            pruned += gone;
            if gone < BATCH as u64 {
                break;
            }
        }
        if pruned > 0 {
            tracing::info!(rows = pruned, %before, "the audit log's oldest rows were removed");
        }
        Ok(())
    }
}

/// The beginning of a day: so that there is one pruning a day, and not a row about one every few minutes.
fn first_kept(now: Timestamp, keep: Duration) -> Timestamp {
    let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    let oldest = now.millis().saturating_sub(keep);
    Timestamp(oldest - oldest.rem_euclid(DAY_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_kept_at_least_as_long_as_asked_and_less_than_a_day_longer() {
        for now in [1_795_359_845_000, 1_795_305_600_000, 1_795_305_599_999] {
            for hours in [24u64, 36, 24 * 365] {
                let keep = Duration::from_secs(hours * 3600);
                let kept = Timestamp(now).since(first_kept(Timestamp(now), keep));
                assert!(kept >= keep && kept < keep + Duration::from_secs(24 * 3600), "{now} {hours}");
            }
        }
    }
}
