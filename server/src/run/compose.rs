//! The one place that names the concrete store and vault.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;
use sss_common::{Clock, SystemClock};

use super::Advice;
use crate::service::{Service, Settings, StoreClock, StoredKeys};
use crate::store::blobs::LocalBlobs;
use crate::store::sqlite::{Snapshot, SqliteStore};
use crate::store::{self, BlobStore, MetaSnapshot, MetaStore, Stores};
use sss_vault::{Interrupted, KeySource, Vault, VaultPaths};

/// What a server runs on.
pub struct Opened {
    /// The metadata, to be flushed last.
    pub meta: Arc<dyn MetaStore>,
    /// The service on it.
    pub service: Arc<Service>,
    /// The clock that both go by.
    pub clock: Arc<dyn Clock>,
}

/// A store as it is opened beside a server that may run on it: packs and keys only to read.
pub struct Beside {
    /// Metadata, and packs that are only read.
    pub stores: Stores,
    /// Where the key tree's nodes are.
    pub source: Arc<dyn KeySource>,
    /// For [`Vault::open_to_read`].
    pub keys: VaultPaths,
}

/// Where things lie.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The metadata.
    pub meta: PathBuf,
    /// The packs' folder.
    pub packs: PathBuf,
    /// The server's private key.
    pub server_key: PathBuf,
    /// Its public half.
    pub server_pub: PathBuf,
    /// The keyring, perhaps on another medium.
    pub keyring: PathBuf,
}

impl Paths {
    /// The places of a data directory.
    pub fn of(data_dir: &Path, keyring: Option<PathBuf>) -> Self {
        Paths {
            meta: data_dir.join("meta.db"),
            packs: data_dir.join("packs"),
            server_key: data_dir.join("server.key"),
            server_pub: data_dir.join("server.pub"),
            keyring: keyring.unwrap_or_else(|| data_dir.join("keyring")),
        }
    }

    /// The vault's part of them.
    pub fn vault(&self) -> VaultPaths {
        VaultPaths {
            server_key: self.server_key.clone(),
            server_pub: self.server_pub.clone(),
            keyring: self.keyring.clone(),
        }
    }

    fn all(&self) -> [&Path; 5] {
        [&self.meta, &self.packs, &self.server_key, &self.server_pub, &self.keyring]
    }
}

/// Makes a data directory. Refuses where there is one, and leaves nothing behind when it fails.
pub fn init(data_dir: &Path, keyring: Option<PathBuf>) -> anyhow::Result<()> {
    let paths = Paths::of(data_dir, keyring);
    if let Some(there) = paths.all().into_iter().find(|path| path.exists()) {
        bail!(
            "{} is already there\ngive a folder without a store in it, or start this one with `3s-server run`",
            there.display()
        );
    }
    std::fs::create_dir_all(data_dir)
        .map_err(|error| anyhow::anyhow!("{}: {error}", data_dir.display()))
        .advice("give a folder that you may write")?;
    create(&paths).inspect_err(|_| discard(&paths))
}

fn discard(paths: &Paths) {
    for path in paths.all() {
        let _ = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    }
}

/// Opens a data directory for a server.
pub async fn open(data_dir: &Path, keyring: Option<PathBuf>, settings: Settings) -> anyhow::Result<Opened> {
    let paths = Paths::of(data_dir, keyring);
    let meta = open_sqlite(&meta_of(data_dir)?)?;
    meta.keep_reserve();
    let meta: Arc<dyn MetaStore> = Arc::new(meta);
    let stores = Stores { meta: meta.clone(), blobs: open_blobs(&paths)? };
    let vault = Arc::new(open_vault(&paths, &meta).await?);
    let latest = meta.latest_moment().await.advice("the log has the cause")?;
    let clock: Arc<dyn Clock> = Arc::new(StoreClock::new(Arc::new(SystemClock), latest));
    let service = Service::new(stores, vault, clock.clone(), settings);
    Ok(Opened { meta, service, clock })
}

/// Opens a data directory's metadata, also while a server runs on it.
pub fn open_meta(data_dir: &Path) -> anyhow::Result<Arc<dyn MetaStore>> {
    open_metadata(&meta_of(data_dir)?)
}

