//! `3s-server clock`: what time it is for the store, and how a mistaken one is taken back.

use std::path::{Path, PathBuf};

use clap::Args;
use sss_common::say;
use sss_common::{Clock, SystemClock, Timestamp};

use crate::owner::Owner;
use sss_server::run::{Advice, compose, lock};
use sss_server::store::{AuditAction, AuditRow, MetaStore, SetBack};

pub(super) const EXAMPLES: &str = "Examples:
  3s-server clock /var/lib/3s
  3s-server clock /var/lib/3s --reset

Rights end by the store's clock, which never goes back: not with the machine's clock, and not over a restart. Where the
machine's clock was ahead by mistake, set it right, stop the server, and use --reset. Grants that were set meanwhile last as
long from now on as they were given for; sessions end, and mounts log in again; the audit log has a row about it. Grants that
ended by mistake are good again until their end.";

#[derive(Debug, Args)]
pub(super) struct ClockArgs {
    /// The data directory.
    data_dir: PathBuf,
    /// Set the store's clock back to the machine's. The server must be stopped.
    #[arg(long)]
    reset: bool,
}

impl ClockArgs {
    /// Does what the command line says.
    pub(super) fn execute(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let now = SystemClock.now();
        Owner::become_of(&self.data_dir)?;
        if self.reset {
            let (latest, set) = runtime.block_on(reset(&self.data_dir, now))?;
            say!("{}", told(latest, now, set).trim_end());
            return Ok(());
        }
        let meta = compose::open_meta(&self.data_dir)?;
        let latest =
            runtime.block_on(meta.latest_moment()).advice("the database's folder must be yours to read")?;
        say!("{}", shown(latest, now).trim_end());
        Ok(())
    }
}

async fn reset(data_dir: &Path, now: Timestamp) -> anyhow::Result<(Timestamp, SetBack)> {
    let _lock = lock::lock(data_dir)?;
    let meta = compose::open_meta(data_dir)?;
    set_back(&*meta, now).await
}

/// From when to when, and what that did.
async fn set_back(meta: &dyn MetaStore, now: Timestamp) -> anyhow::Result<(Timestamp, SetBack)> {
    let nothing = "nothing was changed";
    let latest = meta.latest_moment().await.advice(nothing)?;
    if latest <= now {
        anyhow::bail!(
            "the store's clock is not ahead: it was {latest} when it was last in use, and {now} is later\n{nothing}; \
             set the machine's clock right first, where that is what is wrong"
        );
    }
    let row = AuditRow::administrative(now, AuditAction::ClockReset, format!("from {latest} to {now}"));
    Ok((latest, meta.set_back(now, row).await.advice(nothing)?))
}

fn shown(latest: Timestamp, now: Timestamp) -> String {
    let ahead = latest.since(now).as_secs();
    let verdict = match ahead {
        0 => "rights end by the machine's clock".to_owned(),
        _ => format!(
            "the store's clock is {ahead} s ahead and goes on slowly until the machine's has caught up\n\
             set the machine's clock right; where that is right, stop the server and use --reset"
        ),
    };
    format!("store    {latest} at least\nmachine  {now}\n{verdict}\n")
}

fn told(latest: Timestamp, now: Timestamp, set: SetBack) -> String {
    let SetBack { grants, sessions } = set;
    format!(
        "the store's clock is set back from {latest} to {now}\n\
         grants that were set meanwhile and begin now: {grants}\n\
         sessions that ended: {sessions}\n\
         next: 3s-server run; grants that ended by mistake are good again until their end\n"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use sss_server::store::memory::MemoryStore;
    use sss_server::store::{Audit as _, AuditSeq, Moments as _};

    #[tokio::test]
    async fn only_a_clock_that_is_ahead_is_set_back() {
        let meta = MemoryStore::new();
        let latest = meta.latest_moment().await.unwrap();
        let words = set_back(&meta, latest).await.unwrap_err().to_string();
        assert!(words.starts_with("the store's clock is not ahead"), "{words}");
        let now = Timestamp(latest.0 - 7_000_000);
        assert!(set_back(&meta, now).await.unwrap().0 == latest);
        assert_eq!(meta.latest_moment().await.unwrap(), now);
        let rows = meta.audit_after(AuditSeq::NONE, 9).await.unwrap();
        let last = rows.last().unwrap();
        assert_eq!(
            (last.action.as_str(), last.detail.clone()),
            ("clock-reset", format!("from {latest} to {now}"))
        );
    }

    #[test]
    fn a_clock_that_is_ahead_shows() {
        let words = shown(Timestamp(9_000_000), Timestamp(1_800_000));
        assert!(words.contains("7200 s ahead") && words.contains("--reset"), "{words}");
        assert!(shown(Timestamp(1), Timestamp(2)).contains("by the machine's clock"));
    }
}
