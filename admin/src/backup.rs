//! `3s-server backup`: one sealed file with all that a store is, as of one moment.
//!
//! Works beside a running server: it takes none of its locks and writes nothing of the store's but a hold. The order
//! matters:
//!
//! 1. the hold: from now on the server leaves packs where they are, also those of what is deleted meanwhile;
//! 2. a read transaction: the moment that the backup shows. Its key tree must open under a root of the
//!    keyring; where an erasure moved on in between, once more;
//! 3. the database is copied out of that transaction, which ends with it;
//! 4. keys, database and every pack that it names go through the sealing into `OUT.partial`, which is renamed at the end.
//!
//! Cost: the database is copied once on the data directory's disk; all is read once and written once; one fsync.

mod members;
mod site;

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use indicatif::ProgressBar;
use sss_common::{Clock, PackId, SystemClock, Timestamp};
use tokio::runtime::{Handle, Runtime};

use super::bundle::{self, Manifest};
use super::moment::{Moment, READ_FAILED};
use super::owner::Owner;
pub(super) use members::Packs;
use members::{Archive, PackReader};
use site::{Partial, Workshop};
use sss_server::run::Advice;
use sss_server::run::compose::{self, Paths};
use sss_server::store::Reclaim;
use sss_vault::backup::{BackupHeader, BackupPublicKey, BackupSealer};

/// How long a hold lasts when nobody renews it: what a backup that was killed costs the server.
const HOLD: Duration = Duration::from_secs(120);

/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(30);

/// What is to be done.
pub struct Order {
    /// The data directory.
    pub data_dir: PathBuf,
    /// The file to make.
    pub out: PathBuf,
    /// The public key; DATA_DIR/backup.pub where none is given.
    pub key: Option<PathBuf>,
    /// The keyring, where it is not in the data directory.
    pub keyring: Option<PathBuf>,
}

/// What was done.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    /// The moment that it shows.
    pub time: Timestamp,
    /// Documents, links and folders.
    pub nodes: u64,
    /// Packs.
    pub packs: u64,
    /// The file's bytes.
    pub bytes: u64,
}

/// Makes a backup: the store is read as the one to whom it belongs, the file is the caller's.
pub fn backup(order: &Order, bar: &ProgressBar) -> anyhow::Result<Made> {
    let paths = Paths::of(&order.data_dir, order.keyring.clone());
    let owner = Owner::of(&order.data_dir)?;
    let writer = Owner::of_way_to(&order.out)?;
    let given = order.key.as_deref().map(BackupPublicKey::read).transpose()?;
    let (meta, key) = owner.acts(|| {
        let meta = compose::open_meta(&order.data_dir)?;
        Ok((meta, public_key(order, given, &paths)?))
    })?;
    let out = writer.acts(|| Partial::begin(&order.out))?;
    let made = owner.acts(|| {
        let workshop = Workshop::open(&order.data_dir)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let hold = Hold::take(&runtime, meta)?;
        let made = make(&paths, &key, &out, &workshop, runtime.handle(), bar);
        hold.release(&runtime);
        made
    })?;
    writer.acts(|| out.keep())?;
    Ok(made)
}

fn make(
    paths: &Paths,
    key: &BackupPublicKey,
    out: &Partial,
    workshop: &Workshop,
    runtime: &Handle,
    bar: &ProgressBar,
) -> anyhow::Result<Made> {
    let Moment { snapshot, keys, time } = Moment::of(paths)?;
    let copy = workshop.copy(&*snapshot, bar)?;
    // The copy is of the same moment, and reading it keeps no log of the server's from being tidied up.
    drop(snapshot);
    let snapshot = compose::open_snapshot(&copy).advice(READ_FAILED)?;
    let copy = File::open(&copy).advice(READ_FAILED)?;
    let contents = snapshot.contents().advice(READ_FAILED)?;
    let manifest = Manifest {
        last_deletion: snapshot.last_deletion().advice(READ_FAILED)?,
        nodes: contents.nodes,
        meta_bytes: copy.metadata()?.len(),
        packs: contents.packs,
        pack_bytes: contents.pack_bytes,
        ..Manifest::new(keys.store_id(), time)
    };
    let blobs = compose::open_blobs_to_read(paths)?;

    bar.reset();
    bar.set_length(manifest.meta_bytes + manifest.pack_bytes);
    let header = BackupHeader { store: keys.store_id(), time };
    let sealer = BackupSealer::begin(key, header, out.file()).map_err(|error| out.failed(&error))?;
    let mut archive = Archive::new(sealer, time, out);
    archive.add(bundle::MANIFEST, &mut &*serde_json::to_vec(&manifest)?)?;
    for (name, bytes) in keys.expose_files() {
        archive.add(name, &mut &*bytes)?;
    }
    archive.add_sized(bundle::META, manifest.meta_bytes, &mut bar.wrap_read(copy))?;
    for pack in Packs::of(&*snapshot) {
        let (id, length) = pack.advice(READ_FAILED)?;
        let mut reader = PackReader::new(&*blobs, runtime, id, length);
        let added = archive.add_sized(&bundle::pack_name(id), length, &mut bar.wrap_read(&mut reader));
        reader.outcome(&*snapshot).and(added)?;
    }
    let bytes = archive.finish()?;
    Ok(Made { time, nodes: contents.nodes, packs: contents.packs, bytes })
}

fn public_key(
    order: &Order,
    given: Option<BackupPublicKey>,
    paths: &Paths,
) -> anyhow::Result<BackupPublicKey> {
    let path = order.key.clone().unwrap_or_else(|| order.data_dir.join("backup.pub"));
    let key = given.map_or_else(|| BackupPublicKey::read(&path), Ok)?;
    if key.is_half_of(&paths.server_pub) {
        bail!(
            "{}: this is the server's own public key, and its private half lies in the store\n\
             make a pair of its own on another machine, and keep its private half there; see `3s-server backup --help`",
            path.display()
        );
    }
    Ok(key)
}

/// Asks the server to leave packs in place, for as long as it lives and is renewed.
struct Hold {
    meta: Arc<dyn Reclaim>,
    name: String,
    renewing: tokio::task::JoinHandle<()>,
}

impl Hold {
    fn take(runtime: &Runtime, meta: Arc<dyn Reclaim>) -> anyhow::Result<Self> {
        let name = format!("backup-{}", PackId::random());
        runtime
            .block_on(meta.hold(&name, SystemClock.now().after(HOLD)))
            .advice("the database must be yours to write, and its disk have room")?;
        let (held, named) = (meta.clone(), name.clone());
        let renewing = runtime.spawn(async move {
            loop {
                tokio::time::sleep(RENEW).await;
                // One that fails is made up for by the next; should all fail, a pack that is missing says so.
                let _ = held.hold(&named, SystemClock.now().after(HOLD)).await;
            }
        });
        Ok(Hold { meta, name, renewing })
    }

    fn release(self, runtime: &Runtime) {
        self.renewing.abort();
        runtime.block_on(async {
            // Behind a renewal that is under way, which would take the hold anew.
            let _ = self.renewing.await;
            // It ends by itself, if this fails.
            let _ = self.meta.release(&self.name).await;
        });
    }
}
