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
//! [`Settings::erase_delay`]: crate::service::Settings::erase_delay

use std::collections::HashSet;
use std::time::Duration;

use sss_common::{Clock, Code};
use tokio_util::sync::CancellationToken;

use super::ROUND;
use super::Upkeep;
use super::deletion_log::DeletionLog;
use crate::service::{Failure, Outcome};
use crate::store::{Deletion, Erased, MetaStore};
use sss_failpoint as failpoint;
use sss_vault::sealed::Leaf;
use sss_vault::{LEAF_PARENTS, Vault, VaultError};

/// Keys that are read off the queue at a time.
const BATCH: usize = 1000;

/// Nodes of the key tree that the sweep for keys reads at a time.
const NODES: usize = 64;

impl Upkeep {
    /// Erases until it is cancelled, and once more then. Failures are logged, and tried again in the next round.
    pub(in crate::service) async fn run_eraser(&self, cancel: &CancellationToken) {
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
                () = self.waking.erase.notified() => {
                    let gathered = cancel.run_until_cancelled(tokio::time::sleep(self.erase_delay)).await;
                    stopping = gathered.is_none();
                }
            }
        }
    }

    /// Erases all that is queued, and what check-ins that were given up left behind.
    pub(in crate::service) async fn erase_queued(&self) -> Outcome<()> {
        let _turn = self.erasing.lock().await;
        // Also of what had no keys.
        self.copy_deletions().await;
        let abandoned = self.vault.abandoned();
        if !abandoned.is_empty() {
            self.meta.abandon(&abandoned).await?;
            self.vault.taken_care_of(&abandoned);
        }
        self.eraser().all().await
    }

    fn eraser(&self) -> Eraser<'_> {
        let (meta, vault, log) = (&*self.meta, &*self.vault, self.deletion_log.get());
        Eraser { meta, vault, log, clock: &*self.clock, unreadable: HashSet::new() }
    }

    /// Returns once this deletion's keys are forgotten. Who waits together shares one erasure.
    pub(in crate::service) async fn erase_now(&self, deletion: &Deletion) -> Outcome<()> {
        if deletion.keys.is_empty() {
            return Ok(());
        }
        let _turn = self.erasing.lock().await;
        let mut eraser = self.eraser();
        loop {
            let logged = self.meta.deletion(deletion.document).await?;
            if logged.is_none_or(|logged| logged.erased.is_some()) {
                // Its transaction is durable; another's third phase may have failed.
                return Ok(self.vault.forget_old().await?);
            }
            if !eraser.some().await? {
                return Err(Failure::new(Code::Internal, "its keys are not in the queue"));
            }
        }
    }

    /// Whether a removal waits for its keys.
    pub(in crate::service) fn erases_at_once(&self) -> bool {
        self.erase_delay == Duration::ZERO
    }

    /// Queues the keys that no row uses: what check-ins left that a crash cut short. Reads the whole last level of the key tree.
    pub(in crate::service) async fn sweep_keys(&self) -> Outcome<()> {
        let mut from = 0;
        loop {
            let nodes = self.meta.key_nodes(LEAF_PARENTS, from, NODES).await?;
            let Some(last) = nodes.last() else { return Ok(()) };
            from = last.position.index + 1;
            for node in &nodes {
                // Listed before the store is asked, and not held by a sealer: whatever is going to use it, does by then.
                let leaves = match self.vault.leaves_under(node.position).await {
                    Ok(leaves) => leaves,
                    Err(VaultError::Integrity(what)) => {
                        tracing::error!(
                            index = node.position.index,
                            "{what} does not verify: `3s-server scrub` names the documents"
                        );
                        continue;
                    }
                    Err(other) => return Err(other.into()),
                };
                let unused = self.meta.unused(&leaves).await?;
                if !unused.is_empty() {
                    tracing::info!(keys = unused.len(), "keys without a row are erased");
                    self.meta.abandon(&unused).await?;
                    self.waking.erase.notify_one();
                }
            }
        }
    }
}

/// Erases until the queue is empty. One caller at a time.
pub async fn erase_all(meta: &dyn MetaStore, vault: &Vault, clock: &dyn Clock) -> Outcome<()> {
    Eraser { meta, vault, log: None, clock, unreadable: HashSet::new() }.all().await
}

/// Makes the key tree and the keyring forget what is queued.
struct Eraser<'a> {
    meta: &'a dyn MetaStore,
    vault: &'a Vault,
    log: Option<&'a DeletionLog>,
    clock: &'a dyn Clock,
    /// Keys behind a damaged node: they stay queued, and keep no others from being erased.
    unreadable: HashSet<Leaf>,
}

impl Eraser<'_> {
    /// All of it.
    async fn all(mut self) -> Outcome<()> {
        while self.some().await? {}
        // The third phase of the last one may have failed, and nothing would come by to try it again.
        self.vault.forget_old().await?;
        match self.unreadable.len() {
            0 => Ok(()),
            keys => {
                tracing::error!(
                    keys,
                    "keys cannot be erased, because nodes of the key tree are damaged; `3s-server scrub` names the documents"
                );
                Ok(())
            }
        }
    }

    /// As much as fits in one go; `false` when nothing is left.
    async fn some(&mut self) -> Outcome<bool> {
        let mut leaves = self.meta.erasures(BATCH + self.unreadable.len()).await?;
        leaves.retain(|leaf| !self.unreadable.contains(leaf));
        if leaves.is_empty() || failpoint::is_skipped("erasing") {
            return Ok(false);
        }
        // What these keys belonged to is in the log's copy before they go.
        if let Some(log) = self.log {
            log.follow(self.meta).await;
        }
        failpoint::at("erase.begin");
        let erasing = match self.vault.begin_erase(&leaves).await {
            Ok(erasing) => erasing,
            Err(VaultError::Integrity(what)) => {
                let unreadable = self.vault.unreadable(&leaves).await?;
                return match unreadable.is_empty() {
                    true => Err(VaultError::Integrity(what).into()),
                    false => {
                        self.unreadable.extend(unreadable);
                        Ok(true)
                    }
                };
            }
            Err(other) => return Err(other.into()),
        };
        failpoint::at("erase.staged");
        let at = Erased { epoch: erasing.epoch(), time: self.clock.now() };
        self.meta.erased(erasing.leaves(), erasing.images(), at).await?;
        failpoint::at("erase.committed");
        self.vault.finish_erase(erasing).await?;
        failpoint::at("erase.done");
        Ok(true)
    }
}
