//! What happens without being asked for: superseded versions go when nobody reads them, packs of what went are deleted,
//! orphans of crashes are swept, rows of the audit log are pruned, and beside all that [`erasing`] makes the keys of what went be forgotten.

pub mod deletion_log;
mod erasing;
mod keys;
mod receipt;
mod unread;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sss_common::Clock;
use tokio_util::sync::CancellationToken;

use crate::service::Outcome;
use crate::service::audit::AuditLog;
use crate::service::base::Base;
use crate::service::content::cache::ContentCache;
use crate::service::held::Held;
use crate::service::waking::Waking;
use crate::store::{BlobStore, MetaStore};
use deletion_log::DeletionLog;
pub use erasing::erase_all;
pub use keys::StoredKeys;
pub use receipt::receipt_of;
use sss_failpoint as failpoint;
use sss_vault::Vault;

/// The pause between two rounds when nothing asks for one.
pub(in crate::service) const ROUND: Duration = Duration::from_secs(5);

/// Rounds that follow one another keep this distance, so that what comes together is erased together.
const GATHER: Duration = Duration::from_millis(200);

/// The pause between two sweeps for orphans.
const SWEEP: Duration = Duration::from_secs(600);

/// A pack without a row must be this old to be an orphan: a younger one may be an upload about to commit.
const ORPHAN_AGE: Duration = Duration::from_secs(3600);

/// Versions, keys or packs that one step handles.
const BATCH: usize = 1000;

/// What happens beside the calls, and what they wait for of it.
pub struct Upkeep {
    meta: Arc<dyn MetaStore>,
    blobs: Arc<dyn BlobStore>,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    audit: Arc<AuditLog>,
    opened: Arc<ContentCache>,
    held: Arc<Held>,
    waking: Arc<Waking>,
    keep_superseded: Duration,
    erase_delay: Duration,
    /// Held by who erases.
    pub(super) erasing: tokio::sync::Mutex<()>,
    /// The deletion log's copy on another medium.
    deletion_log: OnceLock<DeletionLog>,
}

impl Upkeep {
    pub(super) fn new(base: &Base, opened: Arc<ContentCache>, held: Arc<Held>, waking: Arc<Waking>) -> Self {
        Upkeep {
            meta: base.stores.meta.clone(),
            blobs: base.stores.blobs.clone(),
            vault: base.vault.clone(),
            clock: base.clock.clone(),
            audit: base.audit.clone(),
            opened,
            held,
            waking,
            keep_superseded: base.settings.keep_superseded,
            erase_delay: base.settings.erase_delay,
            erasing: tokio::sync::Mutex::new(()),
            deletion_log: OnceLock::new(),
        }
    }

    /// Works until it is cancelled. Failures are logged, and tried again in the next round.
    pub async fn run(&self, cancel: CancellationToken) {
        tokio::join!(self.run_eraser(&cancel), self.rounds(&cancel), self.sweeps(&cancel));
    }

    async fn rounds(&self, cancel: &CancellationToken) {
        while !cancel.is_cancelled() {
            // Also where nobody asks for anything, the administrator hears of a log that fails.
            let _ = self.audit.log_works();
            if let Err(failure) = self.reclaim().await {
                tracing::error!(code = %failure.code, cause = ?failure.cause, "maintenance failed and will be repeated");
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(ROUND) => {}
                () = self.waking.work.notified() => tokio::time::sleep(GATHER).await,
            }
        }
    }

    /// Beside the rounds: listing all packs may take long, and no erasure waits for it.
    async fn sweeps(&self, cancel: &CancellationToken) {
        let mut keys_swept = false;
        while !cancel.is_cancelled() {
            let swept = cancel.run_until_cancelled(self.sweep(&mut keys_swept)).await;
            if let Some(Err(failure)) = swept {
                tracing::error!(code = %failure.code, cause = ?failure.cause, "the sweep failed and will be repeated");
            }
            cancel.run_until_cancelled(tokio::time::sleep(SWEEP)).await;
        }
    }

    /// Packs every time; keys once, as a process that lives on keeps count of those that it gave out.
    async fn sweep(&self, keys_swept: &mut bool) -> Outcome<()> {
        let keys = match *keys_swept {
            true => Ok(()),
            false => self.sweep_keys().await,
        };
        *keys_swept |= keys.is_ok();
        let pruned = self.audit.prune().await;
        self.sweep_orphans().await.and(keys).and(pruned)
    }

    /// One round: drop what is superseded, delete the packs that nothing uses any more. A step that fails does not keep the
    /// others from their work.
    async fn reclaim(&self) -> Outcome<()> {
        let dropped = self.drop_unread().await;
        let emptied = self.empty_trash().await;
        dropped.and(emptied)
    }

    /// All of it once, in an order that leaves nothing to do; for tests and tools, where nothing runs beside them.
    pub async fn maintain(&self) -> Outcome<()> {
        let erased = self.erase_queued().await;
        let reclaimed = self.reclaim().await;
        erased.and(reclaimed).and(self.erase_queued().await)
    }

    async fn empty_trash(&self) -> Outcome<()> {
        // A backup, which is another process, sets its holds by the machine's clock.
        let trash = self.meta.trash(BATCH, self.clock.of_machine()).await?;
        for pack in &trash {
            self.blobs.delete(*pack).await?;
            failpoint::at("trash.deleted");
        }
        if !trash.is_empty() {
            self.meta.trashed(&trash).await?;
        }
        Ok(())
    }

    /// Deletes packs that have no row: what a crash left between a pack and its transaction.
    pub async fn sweep_orphans(&self) -> Outcome<()> {
        // Files are stamped by the machine's clock, which the store's may be ahead of by any time.
        let now = self.clock.of_machine();
        for (pack, written) in self.blobs.list().await? {
            if now.since(written) >= ORPHAN_AGE && !self.meta.has_pack(pack).await? {
                tracing::info!(%pack, "an orphan pack is removed");
                self.blobs.delete(pack).await?;
            }
        }
        Ok(())
    }
}
