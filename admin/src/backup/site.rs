//! What a backup writes to: a folder for the database's copy, and the file under its temporary name. Both go when it fails.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::bail;
use indicatif::ProgressBar;
use sss_common::durable::{Access, NewFile, Placed, Staged};

use crate::bundle;
use crate::names::with_end;
use sss_server::run::{Advice, lock};
use sss_server::store::MetaSnapshot;

/// A folder in the data directory for the database's copy, of one backup at a time.
pub(super) struct Workshop {
    folder: PathBuf,
    _lock: File,
}

impl Workshop {
    /// Removes what a backup that was killed left there.
    pub(super) fn open(data_dir: &Path) -> anyhow::Result<Self> {
        let failed = |error: io::Error| anyhow::anyhow!("{}: {error}", data_dir.display());
        let advice = "run it as the server's user";
        let lock = lock::exclusive(&data_dir.join("backup.lock")).map_err(failed).advice(advice)?;
        let Some(lock) = lock else {
            bail!("another backup of {} is being made\nwait until it is done", data_dir.display());
        };
        let folder = data_dir.join("backup.tmp");
        remove(&folder).map_err(failed).advice(advice)?;
        std::fs::create_dir(&folder).map_err(failed).advice("free room on its disk")?;
        Ok(Workshop { folder, _lock: lock })
    }

    pub(super) fn copy(&self, snapshot: &dyn MetaSnapshot, bar: &ProgressBar) -> anyhow::Result<PathBuf> {
        let path = self.folder.join(bundle::META);
        let mut report = |done, of| {
            bar.set_length(of);
            bar.set_position(done);
        };
        snapshot
            .copy_to(&path, &mut report)
            .map_err(|error| anyhow::anyhow!("the database cannot be copied to {}: {error}", path.display()))
            .advice(
                "the data directory's disk needs room for a second database for as long as a backup takes",
            )?;
        Ok(path)
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        // What stays is removed by the next one.
        let _ = remove(&self.folder);
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The file on its way. Dropped before [`Partial::keep`] it is removed.
pub(super) struct Partial {
    file: NewFile,
    leftover: Leftover,
    out: PathBuf,
}

/// What goes at the end under its temporary name, if it is still there.
struct Leftover(PathBuf);

impl Drop for Leftover {
    fn drop(&mut self) {
        // What stays is removed by the next one.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Partial {
    pub(super) fn begin(out: &Path) -> anyhow::Result<Self> {
        if out.symlink_metadata().is_ok() {
            bail!("{} is already there\na backup replaces nothing: give another name", out.display());
        }
        let path = with_end(out, ".partial");
        let file = NewFile::named(&path, out, Access::Secret)
            .map_err(|failed| anyhow::anyhow!("{}: {}", path.display(), failed.cause))
            .advice("give a file in a folder that you may write")?;
        Ok(Partial { file, leftover: Leftover(path), out: out.to_owned() })
    }

    pub(super) fn file(&self) -> &File {
        self.file.file()
    }

    /// An error of writing, for a person.
    pub(super) fn failed(&self, error: &io::Error) -> anyhow::Error {
        write_failed(&self.out, error)
    }

    /// Makes it durable under its own name, which replaces nothing that came meanwhile.
    pub(super) fn keep(self) -> anyhow::Result<()> {
        let Partial { file, leftover: _leftover, out } = self;
        let kept = file.sync().and_then(Staged::create).and_then(Placed::settle);
        kept.map_err(|failed| write_failed(&out, &failed.cause))
    }
}

/// An error of writing, for a person.
fn write_failed(out: &Path, error: &io::Error) -> anyhow::Error {
    use ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let advice = match error.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => {
            "what was written is removed; free room there, or name a file on another disk"
        }
        _ => "what was written is removed; see whether that disk is well",
    };
    anyhow::anyhow!("{}: {error}\n{advice}", out.display())
}
