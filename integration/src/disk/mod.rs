//! A disk that a power cut takes the page cache from.
//!
//! SIGKILL ends a program and loses nothing that it wrote: the kernel still has it. So a missing fsync never shows. This disk
//! is a FUSE mount in the test's own process (no root needed) that knows, for each file and folder, what it holds and
//! what of that was synced. [`Frozen::image`] writes what is left after a power cut to a real folder.
//!
//! An fsync of a file makes its content durable and an fsync of a folder its entries, as POSIX promises and no more:
//! ext4 often keeps more, other file systems do not. Content that was never synced is an empty file.

mod fuse;
mod state;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fuser::{BackgroundSession, Config, MountOption};

pub use state::Cut;
use state::State;

/// A mounted disk; dropping it unmounts.
pub struct Disk {
    state: Arc<Mutex<State>>,
    session: Option<BackgroundSession>,
    mountpoint: PathBuf,
}

impl Disk {
    /// Mounts a disk over the folder `place`. What was in the folder is on the disk, and durable.
    pub fn over(place: &Path) -> io::Result<Disk> {
        let state = Arc::new(Mutex::new(State::load(place)?));
        let mut config = Config::default();
        config.mount_options =
            vec![MountOption::FSName("3s-test-disk".into()), MountOption::NoDev, MountOption::NoSuid];
        let session = fuser::spawn_mount(fuse::Adapter::new(state.clone()), place, &config)?;
        Ok(Disk { state, session: Some(session), mountpoint: place.into() })
    }

    /// What is on the disk at this moment, to be written out later.
    pub fn freeze(&self) -> Frozen {
        Frozen(self.state().clone())
    }

    /// From now on an fsync of what `chosen` names by its path from the disk's root (a file's path; a folder's with `/`
    /// behind it) is confirmed and does nothing, as if the program had left it out.
    pub fn ignore_syncs_of(&self, chosen: fn(&str) -> bool) {
        self.state().ignores = chosen;
    }

    /// What was synced since the last call, in order: paths from the disk's root `/`, folders with `/` behind.
    pub fn take_syncs(&self) -> Vec<String> {
        std::mem::take(&mut self.state().syncs)
    }

    /// Unmounts and removes the folder below. Nobody may have a file of it open any more.
    pub fn unplug(mut self) -> io::Result<()> {
        self.session.take().map_or(Ok(()), BackgroundSession::umount_and_join)?;
        fs::remove_dir_all(&self.mountpoint)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A disk as it was at a moment.
pub struct Frozen(State);

impl Frozen {
    /// Writes to the new folder `to` what is left after a power cut at that moment.
    pub fn image(&self, cut: Cut, to: &Path) -> io::Result<()> {
        self.0.write_image(cut, to)
    }
}
