//! The scratch copy: metadata and an empty packs folder in a folder of their own, the keyring's copy beside the keyring.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::bail;

use super::Options;
use crate::moment::Moment;
use crate::names::with_end;
use sss_server::run::compose::Paths;
use sss_server::run::{Advice, lock};
use sss_vault::discard_keyring;

/// What a scratch folder and a scratch keyring are called; the rest of the name is random.
const PREFIX: &str = "drill-";

/// The file that says that a folder is a drill's, locked while it is in use.
const MARKER: &str = "3s-drill.lock";

/// A store's scratch copy.
pub(super) struct Scratch {
    folder: PathBuf,
    paths: Paths,
    /// One drill of a store at a time, and nobody removes a scratch folder that is in use.
    _locks: (fs::File, Option<fs::File>),
}

impl Scratch {
    /// Copies what the drill needs. What an earlier drill left that was killed is removed first.
    pub(super) fn copy(options: &Options) -> anyhow::Result<Scratch> {
        let store = Paths::of(&options.data_dir, options.keyring.clone());
        let advice = "give the data directory that `3s-server init` made, as the server's user";
        if !store.meta.exists() {
            bail!("there is no store in {}\n{advice}", options.data_dir.display());
        }
        let lock = lock::exclusive(&options.data_dir.join("drill.lock"));
        let lock = lock.map_err(|e| at(&options.data_dir, &e)).advice(advice)?;
        let Some(lock) = lock else {
            bail!("another drill of {} is under way\nwait until it is done", options.data_dir.display());
        };
        let moment = Moment::of(&store)?;
        let within = options.scratch.as_deref().unwrap_or(&options.data_dir);
        remove_leftovers(within, &store.keyring)?;
        let tag = format!("{PREFIX}{:016x}", rand::random::<u64>());
        let folder = within.join(&tag);
        let room =
            "give a folder that you may write with --scratch, on a disk with room for a copy of meta.db";
        DirBuilder::new().mode(0o700).create(&folder).map_err(|e| at(&folder, &e)).advice(room)?;
        let own = lock::exclusive(&folder.join(MARKER)).map_err(|e| at(&folder, &e)).advice(room)?;
        let paths = Paths { keyring: beside(&store.keyring, &tag), ..Paths::of(&folder, None) };
        let scratch = Scratch { folder, paths, _locks: (lock, own) };
        match scratch.fill(&store, &moment) {
            Ok(()) => Ok(scratch),
            Err(error) => {
                let _ = scratch.remove();
                Err(error).advice(room)
            }
        }
    }

    /// The RSA keys are the store's own, by links: a rotation that is under way there is none here.
    fn fill(&self, store: &Paths, moment: &Moment) -> anyhow::Result<()> {
        moment.snapshot.copy_to(&self.paths.meta, &mut |_, _| {})?;
        moment.keys.copy_keyring(&self.paths.keyring)?;
        let retired = |public: &Path| public.with_file_name("retired.pub");
        for (key, link) in [
            (store.server_key.clone(), self.paths.server_key.clone()),
            (store.server_pub.clone(), self.paths.server_pub.clone()),
            (retired(&store.server_pub), retired(&self.paths.server_pub)),
        ] {
            if key.exists() {
                let linked = fs::canonicalize(&key).and_then(|key| symlink(key, &link));
                linked.map_err(|e| at(&key, &e))?;
            }
        }
        Ok(())
    }

    /// Where the scratch store's parts lie.
    pub(super) fn paths(&self) -> &Paths {
        &self.paths
    }

    /// A new place in the scratch folder.
    pub(super) fn place(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The scratch folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes it all, the keyring's copy so that its medium forgets it.
    pub(super) fn remove(self) -> anyhow::Result<()> {
        let keyring = discard_keyring(&self.paths.keyring);
        let folder = fs::remove_dir_all(&self.folder).map_err(|e| at(&self.folder, &e));
        keyring.map_err(anyhow::Error::from).and(folder).advice("remove the scratch copy yourself")
    }
}

/// A database file and its log. The scratch store's service is idle: nobody writes meanwhile.
pub(super) fn copy_database(from: &Path, to: &Path) -> anyhow::Result<()> {
    for end in ["", "-wal"] {
        let (from, to) = (with_end(from, end), with_end(to, end));
        if end.is_empty() || from.exists() {
            fs::copy(&from, &to).map_err(|e| at(&from, &e))?;
        }
    }
    Ok(())
}

fn beside(keyring: &Path, tag: &str) -> PathBuf {
    with_end(keyring, &format!(".{tag}"))
}

/// Only what bears a drill's whole name; folders only with the marker, and while no drill holds it.
fn remove_leftovers(within: &Path, keyring: &Path) -> anyhow::Result<()> {
    let advice = "remove it yourself: it is what a drill left that was killed";
    for folder in entries(within, PREFIX) {
        let marker = folder.join(MARKER);
        if !marker.is_file() || !matches!(lock::exclusive(&marker), Ok(Some(_))) {
            continue;
        }
        fs::remove_dir_all(&folder).map_err(|e| at(&folder, &e)).advice(advice)?;
    }
    let copies = beside(keyring, PREFIX);
    let (Some(medium), Some(name)) = (keyring.parent(), copies.file_name()) else { return Ok(()) };
    for copy in entries(medium, &name.to_string_lossy()) {
        discard_keyring(&copy)?;
    }
    Ok(())
}

/// What is called so, with 16 hexadecimal digits behind it.
fn entries(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let ours = |name: &str| {
        let tag = name.strip_prefix(prefix);
        tag.is_some_and(|tag| tag.len() == 16 && tag.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    entries.filter(|e| ours(&e.file_name().to_string_lossy())).map(|e| e.path()).collect()
}

pub(super) fn at(path: &Path, error: &std::io::Error) -> anyhow::Error {
    anyhow::anyhow!("{}: {error}", path.display())
}