fn meta_of(data_dir: &Path) -> anyhow::Result<PathBuf> {
    let path = data_dir.join("meta.db");
    if !path.exists() {
        bail!(
            "there is no store in {}\n`3s-server init {}` makes one",
            data_dir.display(),
            data_dir.display()
        );
    }
    Ok(path)
}

/// Opens a data directory beside a server that may run on it.
pub fn open_beside(data_dir: &Path, keyring: Option<PathBuf>) -> anyhow::Result<Beside> {
    let paths = Paths::of(data_dir, keyring);
    let meta = open_meta(data_dir)?;
    let blobs = open_blobs_to_read(&paths)?;
    let source = Arc::new(StoredKeys(meta.clone()));
    Ok(Beside { stores: Stores { meta, blobs }, source, keys: paths.vault() })
}

fn create(paths: &Paths) -> anyhow::Result<()> {
    let room = "give a folder that you may write, on a disk with room";
    SqliteStore::create(&paths.meta).advice(room)?;
    LocalBlobs::open(&paths.packs).advice(room)?;
    Vault::create(&paths.vault()).map_err(anyhow::Error::from)
}

/// Opens a metadata file.
pub fn open_metadata(path: &Path) -> anyhow::Result<Arc<dyn MetaStore>> {
    Ok(Arc::new(open_sqlite(path)?))
}

fn open_sqlite(path: &Path) -> anyhow::Result<SqliteStore> {
    SqliteStore::open(path).map_err(|error| anyhow::anyhow!("{}: {error}", path.display())).advice(
        "nothing was changed; a store of a newer 3S needs a newer 3s-server, a damaged one its backup",
    )
}

/// Opens a metadata file for reading and stays at this moment, also while a server writes to it. `NotFound`; `Damaged` when
/// it is no 3S metadata; `Newer`.
pub fn open_snapshot(path: &Path) -> store::Result<Box<dyn MetaSnapshot>> {
    Ok(Box::new(Snapshot::open(path)?))
}

/// Opens a data directory's packs only to read them, also while a server runs on it.
pub fn open_blobs_to_read(paths: &Paths) -> anyhow::Result<Arc<dyn BlobStore>> {
    let blobs = LocalBlobs::open_to_read(&paths.packs)
        .map_err(|error| anyhow::anyhow!("{}: {error}", paths.packs.display()))
        .advice("the folder must be there, and yours to read")?;
    Ok(Arc::new(blobs))
}

/// Makes the folder of a restored store's packs. What is written is durable only once the whole file system was synced.
pub fn open_blobs_to_fill(paths: &Paths) -> store::Result<Arc<dyn BlobStore>> {
    Ok(Arc::new(LocalBlobs::open_to_fill(&paths.packs)?))
}

/// Opens a data directory's packs. A server must not be running on it.
pub fn open_blobs(paths: &Paths) -> anyhow::Result<Arc<dyn BlobStore>> {
    let blobs = LocalBlobs::open(&paths.packs)
        .map_err(|error| anyhow::anyhow!("{}: {error}", paths.packs.display()))
        .advice("the server's user must be able to read and write the folder")?;
    Ok(Arc::new(blobs))
}

/// Opens a data directory's keys, and finishes an erasure or a rotation that a crash cut short. A server must not be
/// running on it.
pub async fn open_vault(paths: &Paths, meta: &Arc<dyn MetaStore>) -> anyhow::Result<Vault> {
    let last_leaf = meta.last_leaf().await.advice("the log has the cause")?;
    let vault = Vault::open(paths.vault(), Arc::new(StoredKeys(meta.clone())), last_leaf).await?;
    if let Some(queued) = meta.last_queued().await.advice("the log has the cause")? {
        vault.pass_over(queued);
    }
    match vault.interrupted_rotation() {
        Some(Interrupted::Finished) => {
            tracing::warn!("finished a rotation of the server's key that was cut short")
        }
        Some(Interrupted::Undone) => {
            tracing::warn!("undid a rotation of the server's key that was cut short")
        }
        None => {}
    }
    Ok(vault)
}
