//! One moment of a store that a server may be running on: its metadata, and the key files that open them.
//!
//! Takes none of the server's locks and writes nothing. The database is pinned first, then the keyring is read: where an
//! erasure moved on in between, the two do not fit and it is tried again.

use anyhow::bail;
use sss_common::{Clock, SystemClock, Timestamp};

use sss_server::run::Advice;
use sss_server::run::compose::{self, Paths};
use sss_server::store::MetaSnapshot;
use sss_vault::backup::KeyFiles;
use sss_vault::sealed::KeyPosition;

/// How often a moment is looked for that keyring and database agree on. Each takes some milliseconds, an erasure longer.
const TRIES: usize = 20;

/// The key tree's root.
const ROOT: KeyPosition = KeyPosition { level: 0, index: 0 };

/// What to do when reading fails.
pub(super) const READ_FAILED: &str =
    "see whether the store's disk is well, with `3s-server scrub`; nothing was made";

/// A moment of the database, and the key files that open it.
pub(super) struct Moment {
    pub(super) snapshot: Box<dyn MetaSnapshot>,
    pub(super) keys: KeyFiles,
    /// Not after the moment: what was committed until then is in it.
    pub(super) time: Timestamp,
}

impl Moment {
    /// Now, or as soon as the two agree.
    pub(super) fn of(paths: &Paths) -> anyhow::Result<Moment> {
        for tried in 1.. {
            let time = SystemClock.now();
            let snapshot = compose::open_snapshot(&paths.meta).advice(READ_FAILED)?;
            let root = snapshot.key_node(ROOT).advice(READ_FAILED)?;
            let last_leaf = snapshot.last_leaf().advice(READ_FAILED)?;
            match KeyFiles::read(&paths.vault(), root.as_ref(), last_leaf) {
                Ok(keys) => return Ok(Moment { snapshot, keys, time }),
                Err(error) if tried == TRIES => return Err(error.into()),
                // The server replaced the keyring, or went on to another root, between the two reads.
                Err(_) => {}
            }
        }
        bail!("no moment was found\n{READ_FAILED}")
    }
}
