//! The folder of kept drafts: `$XDG_STATE_HOME/3s/recovery`, or `~/.local/state/3s/recovery`, for the user alone.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::RngCore;
use rustix::fs::{FlockOperation, flock};

use super::file::{Reader, Unreadable, Writer, label};
use super::{Header, Label};
use crate::identity::UserKey;
use crate::places;

const SUFFIX: &str = "draft";

/// Where this process's user's drafts are kept; none where it has no home.
pub fn folder() -> Option<PathBuf> {
    Some(places::state()?.join("3s/recovery"))
}

/// Where one mount keeps its drafts.
pub struct Store {
    folder: PathBuf,
    key: Arc<UserKey>,
    label: Label,
}

impl Store {
    /// Keeps in `folder`, sealed to `key`.
    pub fn new(folder: PathBuf, key: Arc<UserKey>, label: Label) -> Self {
        Store { folder, key, label }
    }

    /// Begins to keep a draft. Answers where it will be, too.
    pub fn begin(&self, header: &Header) -> io::Result<(PathBuf, Writer)> {
        self.make_folder()?;
        let mut random = [0; 4];
        rand::rngs::OsRng.try_fill_bytes(&mut random).map_err(io::Error::other)?;
        let time = header.kept_at.to_string().replace(':', "");
        let name = format!("{time}-{:08x}.{SUFFIX}", u32::from_be_bytes(random));
        let path = self.folder.join(name);
        let writer = Writer::begin(&path, &self.key, &self.label, header)?;
        Ok((path, writer))
    }

    /// The drafts of this user of this server, the oldest first.
    pub fn kept(&self) -> Vec<Kept> {
        let mut kept = all(&self.folder);
        kept.retain(|kept| kept.label.target == self.label.target);
        kept
    }

    /// The draft in a file of this store.
    pub fn at(&self, path: PathBuf) -> Kept {
        Kept { path, label: self.label.clone() }
    }

    /// The key that opens what is kept here.
    pub fn key(&self) -> &UserKey {
        &self.key
    }

    /// Nobody else can put a file there, or see how many there are.
    fn make_folder(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let meta = self.folder.symlink_metadata()?;
        if !meta.is_dir() || meta.uid() != rustix::process::geteuid().as_raw() {
            let shown = self.folder.display();
            return Err(io::Error::other(format!("{shown} is not a folder that belongs to this user")));
        }
        match meta.mode() & 0o077 {
            0 => Ok(()),
            _ => fs::set_permissions(&self.folder, fs::Permissions::from_mode(0o700)),
        }
    }
}

/// A draft that is kept.
#[derive(Debug)]
pub struct Kept {
    /// Its file.
    pub path: PathBuf,
    /// Whose it is.
    pub label: Label,
}

/// All drafts in a folder, the oldest first. What is none is passed over.
pub fn all(folder: &Path) -> Vec<Kept> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == SUFFIX)).collect();
    paths.sort_unstable();
    let kept = |path: PathBuf| Some(Kept { label: label(&File::open(&path).ok()?).ok()?, path });
    paths.into_iter().filter_map(kept).collect()
}

impl Kept {
    /// Opens it.
    pub fn open(&self, key: &UserKey) -> Result<(Header, Reader<io::BufReader<File>>), Unreadable> {
        Reader::open(File::open(&self.path)?, key)
    }

    /// Takes it, for who makes a copy of it or discards it; `None` when somebody else has it, or it is gone.
    pub fn claim(self) -> io::Result<Option<Claimed>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        // Removed while this waited for nothing: by whoever had it before.
        let there = file.metadata()?.nlink() > 0;
        Ok(there.then_some(Claimed { kept: self, _locked: file }))
    }
}

/// A kept draft that nobody else takes while this lives.
#[derive(Debug)]
pub struct Claimed {
    /// Which.
    pub kept: Kept,
    _locked: File,
}

impl Claimed {
    /// Removes its file: the draft is elsewhere, or nobody wants it.
    pub fn remove(self) -> io::Result<()> {
        fs::remove_file(&self.kept.path)?;
        Ok(sss_common::durable::sync_folder_of(&self.kept.path)?)
    }
}
