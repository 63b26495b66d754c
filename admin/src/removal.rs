//! Removing a user with all that is his: `3s-server user remove`.
//!
//! 1. The user is disabled, and nothing is shared in the home's root any more.
//! 2. The home is emptied in small transactions, each with its rows in the deletion log and the audit log; between two of them a
//!    server that runs on the store gets its turn.
//! 3. What others granted him goes, and what he made in their homes becomes theirs.
//! 4. The user goes, and the name stays taken for good.
//! 5. Keys are erased and packs deleted: by the server that runs, which is waited for, or else here, under its lock.
//! 6. Receipts, for who asks for them.
//!
//! Each step is durable before the next one begins and finds what is left of the one before: a removal that was cut is finished by
//! the same command. Cost: each document some rows; a key's erasure is shared by a thousand; a receipt 3 ms and two fsyncs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use sss_common::clock::monotonic;
use sss_common::durable::{self, Access};
use sss_common::{Clock as _, Code, SystemClock, Uid};

use crate::trash::empty_trash;
use crate::words::shown;
use sss_failpoint as failpoint;
use sss_server::run::compose::{self, Paths};
use sss_server::run::{Advice, lock};
use sss_server::service::{StoredKeys, erase_all, receipt_of};
use sss_server::store::{AuditAction, AuditOutcome, AuditRow, Deletion, DeletionSeq, MetaStore, StoreError};
use sss_vault::Vault;

/// Documents, folders and versions of one transaction: some milliseconds.
const WEIGHT: usize = 200;

/// Entries of the deletion log that are read at a time.
const PAGE: usize = 1000;

/// How often is looked whether a server has erased what it is to erase.
const LOOK: Duration = Duration::from_millis(250);

/// How long that may make no progress.
const PATIENCE: Duration = Duration::from_secs(60);

const STORE_FAILED: &str =
    "see whether DATA_DIR is right and its disk has room; the same command goes on where this one stopped";

/// What is to be done.
pub struct Order {
    /// The data directory.
    pub data_dir: PathBuf,
    /// The keyring, where it is not in the data directory.
    pub keyring: Option<PathBuf>,
    /// Who.
    pub uid: Uid,
    /// Where receipts go; it is made where it is not there.
    pub receipts: Option<PathBuf>,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Documents, links and folders that went now.
    pub nodes: u64,
    /// Receipts that were written now.
    pub receipts: u64,
}

/// What happens meanwhile.
pub trait Watch {
    /// So many more nodes are removed.
    fn removed(&self, nodes: u64);
    /// So many deletions wait for their keys to be erased.
    fn waiting(&self, deletions: u64);
}

/// Removes a user, or goes on with it; of one that is removed already only what is left is done.
pub async fn remove(order: &Order, watch: &dyn Watch) -> anyhow::Result<Removed> {
    let Order { data_dir, keyring, uid, receipts } = order;
    let meta = compose::open_meta(data_dir)?;
    let mut done = Removed::default();
    if let Some(folder) = receipts {
        std::fs::create_dir_all(folder)
            .map_err(|error| anyhow!("{}: {error}", folder.display()))
            .advice("give a folder that you may write with --receipts")?;
    }
    match meta.user(uid).await.advice(STORE_FAILED)? {
        Some(_) => done.nodes = give_up(&*meta, uid, watch).await?,
        None if meta.removed(uid).await.advice(STORE_FAILED)?.is_some() => {}
        None => bail!("there is no user {uid}\n`3s-server user list` shows who is there"),
    }
    failpoint::at("user-remove.removed");
    let paths = Paths::of(data_dir, keyring.clone());
    erase(data_dir, &paths, &meta, uid, watch).await?;
    if let Some(folder) = receipts {
        done.receipts = give_receipts(&paths, &meta, uid, folder).await?;
    }
    meta.flush().await.advice("the last lines of the audit log may be missing")?;
    Ok(done)
}

/// Steps 1 to 4. How many nodes went.
async fn give_up(meta: &dyn MetaStore, uid: &Uid, watch: &dyn Watch) -> anyhow::Result<u64> {
    let row = |action| AuditRow::administrative(SystemClock.now(), action, uid.as_str());
    meta.shut(uid, row(AuditAction::UserDisable)).await.advice(STORE_FAILED)?;
    failpoint::at("user-remove.shut");
    let mut nodes = 0;
    loop {
        nodes += empty(meta, uid, watch).await?;
        while taking_turns(meta.withdraw(uid, WEIGHT, SystemClock.now())).await.advice(STORE_FAILED)? > 0 {}
        match meta.remove_user(uid, row(AuditAction::UserRemove)).await {
            // A guest put something there, or somebody granted him something, in the meantime.
            Err(StoreError::NotEmpty) => {}
            outcome => return outcome.map(|()| nodes).advice(STORE_FAILED),
        }
    }
}

async fn empty(meta: &dyn MetaStore, uid: &Uid, watch: &dyn Watch) -> anyhow::Result<u64> {
    let mut nodes = 0;
    loop {
        let gone = taking_turns(meta.empty(uid, WEIGHT, SystemClock.now())).await.advice(STORE_FAILED)?;
        if gone.is_empty() {
            return Ok(nodes);
        }
        failpoint::at("user-remove.emptied");
        nodes += gone.len() as u64;
        watch.removed(gone.len() as u64);
    }
}

