//! Forgetting: the keys that the store queued are taken out of the key tree, many with one erasure.
//!
//! A removal queues its keys in its own transaction. The eraser waits [`Settings::erase_delay`] for others to join, then
//! erases all that is queued. With a delay of zero, and for a receipt, the removal itself waits: whoever comes
//! first erases for all who wait, as a group commit does. What was queued when the server stops is erased before it ends; what was
//! queued when it is killed, after its next start.
//!
//! Cost of an erasure, however many keys it takes (up to 512 nodes of the tree's last level): one transaction of the store,
//! two replacements of the keyring of four fsyncs each, six sealed nodes for a lone key (see FORMAT.md).
//!
//! [`Settings::erase_delay`]: super::Settings::erase_delay

use std::time::Duration;

use sss_common::Code;
use tokio_util::sync::CancellationToken;

use super::maintenance::ROUND;
use super::{Failure, Outcome, Service};
use crate::failpoint;
use crate::store::{Deletion, Erased, MetaStore};
use crate::vault::{LEAF_PARENTS, Vault};

/// Keys that are read off the queue at a time.
const BATCH: usize = 1000;

/// Nodes of the key tree that the sweep for keys reads at a time.
const NODES: usize = 64;

impl Service {
    /// Erases until it is cancelled, and once more then. Failures are logged, and tried again in the next round.
    pub(super) async fn run_eraser(&self, cancel: &CancellationToken) {
        let mut stopping = false;
        loop {
            if let Err(failure) = self.erase_queued().await {
                tracing::error!(code = %failure.code, cause = ?failure.cause, "keys were not erased and will be, in the next round");
            }
            if stopping {
                return;
            }
            tokio::select! {
                () = cancel.cancelled() => stopping = true,
                () = tokio::time::sleep(ROUND) => {}
                () = self.erase.notified() => {
                    let gathered = cancel.run_until_cancelled(tokio::time::sleep(self.settings.erase_delay)).await;
                    stopping = gathered.is_none();
                }
            }
        }
    }

    /// Erases all that is queued, and what check-ins that were given up left behind.
    pub(super) async fn erase_queued(&self) -> Outcome<()> {
        let _turn = self.erasing.lock().await;
        self.copy_deletions().await;
        let abandoned = self.vault.abandoned();
        if !abandoned.is_empty() {
            self.meta().abandon(&abandoned).await?;
            self.vault.taken_care_of(&abandoned);
        }
        erase_all(self.meta(), &self.vault, || self.now()).await
    }

    /// Returns once this deletion's keys are forgotten. Who waits together shares one erasure.
    pub(super) async fn erase_now(&self, deletion: &Deletion) -> Outcome<()> {
        if deletion.keys.is_empty() {
            return Ok(());
        }
        let _turn = self.erasing.lock().await;
        self.copy_deletions().await;
        loop {
            let logged = self.meta().deletion(deletion.document).await?;
            if logged.is_none_or(|logged| logged.erased.is_some()) {
                // Its transaction is durable; another's third phase may have failed.
                return Ok(self.vault.forget_old().await?);
            }
            if !erase_some(self.meta(), &self.vault, || self.now()).await? {
                return Err(Failure::new(Code::Internal, "its keys are not in the queue"));
            }
        }
    }

    /// Whether a removal waits for its keys.
    pub(super) fn erases_at_once(&self) -> bool {
        self.settings.erase_delay == Duration::ZERO
    }

    /// Queues the keys that no row uses: what check-ins left that a crash cut short. Reads the whole last level of the key tree.
    pub(super) async fn sweep_keys(&self) -> Outcome<()> {
        let mut from = 0;
        loop {
            let nodes = self.meta().key_nodes(LEAF_PARENTS, from, NODES).await?;
            let Some(last) = nodes.last() else { return Ok(()) };
            from = last.position.index + 1;
            for node in &nodes {
                // Listed before the store is asked, and not held by a sealer: whatever is going to use it, does by then.
                let leaves = self.vault.leaves_under(node.position).await?;
                let unused = self.meta().unused(&leaves).await?;
                if !unused.is_empty() {
                    tracing::info!(keys = unused.len(), "keys without a row are erased");
                    self.meta().abandon(&unused).await?;
                    self.erase.notify_one();
                }
            }
        }
    }
}

/// Erases until the queue is empty. One caller at a time.
pub async fn erase_all(
    meta: &dyn MetaStore,
    vault: &Vault,
    now: impl Fn() -> sss_common::Timestamp,
) -> Outcome<()> {
    while erase_some(meta, vault, &now).await? {}
    // The third phase of the last one may have failed, and nothing would come by to try it again.
    Ok(vault.forget_old().await?)
}

/// Makes the key tree and the keyring forget what is queued, as much as fits in one go; `false` when nothing is.
async fn erase_some(
    meta: &dyn MetaStore,
    vault: &Vault,
    now: impl Fn() -> sss_common::Timestamp,
) -> Outcome<bool> {
    let leaves = meta.erasures(BATCH).await?;
    if leaves.is_empty() || failpoint::is_skipped("erasing") {
        return Ok(false);
    }
    failpoint::at("erase.begin");
    let erasing = vault.begin_erase(&leaves).await?;
    failpoint::at("erase.staged");
    let at = Erased { epoch: erasing.epoch(), time: now() };
    meta.erased(erasing.leaves(), erasing.images(), at).await?;
    failpoint::at("erase.committed");
    vault.finish_erase(erasing).await?;
    failpoint::at("erase.done");
    Ok(true)
}
