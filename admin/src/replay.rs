//! A deletion log, applied to a store that was restored from before it.
//!
//! Entries are applied in their order. A folder whose entries were moved elsewhere before it was removed still has them in
//! an older state: it goes once they are gone, so what is left is tried again until nothing more goes. A folder
//! that keeps entries stays.
//!
//! Cost: one transaction for each entry whose document the restored store has, one look for each that it has not. In memory
//! are only the entries that could not be applied yet.

use std::fs::File;
use std::path::Path;

use anyhow::bail;
use sss_common::{NodeId, StoreId, Timestamp};

use sss_server::run::{Advice, compose};
use sss_server::service::deletion_log::{Entry, Reader};
use sss_server::store::{Deletion, DeletionSeq, MetaSnapshot, MetaStore, StoreError};

/// Entries that are read at a time.
const BATCH: usize = 1000;

/// Where a deletion log is read from.
pub(super) enum Log {
    /// A file that `run --deletion-log` wrote.
    File(Reader<File>),
    /// The database of the data directory that was lost in part.
    Store(Box<dyn MetaSnapshot>, DeletionSeq),
}

/// What a replay did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Documents, links and folders that were removed again.
    pub applied: u64,
    /// Folders that stay although they were removed, because they have entries.
    pub kept: u64,
    /// The log's last entry: its number and its time.
    pub last: Option<(DeletionSeq, Timestamp)>,
}

impl Log {
    /// Opens a log file, or the log in a data directory; only for reading.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        if path.is_dir() {
            let snapshot = compose::open_snapshot(&path.join("meta.db"))
                .map_err(|error| anyhow::anyhow!("{shown}: its database cannot be read: {error}"))
                .advice("name a data directory whose disk is well and can be written, or a copy of it, or a deletion log file")?;
            return match snapshot.last_deletion() {
                Ok(_) => Ok(Log::Store(snapshot, DeletionSeq::NONE)),
                Err(StoreError::NotFound) => bail!(
                    "{shown}: its database is of an older 3s-server and has no deletion log\n\
                     restore with --no-deletions if you accept that what was deleted since the backup comes back"
                ),
                Err(error) => Err(error).advice("its disk may be damaged; nothing was written"),
            };
        }
        let reader =
            Reader::open(path).map_err(|failed| anyhow::anyhow!("{shown}: {failed}\n{}", failed.way_on()))?;
        Ok(Log::File(reader))
    }

    /// Refuses a log file of another store than the one that the backup is of.
    pub(super) fn is_of(&self, store: StoreId) -> anyhow::Result<()> {
        match self {
            Log::File(reader) if reader.store() != store => bail!(
                "the deletion log is of store {}, the backup of store {}\nname the log of the store that the backup is of",
                reader.store(),
                store
            ),
            _ => Ok(()),
        }
    }

    /// The same for a data directory: its users' homes are known once the backup is opened.
    pub(super) fn shares_homes_with(&self, restored: &[NodeId]) -> anyhow::Result<()> {
        let Log::Store(snapshot, _) = self else { return Ok(()) };
        let homes =
            snapshot.homes().advice("the old data directory's disk may be damaged; nothing was written")?;
        if homes.iter().any(|home| restored.contains(home)) || (homes.is_empty() && restored.is_empty()) {
            return Ok(());
        }
        bail!(
            "the data directory that --deletions names is of another store than the backup\n\
             name the one that the backup was made of"
        )
    }

    fn next(&mut self) -> anyhow::Result<Vec<Deletion>> {
        match self {
            Log::Store(snapshot, after) => {
                let batch = snapshot.deletions(*after, BATCH);
                let batch =
                    batch.advice("the old data directory's disk may be damaged; nothing was written")?;
                *after = batch.last().map_or(*after, |last| last.seq);
                Ok(batch)
            }
            Log::File(reader) => {
                let mut batch = Vec::new();
                while batch.len() < BATCH {
                    let entry = reader.entry();
                    let entry = entry.map_err(|failed| anyhow::anyhow!("{failed}\n{DAMAGED}"))?;
                    let Some(entry) = entry else { break };
                    batch.push(deletion(entry));
                }
                Ok(batch)
            }
        }
    }

    /// Applies all of it.
    pub(super) async fn replay(&mut self, meta: &dyn MetaStore) -> anyhow::Result<Replayed> {
        let mut replayed = Replayed::default();
        let mut left = Vec::new();
        loop {
            let batch = self.next()?;
            let Some(last) = batch.last() else { break };
            replayed.last = Some((last.seq, last.time));
            for deletion in batch {
                if meta.remove_again(&deletion).await.advice(FAILED)? {
                    replayed.applied += 1;
                } else if meta.path(deletion.document).await.advice(FAILED)?.is_some() {
                    left.push(deletion);
                }
            }
        }
        loop {
            let before = left.len();
            for deletion in std::mem::take(&mut left) {
                if meta.remove_again(&deletion).await.advice(FAILED)? {
                    replayed.applied += 1;
                } else {
                    left.push(deletion);
                }
            }
            if left.len() == before {
                break;
            }
        }
        replayed.kept = left.len() as u64;
        // The log goes on behind its own last entry, so that a file that it is copied to can go on too.
        if let Some((last, _)) = replayed.last {
            meta.skip_deletions(last).await.advice(FAILED)?;
        }
        Ok(replayed)
    }
}

const FAILED: &str = "see whether the new data directory's disk is well and has room; nothing is left behind";

const DAMAGED: &str = "use another copy of the log, or the old data directory; a copy that was cut off before that line \
                       reaches to there and no further";

/// A removal looks up the rest where it happens.
fn deletion(entry: Entry) -> Deletion {
    let Entry { seq, document, time, user, versions } = entry;
    Deletion {
        seq,
        document,
        home: user.clone(),
        user,
        path: String::new(),
        time,
        versions,
        keys: Vec::new(),
        shared: Vec::new(),
        erased: None,
    }
}