/// The database has one writer at a time, who is not chosen fairly: as long as a transaction took, others may write.
async fn taking_turns<T>(transaction: impl Future<Output = T>) -> T {
    let begun = monotonic();
    let outcome = transaction.await;
    tokio::time::sleep(begun.elapsed()).await;
    outcome
}

/// Returns when nothing of the home can be opened any more.
async fn erase(
    data_dir: &Path,
    paths: &Paths,
    meta: &Arc<dyn MetaStore>,
    uid: &Uid,
    watch: &dyn Watch,
) -> anyhow::Result<()> {
    let (mut least, mut progress) = (u64::MAX, monotonic());
    loop {
        // A server that is not there, or stops while it is waited for.
        let locked = lock::exclusive(&data_dir.join("lock"));
        if let Some(_lock) =
            locked.map_err(|error| anyhow!("{}: {error}", data_dir.display())).advice(STORE_FAILED)?
        {
            return erase_here(paths, meta).await;
        }
        let waiting = unerased(&**meta, uid).await?;
        if waiting == 0 {
            return Ok(());
        }
        watch.waiting(waiting);
        if waiting < least {
            (least, progress) = (waiting, monotonic());
        }
        if progress.elapsed() > PATIENCE {
            bail!(
                "{uid} is removed; the running server has not erased the keys of {waiting} documents yet\n\
                 its log says why; it goes on trying, and the same command waits for it again"
            );
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn erase_here(paths: &Paths, meta: &Arc<dyn MetaStore>) -> anyhow::Result<()> {
    let vault = compose::open_vault(paths, meta).await?;
    let blobs = compose::open_blobs(paths)?;
    erase_all(&**meta, &vault, &SystemClock)
        .await
        .map_err(|failure| anyhow!("keys could not be erased: {}\n{STORE_FAILED}", failure.detail))?;
    empty_trash(&**meta, &*blobs).await.advice(STORE_FAILED)
}

/// How many deletions in the home have keys that are not erased.
async fn unerased(meta: &dyn MetaStore, uid: &Uid) -> anyhow::Result<u64> {
    let mut waiting = 0;
    each_deletion(meta, uid, async |deletion| {
        waiting += u64::from(!deletion.keys.is_empty() && deletion.erased.is_none());
        Ok(())
    })
    .await?;
    Ok(waiting)
}

/// All that was deleted in a home, also before.
async fn each_deletion(
    meta: &dyn MetaStore,
    uid: &Uid,
    mut each: impl AsyncFnMut(Deletion) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut last = DeletionSeq::NONE;
    loop {
        let page = meta.deletions(last, PAGE).await.advice(STORE_FAILED)?;
        let Some(behind) = page.last() else { return Ok(()) };
        last = behind.seq;
        for deletion in page.into_iter().filter(|deletion| deletion.home == *uid) {
            each(deletion).await?;
        }
    }
}

/// The store's keys, as they are now.
async fn open_keys(paths: &Paths, meta: &Arc<dyn MetaStore>) -> anyhow::Result<Arc<Vault>> {
    let last_leaf = meta.last_leaf().await.advice(STORE_FAILED)?;
    let keys = Arc::new(StoredKeys(meta.clone()));
    Ok(Arc::new(Vault::open_to_read(&paths.vault(), keys, last_leaf).await?))
}

/// One for each document of the home that had a version and was ever deleted, as `ID.receipt`. Those that are there stay.
async fn give_receipts(
    paths: &Paths,
    meta: &Arc<dyn MetaStore>,
    uid: &Uid,
    folder: &Path,
) -> anyhow::Result<u64> {
    let (mut vault, mut written) = (open_keys(paths, meta).await?, 0);
    each_deletion(&**meta, uid, async |deletion| {
        let path = folder.join(format!("{}.receipt", deletion.document));
        if deletion.versions.is_empty() || path.symlink_metadata().is_ok() {
            return Ok(());
        }
        let begun = monotonic();
        let receipt = loop {
            match receipt_of(&vault, &deletion).await {
                // The server is about to drop the old root, or has dropped it since the keyring was read.
                Err(failure) if failure.code == Code::NotErased && begun.elapsed() < PATIENCE => {
                    tokio::time::sleep(LOOK).await;
                    vault = open_keys(paths, meta).await?;
                }
                outcome => break outcome,
            }
        };
        let receipt = receipt.map_err(|failure| {
            anyhow!(
                "{}: {}\nthe same command goes on with the receipts",
                shown(&deletion.path),
                failure.detail
            )
        })?;
        durable::create(&path, &serde_json::to_vec_pretty(&receipt)?, Access::Secret)
            .advice("the folder of --receipts must be yours to write, and its disk have room")?;
        let row = AuditRow {
            document: Some(deletion.document),
            path: deletion.path,
            outcome: AuditOutcome::Allowed(format!("with user {uid}")),
            ..AuditRow::administrative(SystemClock.now(), AuditAction::Receipt, "")
        };
        meta.audit(vec![row]).advice(STORE_FAILED)?;
        written += 1;
        Ok(())
    })
    .await?;
    Ok(written)
}

#[cfg(test)]
mod tests;
