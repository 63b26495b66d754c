//! One server for one data directory.

use std::fs::File;
use std::path::Path;

use anyhow::bail;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::Advice;

/// Holds the data directory as long as the file lives; the kernel lets go of it when the process ends.
pub fn lock(data_dir: &Path) -> anyhow::Result<File> {
    let path = data_dir.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))
        .advice(&format!("`3s-server init {}` makes a data directory", data_dir.display()))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => bail!(
            "another 3s-server runs on {}\nstop it first, or give this one a data directory of its own",
            data_dir.display()
        ),
        Err(error) => Err(error).advice("the data directory must be on a file system that can lock files"),
    }
}
