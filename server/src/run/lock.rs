//! One server for one data directory, and one of each of the commands that must be alone.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::bail;
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use super::Advice;

/// Holds the data directory as long as the file lives; the kernel lets go of it when the process ends.
pub fn lock(data_dir: &Path) -> anyhow::Result<File> {
    let path = data_dir.join("lock");
    let locked =
        exclusive(&path).map_err(|error| anyhow::anyhow!("{}: {error}", path.display())).advice(&format!(
            "`3s-server init {}` makes a data directory, on a file system that can lock files",
            data_dir.display()
        ))?;
    match locked {
        Some(file) => Ok(file),
        None => bail!(
            "another 3s-server runs on {}\nstop it first, or give this one a data directory of its own",
            data_dir.display()
        ),
    }
}

/// Holds a lock file, which is made where there is none; `None` when somebody else does. A link in its place is refused.
pub fn exclusive(path: &Path) -> io::Result<Option<File>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = File::options();
    let file = options.create(true).truncate(false).write(true).mode(0o600).custom_flags(flags).open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
