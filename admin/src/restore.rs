//! `3s-server restore`: a data directory out of a backup, without what was deleted since.
//!
//! Nothing is overwritten: all is unpacked into `DATA_DIR.restoring`, the deletion log is applied to it, the keys and packs of
//! what that removed are erased there, and only then is it renamed. Whatever fails on the way leaves nothing; what a
//! crash leaves is told about by the next restore. It holds the server's lock on the folder while it works.
//!
//! Cost: the backup is read once and its content written once; one sync of the file system at the end instead of an fsync
//! for each pack.

mod site;
mod unpack;

use std::fs::File;
use std::path::PathBuf;

use anyhow::bail;
use indicatif::ProgressBar;
use sss_common::{NodeId, SystemClock, Timestamp};

use super::bundle::Manifest;
use super::owner::Owner;
use super::replay::Log;
pub use super::replay::Replayed;
use super::trash::empty_trash;
use site::Site;
use sss_server::run::{Advice, compose};
use sss_server::service::erase_all;
use sss_server::store::BlobStore;
use sss_vault::backup::{BackupOpener, BackupPrivateKey};

/// Where what was deleted since is known from.
pub enum Deletions {
    /// From nowhere: it comes back.
    Unknown,
    /// A deletion log file, or a data directory.
    In(PathBuf),
}

/// What is to be done.
pub struct Order {
    /// The backup.
    pub from: PathBuf,
    /// The folder to make.
    pub data_dir: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// Where the keyring goes, if not into the data directory.
    pub keyring: Option<PathBuf>,
    /// What was deleted since.
    pub deletions: Deletions,
}

/// What was done.
#[derive(Clone, Copy, Debug)]
pub struct Restored {
    /// The moment that the backup shows.
    pub time: Timestamp,
    /// Documents, links and folders in the backup.
    pub nodes: u64,
    /// What the deletion log did, if there was one.
    pub replayed: Option<Replayed>,
}

/// Restores a backup. The store becomes the account's to whom the empty folder belonged in whose place it comes, or the
/// folder above it; that account unpacks it. Backup and key are read by the caller.
pub fn restore(order: &Order, bar: &ProgressBar) -> anyhow::Result<Restored> {
    let key = BackupPrivateKey::read(&order.key)?;
    let opener = open(order, &key)?;
    let mut log = match &order.deletions {
        Deletions::Unknown => None,
        Deletions::In(path) => {
            let open = || Log::open(path).map_err(|e| anyhow::anyhow!("{}: {e:#}", path.display()));
            Some(Owner::of(path)?.acts(open)?)
        }
    };
    if let Some(log) = &log {
        log.is_of(opener.header().store)?;
    }
    let site = Site::prepare(&order.data_dir, order.keyring.clone())?;
    let restored = site.owner().acts(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let blobs = compose::open_blobs_to_fill(site.paths()).advice(site::ROOM)?;
        let manifest = unpack::unpack(opener, &site, &*blobs, runtime.handle(), bar)
            .map_err(|e| anyhow::anyhow!("{}: {e:#}", order.from.display()))?;
        let replayed = runtime.block_on(settle(&site, &*blobs, &manifest, &mut log))?;
        Ok(Restored { time: manifest.time, nodes: manifest.nodes, replayed })
    })?;
    site.finish()?;
    Ok(restored)
}

fn open(order: &Order, key: &BackupPrivateKey) -> anyhow::Result<BackupOpener<File>> {
    let shown = order.from.display();
    let file = File::open(&order.from)
        .map_err(|error| anyhow::anyhow!("{shown}: {error}"))
        .advice("give the file that `3s-server backup` wrote")?;
    BackupOpener::begin(key, file).map_err(|why| anyhow::anyhow!("{shown}: {why}\n{}", why.way_on()))
}

/// Opens what was unpacked, applies the log to it, and erases for good all that is queued.
async fn settle(
    site: &Site,
    blobs: &dyn BlobStore,
    manifest: &Manifest,
    log: &mut Option<Log>,
) -> anyhow::Result<Option<Replayed>> {
    if let Some(log) = log {
        log.shares_homes_with(&homes(site)?)?;
    }
    let meta = compose::open_meta(site.folder())?;
    let vault = compose::open_vault(site.paths(), &meta).await?;
    if vault.store_id() != manifest.store {
        bail!("the backup's keyring is not its store's\nuse another backup; nothing is left behind");
    }
    let replayed = match log {
        Some(log) => Some(log.replay(&*meta).await?),
        None => None,
    };
    erase_all(&*meta, &vault, &SystemClock)
        .await
        .map_err(|failure| anyhow::anyhow!("keys could not be erased: {}\n{}", failure.detail, site::ROOM))?;
    empty_trash(&*meta, blobs).await.advice(site::ROOM)?;
    meta.flush().await.advice(site::ROOM)?;
    Ok(replayed)
}

fn homes(site: &Site) -> anyhow::Result<Vec<NodeId>> {
    compose::open_snapshot(&site.paths().meta).and_then(|snapshot| snapshot.homes()).advice(site::ROOM)
}

#[cfg(test)]
mod tests;
