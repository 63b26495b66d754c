//! The files of a command: read with a limit, and written all or none.
//!
//! A [`Batch`] first makes every file durable beside its place ([`sss_common::durable`]). Only when all of them are safe does it
//! give them their names, in the order given, and sync the folders. So a full disk leaves nothing, and a power cut
//! leaves a prefix of whole files: put the one that marks the set as finished last.

use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use sss_common::durable::{self, Placed, Staged};
use zeroize::Zeroizing;

pub use sss_common::durable::Access;

use crate::Error;

/// Largest key, certificate or public key file that is read, in bytes.
pub const PEM_MAX: u64 = 1 << 20;

/// Largest revocation list or index that is read, in bytes: some hundred thousand certificates.
pub const LIST_MAX: u64 = 1 << 26;

/// Files on their way to their places.
#[derive(Debug, Default)]
pub struct Batch {
    staged: Vec<(Staged, Place)>,
}

#[derive(Debug)]
enum Place {
    Free,
    Replaced,
}

impl Batch {
    /// Stages a file whose name must still be free when it is published.
    pub fn create(&mut self, path: &Path, bytes: &[u8], access: Access) -> Result<(), Error> {
        self.stage(path, bytes, access, Place::Free)
    }

    /// Stages a file that takes the place of the one under its name, if there is one.
    pub fn replace(&mut self, path: &Path, bytes: &[u8], access: Access) -> Result<(), Error> {
        self.stage(path, bytes, access, Place::Replaced)
    }

    fn stage(&mut self, path: &Path, bytes: &[u8], access: Access, place: Place) -> Result<(), Error> {
        self.staged.push((Staged::of(path, bytes, access)?, place));
        Ok(())
    }

    /// Puts the files into their places, in order, and makes that durable.
    pub fn publish(self) -> Result<(), Error> {
        let placed: Result<Vec<_>, durable::Failed> = self
            .staged
            .into_iter()
            .map(|(file, place)| match place {
                Place::Free => file.create(),
                Place::Replaced => file.replace(),
            })
            .collect();
        Ok(Placed::settle_all(&placed?)?)
    }
}

impl From<durable::Failed> for Error {
    fn from(failed: durable::Failed) -> Self {
        match failed.cause.kind() {
            io::ErrorKind::AlreadyExists => Error::Exists(failed.path),
            _ => Error::Io { doing: failed.doing, path: failed.path, source: failed.cause },
        }
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
    use std::fs;
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
