//! Scrubbing: reads all that a store keeps sealed, and says by the documents' paths what does not verify.
//!
//! It takes no lock and works beside a running server. It changes nothing, but writes a row into the audit log for each
//! damaged version.
//!
//! Two walks: over the documents, for every version's record (`versions`), then over the packs in the order of their
//! check-ins, each once however many versions use it (`packs`). What a server does meanwhile is no damage: `keys` has
//! the rule. What is checked in while it walks is left to the next scrub.
//!
//! Costs: each version's row and each pack is read once; a key node once while its neighbours are needed. The packs' bytes
//! come in runs of 1 MiB, some of them ahead; memory holds these, one record at a time, and the digests of one pack's
//! blocks. Opening takes about half a second of one core for each GiB.

mod keys;
mod packs;
mod rate;
#[cfg(test)]
mod tests;
mod versions;

use std::collections::BTreeSet;
use std::io;

use anyhow::Context;
use parking_lot::Mutex;
use sss_common::{Clock, NodeId, SystemClock, Version};

use crate::words::shown;
use keys::Keys;
pub use rate::Rate;
use sss_server::run::Advice;
use sss_server::run::compose::Beside;
use sss_server::store::{AuditAction, AuditOutcome, AuditRow, BlobStore, MetaStore, Stores, Totals};

/// Documents or packs that are asked for at a time.
const PAGE: usize = 256;

const STORE_FAILED: &str =
    "see whether the disk is well and has room, then run it again; nothing was changed";

/// Who looks on: the command line, or a test.
pub trait Watch {
    /// A walk begins, over so many versions or bytes.
    fn begins(&self, walk: Walk, of: u64);
    /// So many more of them are done.
    fn advanced(&self, by: u64);
    /// A version is damaged.
    fn damaged(&self, damage: &Damage) -> io::Result<()>;
}

/// What is walked over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// The versions' records.
    Versions,
    /// The packs, counted in bytes.
    Packs,
}

/// A version that cannot be read as it was checked in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The document's path, as it is stored.
    pub path: String,
    /// Which version.
    pub version: Version,
    /// What is wrong, of the first thing that is.
    pub what: String,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, version {}: {}", shown(&self.path), self.version, self.what)
    }
}

/// What a scrub has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Documents and links.
    pub documents: u64,
    /// Their versions that were found whole or damaged.
    pub versions: u64,
    /// Packs that were read.
    pub packs: u64,
    /// Their sealed bytes.
    pub bytes: u64,
    /// Versions that are damaged.
    pub damaged: BTreeSet<(NodeId, Version)>,
    /// Packs with blocks that do not verify and that no version reads.
    pub unread: u64,
    /// Objects in the blob store without a row: of uploads under way, or for the sweeper.
    pub orphans: u64,
}

/// A scrub of one store.
pub struct Scrub {
    stores: Stores,
    keys: Keys,
    rate: Rate,
    seen: Mutex<Scrubbed>,
}

impl Scrub {
    /// Opens the store's keys.
    pub async fn of(store: Beside, rate: Rate) -> anyhow::Result<Self> {
        let Beside { stores, source, keys } = store;
        let keys = Keys::open(stores.meta.clone(), source, keys).await?;
        Ok(Scrub { stores, keys, rate, seen: Mutex::default() })
    }

    /// Reads all of it.
    pub async fn run(&self, watch: &dyn Watch) -> anyhow::Result<Scrubbed> {
        let Totals { versions, bytes, .. } = self.meta().totals().await.advice(STORE_FAILED)?;
        // Later leaves are of later check-ins: without this end, a busy server would keep the walk going.
        let last = self.meta().last_leaf().await.advice(STORE_FAILED)?;
        watch.begins(Walk::Versions, versions);
        self.walk_versions(watch).await?;
        watch.begins(Walk::Packs, bytes);
        if let Some(last) = last {
            self.walk_packs(last, watch).await?;
        }
        self.count_orphans().await?;
        Ok(self.seen.lock().clone())
    }

    async fn count_orphans(&self) -> anyhow::Result<()> {
        for (pack, _) in self.stores.blobs.list().await.advice(STORE_FAILED)? {
            if !self.meta().has_pack(pack).await.advice(STORE_FAILED)? {
                self.seen.lock().orphans += 1;
            }
        }
        Ok(())
    }

    /// Tells of a damaged version, the first time; one whose document is gone by now is passed over.
    async fn damaged(
        &self,
        watch: &dyn Watch,
        document: NodeId,
        version: Version,
        what: String,
    ) -> anyhow::Result<()> {
        if self.is_damaged(document, version) {
            return Ok(());
        }
        let Some(path) = self.meta().path(document).await.advice(STORE_FAILED)? else { return Ok(()) };
        self.seen.lock().damaged.insert((document, version));
        let damage = Damage { path, version, what };
        watch.damaged(&damage).context("the damage that was found cannot be written out")?;
        let row = AuditRow {
            document: Some(document),
            path: damage.path,
            outcome: AuditOutcome::Damaged(format!("version {version}: {}", damage.what)),
            ..AuditRow::administrative(SystemClock.now(), AuditAction::Scrub, "")
        };
        // Durable before the walk goes on: an interrupt ends it anywhere.
        let written = async {
            self.meta().audit(vec![row])?;
            self.meta().flush().await
        };
        written.await.context("the audit log takes no row").advice(STORE_FAILED)
    }

    fn is_damaged(&self, document: NodeId, version: Version) -> bool {
        self.seen.lock().damaged.contains(&(document, version))
    }

    fn meta(&self) -> &dyn MetaStore {
        &*self.stores.meta
    }

    fn blobs(&self) -> &dyn BlobStore {
        &*self.stores.blobs
    }
}
