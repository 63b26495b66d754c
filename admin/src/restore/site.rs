//! Where a restore builds: folders beside those that it makes, and a guard that leaves nothing of them when it fails.

use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::bail;
use sss_common::durable::{self, Placed};

use crate::names::with_end;
use crate::owner::Owner;
use sss_server::run::compose::Paths;
use sss_server::run::{Advice, lock};
use sss_vault::discard_keyring;

pub(super) const ROOM: &str =
    "see whether the new data directory's disk is well and has room; nothing is left behind";

/// Folder and keyring under their temporary names.
pub(super) struct Site {
    target: PathBuf,
    folder: PathBuf,
    paths: Paths,
    /// Where the keyring is to lie at the end, if apart.
    keyring: Option<PathBuf>,
    finished: bool,
    /// Who may write where the folder gets its name.
    maker: Owner,
    /// Whose it will be.
    owner: Owner,
    _lock: File,
}

impl Site {
    /// Refuses where anything is that it would have to replace.
    pub(super) fn prepare(target: &Path, keyring: Option<PathBuf>) -> anyhow::Result<Self> {
        let target = std::path::absolute(target)?;
        free(&target)?;
        let folder = beside(&target);
        unused(&folder)?;
        if let Some(keyring) = &keyring {
            for there in [keyring.clone(), beside(keyring)] {
                if there.symlink_metadata().is_ok() {
                    bail!(
                        "{} is already there\na restore replaces nothing: give another name, or move it away; \
                         a NAME.restoring is left from a restore that was cut short, and of no use",
                        there.display()
                    );
                }
            }
        }
        let maker = Owner::of_way_to(&target)?;
        // Who may put what he likes in the place of the folder gets it.
        let owner = if maker == Owner::Caller { Owner::of(&target)? } else { maker.clone() };
        maker.acts(|| {
            let made = DirBuilder::new().mode(0o700).create(&folder);
            let made = made.and_then(|()| if maker == owner { Ok(()) } else { owner.receive(&folder) });
            made.map_err(|error| anyhow::anyhow!("{}: {error}", folder.display()))
                .advice("give a folder whose parent you may write")
        })?;
        let locked = owner.acts(|| lock::lock(&folder));
        let locked = locked.inspect_err(|_| drop(std::fs::remove_dir_all(&folder)))?;
        let paths = Paths::of(&folder, keyring.as_deref().map(beside));
        Ok(Site { target, folder, paths, keyring, finished: false, maker, owner, _lock: locked })
    }

    /// Whose the store will be, and who fills it.
    pub(super) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Where it builds.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The places in it.
    pub(super) fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Makes all of it durable, and then gives it its name.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        self.maker.acts(|| {
            let done = self.sync().and_then(|()| self.rename().map_err(|failed| failed.cause));
            done.map_err(|error| anyhow::anyhow!("{}: {error}", self.target.display())).advice(ROOM)
        })?;
        self.finished = true;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(File::open(&self.folder)?)?)
    }

    /// The keyring first: a data directory without one would be noise.
    fn rename(&self) -> durable::Result<()> {
        if let Some(keyring) = &self.keyring {
            settle(durable::rename(&self.paths.keyring, keyring)?)?;
        }
        let renamed = durable::rename(&self.folder, &self.target);
        if let (Err(_), Some(keyring)) = (&renamed, &self.keyring) {
            // Back to where the guard finds it.
            settle(durable::rename(keyring, &self.paths.keyring)?)?;
        }
        settle(renamed?)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if !self.finished {
            let _ = self.owner.acts(|| Ok(discard_keyring(&self.paths.keyring)?));
            let _ = self.maker.acts(|| Ok(std::fs::remove_dir_all(&self.folder)?));
        }
    }
}

/// Whether the target can be made: nothing is there, or an empty folder that can be replaced.
fn free(target: &Path) -> anyhow::Result<()> {
    let shown = target.display();
    let Ok(meta) = target.symlink_metadata() else { return Ok(()) };
    let empty = meta.is_dir() && std::fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_none());
    if !empty {
        bail!("{shown} is already there\na restore replaces nothing: give another name, or move it away");
    }
    let parent = target.parent().and_then(|parent| parent.metadata().ok());
    if parent.is_some_and(|parent| parent.dev() != meta.dev()) {
        bail!("{shown} is a mount point, which cannot be replaced\ngive a folder in it, as {shown}/data");
    }
    Ok(())
}

fn unused(folder: &Path) -> anyhow::Result<()> {
    if folder.symlink_metadata().is_err() {
        return Ok(());
    }
    let shown = folder.display();
    match lock::lock(folder) {
        Err(_) if folder.join("lock").exists() => {
            bail!("another restore is writing to {shown}\nwait until it is done")
        }
        _ => bail!(
            "{shown} is left from a restore that was cut short\n\
             remove it with `rm -r {shown}` and run this again; it may hold documents that were deleted since the backup"
        ),
    }
}

fn beside(path: &Path) -> PathBuf {
    with_end(path, ".restoring")
}

/// A name in a folder that may be written and not read cannot be made durable on its own.
fn settle(placed: Placed) -> durable::Result<()> {
    match placed.settle() {
        Err(failed) if failed.cause.kind() == ErrorKind::PermissionDenied => Ok(()),
        other => other,
    }
}
