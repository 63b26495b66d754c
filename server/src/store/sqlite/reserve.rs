//! Room on the disk for what makes room and ends rights: a file beside the database that takes blocks and holds nothing.
//!
//! Removing a document writes before it frees. On a disk that neighbours have filled to the last byte the database's log
//! cannot grow, and nobody could remove, revoke or disable any more. Such a change that finds the disk full gives the
//! file's blocks back and is done again; others stay refused by the room that check-ins must leave (`min_free`). A server
//! takes the room again when there is some. Where the file system cannot promise blocks (`fallocate`) there is no reserve.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use sss_common::clock::monotonic;

/// Bytes that are kept: the log's pages of some hundred removals.
const SIZE: u64 = 4 * 1024 * 1024;

/// Free bytes at which it is taken.
const ROOM: u64 = 4 * SIZE;

/// Between two looks whether it is there; for as long counts what was given back.
const PAUSE: Duration = Duration::from_secs(10);

/// The file, there or not.
pub(super) struct Reserve {
    path: PathBuf,
    /// Whether this process takes it. Each gives it back.
    keeps: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    looked: Option<Instant>,
    released: Option<Instant>,
}

impl State {
    fn is_settled(&self) -> bool {
        [self.looked, self.released].into_iter().flatten().any(is_recent)
    }
}

impl Reserve {
    /// Beside this database; `meta.reserve` of `meta.db`.
    pub(super) fn beside(database: &Path) -> Arc<Self> {
        let path = database.with_extension("reserve");
        Arc::new(Reserve { path, keeps: AtomicBool::new(false), state: Mutex::default() })
    }

    /// Takes the room now, and again whenever [`Reserve::tend`] finds it gone. A disk without room has none.
    pub(super) fn keep(&self) {
        self.keeps.store(true, Ordering::Relaxed);
        self.take_or_tell();
    }

    /// Looks after it, now and then, in the background.
    pub(super) fn tend(self: &Arc<Self>) {
        if !self.keeps.load(Ordering::Relaxed) {
            return;
        }
        match self.state.try_lock() {
            Some(mut state) if !state.is_settled() => state.looked = Some(monotonic()),
            _ => return,
        }
        let this = self.clone();
        tokio::task::spawn_blocking(move || {
            // Held meanwhile, so that what is given back just now stays so.
            let state = this.state.lock();
            if !state.released.is_some_and(is_recent) {
                this.take_or_tell();
            }
        });
    }

    /// Gives the room back; whether there is some that was not there before.
    pub(super) fn release(&self) -> bool {
        let mut state = self.state.lock();
        match fs::remove_file(&self.path) {
            Ok(()) => {
                tracing::warn!("the disk is full: the room that is kept for removals is given back");
                state.released = Some(monotonic());
                true
            }
            Err(error) => {
                if error.kind() != ErrorKind::NotFound {
                    tracing::error!(%error, "the room that is kept for removals cannot be given back");
                }
                // Another change did a moment ago.
                state.released.is_some_and(is_recent)
            }
        }
    }

    fn take_or_tell(&self) {
        if let Err(error) = self.take() {
            tracing::debug!(%error, "no room is kept for removals");
        }
    }

    fn take(&self) -> io::Result<()> {
        match self.path.symlink_metadata() {
            Ok(there) if there.blocks().saturating_mul(512) >= SIZE => return Ok(()),
            // A crash, or a full disk, came between the file and its blocks.
            Ok(_) => fs::remove_file(&self.path)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let disk = statvfs(folder)?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < ROOM {
            return Ok(());
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path)?;
        fallocate(&file, FallocateFlags::empty(), 0, SIZE).map_err(|error| {
            let _ = fs::remove_file(&self.path);
            error.into()
        })
    }
}

fn is_recent(at: Instant) -> bool {
    at.elapsed() < PAUSE
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn it_is_taken_given_back_once_and_not_taken_at_once_again() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve::beside(&folder.path().join("meta.db"));
        let path = folder.path().join("meta.reserve");
        reserve.tend();
        assert!(!path.exists(), "who does not keep it does not take it");
        assert!(!reserve.release());
        reserve.keep();
        assert!(path.metadata().unwrap().blocks() * 512 >= SIZE);
        assert!(reserve.release() && !path.exists());
        reserve.tend();
        assert!(!path.exists());
        assert!(reserve.release(), "there is room for a while");
        assert!(!Reserve::beside(&folder.path().join("meta.db")).release(), "another process gave none back");
        fs::write(&path, "").unwrap();
        reserve.keep();
        assert!(path.metadata().unwrap().blocks() * 512 >= SIZE, "one without blocks is made anew");
    }
}
