//! Files that are there whole or not at all.
//!
//! A [`Batch`] first writes and syncs every file under a temporary name beside its place, with its final mode from the
//! first byte on. Only when all of them are safe does it rename them, in the order given, and sync the folders.
//! So a full disk leaves nothing, and a power cut leaves a prefix of whole files: put the one that marks the set as
//! finished last.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rand::RngCore;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::Error;

/// Largest key, certificate or public key file that is read, in bytes.
pub const PEM_MAX: u64 = 1 << 20;

/// Largest revocation list or index that is read, in bytes: some hundred thousand certificates.
pub const LIST_MAX: u64 = 1 << 26;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Its owner: mode 0600.
    Secret,
    /// Everyone: mode 0644.
    Public,
}

/// Files on their way to their places.
#[derive(Debug, Default)]
pub struct Batch {
    staged: Vec<Staged>,
}

#[derive(Debug)]
struct Staged {
    temp: PathBuf,
    path: PathBuf,
    replace: bool,
}

impl Batch {
    /// Stages a file whose name must still be free when it is published.
    pub fn create(&mut self, path: &Path, bytes: &[u8], access: Access) -> Result<(), Error> {
        self.stage(path, bytes, access, false)
    }

    /// Stages a file that takes the place of the one under its name, if there is one.
    pub fn replace(&mut self, path: &Path, bytes: &[u8], access: Access) -> Result<(), Error> {
        self.stage(path, bytes, access, true)
    }

    fn stage(&mut self, path: &Path, bytes: &[u8], access: Access, replace: bool) -> Result<(), Error> {
        let temp = temporary(path);
        let mode = if access == Access::Secret { 0o600 } else { 0o644 };
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create_new(true).mode(mode).open(&temp).map_err(Error::io("write", path))?;
        self.staged.push(Staged { temp, path: path.to_owned(), replace });
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(Error::io("write", path))
    }

    /// Puts the files into their places, in order, and makes that durable.
    pub fn publish(self) -> Result<(), Error> {
        let mut folders = Vec::new();
        for file in &self.staged {
            file.publish()?;
            let folder = folder_of(&file.path);
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        for folder in folders {
            File::open(folder).and_then(|open| open.sync_all()).map_err(Error::io("sync", folder))?;
        }
        Ok(())
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        for file in &self.staged {
            // Those that were published are gone from here; for the others nothing better can be done.
            let _ = fs::remove_file(&file.temp);
        }
    }
}

impl Staged {
    fn publish(&self) -> Result<(), Error> {
        let result = if self.replace {
            fs::rename(&self.temp, &self.path)
        } else {
            rename_to_free_name(&self.temp, &self.path)
        };
        result.map_err(|cause| match cause.kind() {
            io::ErrorKind::AlreadyExists => Error::Exists(self.path.clone()),
            _ => Error::io("write", &self.path)(cause),
        })
    }
}

/// `rename` that fails on a taken name; by a hard link where the file system (NFS) cannot say so in one step.
fn rename_to_free_name(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => link_to_free_name(from, to),
        result => Ok(result?),
    }
}

fn link_to_free_name(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)?;
    fs::remove_file(from)
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{:08x}.tmp", rand::rngs::OsRng.next_u32()));
    path.with_file_name(name)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes a folder that only its owner may enter, and those above it; one that exists stays as it is.
pub fn make_private_folder(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(Error::io("make the folder", path))
}

/// Waits until no other command works on the folder, and keeps others out until the file is dropped.
pub fn lock_folder(path: &Path) -> Result<File, Error> {
    let folder = File::open(path).map_err(Error::io("open", path))?;
    folder.lock().map_err(Error::io("lock", path))?;
    Ok(folder)
}

/// Whether something stands under the name, be it a dangling link.
pub fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// The file's bytes, of which there may be `max`; they are wiped after use.
pub fn read(path: &Path, max: u64) -> Result<Zeroizing<Vec<u8>>, Error> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let size = file.metadata().map_err(Error::io("read", path))?.len();
    // Room for all of it at once: a vector that grows leaves unwiped copies.
    let room = usize::try_from(size.min(max)).unwrap_or(0) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(max + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    if bytes.len() as u64 > max {
        return Err(Error::TooLarge { path: path.to_owned(), max });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn nothing_is_visible_before_publishing_and_nothing_remains_of_what_was_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut batch = Batch::default();
        batch.create(&dir.path().join("a"), b"1", Access::Secret).unwrap();
        let staged = names(dir.path());
        assert!(staged.len() == 1 && staged[0].starts_with(".a."), "{staged:?}");
        assert_eq!(mode(&dir.path().join(&staged[0])), 0o600, "secret from the first byte on");
        drop(batch);
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn published_files_have_their_content_and_mode() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        let mut batch = Batch::default();
        batch.create(&a, b"secret", Access::Secret).unwrap();
        batch.replace(&b, b"public", Access::Public).unwrap();
        batch.publish().unwrap();
        assert_eq!(names(dir.path()), ["a", "b"]);
        assert_eq!((mode(&a), fs::read(&a).unwrap()), (0o600, b"secret".to_vec()));
        assert_eq!(fs::read(&b).unwrap(), b"public");
    }

    #[test]
    fn creating_never_replaces_also_when_the_name_was_taken_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let mut batch = Batch::default();
        batch.create(&path, b"new", Access::Secret).unwrap();
        fs::write(&path, b"old").unwrap();
        assert!(matches!(batch.publish(), Err(Error::Exists(at)) if at == path));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(dir.path()), ["key"]);
    }

    #[test]
    fn both_ways_to_a_free_name_refuse_a_taken_one() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        for publish in [rename_to_free_name, link_to_free_name] {
            fs::write(&from, b"new").unwrap();
            publish(&from, &to).unwrap();
            assert_eq!(names(dir.path()), ["to"]);
            fs::write(&from, b"newer").unwrap();
            assert_eq!(publish(&from, &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read(&to).unwrap(), b"new");
            fs::remove_file(&to).unwrap();
        }
    }

    #[test]
    fn replacing_replaces() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("crl");
        fs::write(&path, b"old").unwrap();
        let mut batch = Batch::default();
        batch.replace(&path, b"new", Access::Public).unwrap();
        batch.publish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn reading_has_a_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, [7; 10]).unwrap();
        assert_eq!(read(&path, 10).unwrap().as_slice(), [7; 10]);
        assert!(matches!(read(&path, 9), Err(Error::TooLarge { max: 9, .. })));
        assert!(matches!(read(dir.path(), 9), Err(Error::Io { .. })));
    }

    #[test]
    fn new_folders_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        make_private_folder(&path).unwrap();
        make_private_folder(&path).unwrap();
        assert_eq!((mode(&path), mode(&dir.path().join("a"))), (0o700, 0o700));
    }

    #[test]
    fn a_lock_keeps_others_out_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let lock = lock_folder(dir.path()).unwrap();
        let other = File::open(dir.path()).unwrap();
        assert!(other.try_lock().is_err());
        drop(lock);
        assert!(other.try_lock().is_ok());
    }
}
