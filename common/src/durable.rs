//! Files that are there whole or not at all, and are still there after a power cut.
//!
//! A file passes through these states; each is a type, and the only way on is the next step.
//!
//! | state | what a crash leaves under the file's name |
//! |---|---|
//! | [`NewFile`]: being written under another name | what was there before |
//! | [`Staged`]: its content is durable | what was there before |
//! | [`Placed`]: it has its name | what was there before or the new file, whole |
//! | settled: its folder is durable too | the new file |
//!
//! The other name is either random and hidden ([`NewFile::beside`]), and removed when a step fails; or fixed
//! ([`NewFile::named`]), for what somebody looks for after a crash, and then it stays after a failure as well: a secret is written
//! over before it is removed. Either has the file's final mode from its first byte on, and neither is ever read as the file.
//!
//! [`InPlace`] is for a name that must be taken before its content is known, and for files whose beginning is recognised as
//! such. Costs: one fsync of the file and one of its folder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile, TempPath};

/// What an operation on a durable file ends with.
pub type Result<T> = std::result::Result<T, Failed>;

/// The operating system refused a step.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}: {cause}", path.display())]
pub struct Failed {
    /// The verb: `write` for a file, `sync` for a folder.
    pub doing: &'static str,
    /// The file's own place, also where its temporary failed; or the folder.
    pub path: PathBuf,
    /// Why; `AlreadyExists` where a file must be new and is not.
    pub cause: io::Error,
}

impl Failed {
    fn at(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Failed {
        move |cause| Failed { doing, path: path.to_owned(), cause }
    }
}

/// Keeps the kind, and the path in its words.
impl From<Failed> for io::Error {
    fn from(failed: Failed) -> Self {
        io::Error::new(failed.cause.kind(), failed)
    }
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Its owner: mode 0600.
    Secret,
    /// Everyone whom the process's umask lets: mode 0644.
    Public,
}

impl Access {
    fn new_file(self, path: &Path) -> io::Result<File> {
        let mode = match self {
            Access::Secret => 0o600,
            Access::Public => 0o644,
        };
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
    }
}

/// Puts a file in the place of the one under its name, if there is one; durable when this returns.
pub fn replace(path: &Path, bytes: &[u8], access: Access) -> Result<()> {
    Staged::of(path, bytes, access)?.replace()?.settle()
}

/// Makes a file whose name is free; durable when this returns.
pub fn create(path: &Path, bytes: &[u8], access: Access) -> Result<()> {
    Staged::of(path, bytes, access)?.create()?.settle()
}

/// Gives a file or a folder whose content is durable another name, in place of the file that has it.
pub fn rename(from: &Path, to: &Path) -> Result<Placed> {
    #[expect(clippy::disallowed_methods, reason = "what is renamed here is made durable by its answer")]
    fs::rename(from, to).map_err(Failed::at("write", to))?;
    Ok(Placed { path: to.to_owned() })
}

/// Makes durable which files a folder has.
pub fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|open| open.sync_all()).map_err(Failed::at("sync", folder))
}

/// The same for the folder in which `path` stands.
pub fn sync_folder_of(path: &Path) -> Result<()> {
    sync_folder(folder_of(path))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file that is being written under another name.
#[derive(Debug)]
pub struct NewFile {
    temporary: NamedTempFile<File>,
    path: PathBuf,
}

impl NewFile {
    /// Under a random name in the same folder, which goes with this value.
    pub fn beside(path: &Path, access: Access) -> Result<Self> {
        let mut prefix = std::ffi::OsString::from(".");
        prefix.push(path.file_name().unwrap_or_default());
        prefix.push(".");
        let temporary = Builder::new()
            .prefix(&prefix)
            .suffix(".tmp")
            .rand_bytes(8)
            .make_in(folder_of(path), |at| access.new_file(at))
            .map_err(Failed::at("write", path))?;
        Ok(NewFile { temporary, path: path.to_owned() })
    }

    /// Under a name that is looked for after a crash; it stays when a step fails. What is there is removed first.
    pub fn named(temporary: &Path, path: &Path, access: Access) -> Result<Self> {
        let failed = Failed::at("write", path);
        let made = match fs::remove_file(temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Builder::new()
                .prefix(temporary.file_name().unwrap_or_default())
                .rand_bytes(0)
                .disable_cleanup(true)
                .make_in(folder_of(temporary), |at| access.new_file(at)),
        };
        Ok(NewFile { temporary: made.map_err(failed)?, path: path.to_owned() })
    }

    /// The open file, to write to it piece by piece.
    pub fn file(&self) -> &File {
        self.temporary.as_file()
    }

    /// Appends bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.temporary.as_file_mut().write_all(bytes).map_err(Failed::at("write", &self.path))
    }

    /// Makes the content durable.
    pub fn sync(self) -> Result<Staged> {
        self.temporary.as_file().sync_all().map_err(Failed::at("write", &self.path))?;
        Ok(Staged { temporary: self.temporary.into_temp_path(), path: self.path })
    }
}

/// A file whose content is durable under another name.
#[derive(Debug)]
pub struct Staged {
    temporary: TempPath,
    path: PathBuf,
}

impl Staged {
    /// A file of these bytes.
    pub fn of(path: &Path, bytes: &[u8], access: Access) -> Result<Self> {
        let mut file = NewFile::beside(path, access)?;
        file.write(bytes)?;
        file.sync()
    }

    /// Takes the file's name, from the one that has it.
    pub fn replace(self) -> Result<Placed> {
        let path = self.path;
        self.temporary.persist(&path).map_err(|refused| Failed::at("write", &path)(refused.error))?;
        Ok(Placed { path })
    }

    /// Takes the file's name if it is free. A file system without links and without a rename that can refuse is
    /// asked beforehand.
    pub fn create(self) -> Result<Placed> {
        let path = self.path;
        let refused = match self.temporary.persist_noclobber(&path) {
            Ok(()) => return Ok(Placed { path }),
            Err(refused) => refused,
        };
        let knows_no_links =
            matches!(refused.error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied);
        if knows_no_links && path.symlink_metadata().is_err() {
            return Staged { temporary: refused.path, path }.replace();
        }
        Err(Failed::at("write", &path)(refused.error))
    }
}

/// A file that has its name; a power cut may still take that from it.
#[derive(Debug)]
#[must_use = "the name is not durable before `settle`"]
pub struct Placed {
    path: PathBuf,
}

impl Placed {
    /// Makes the name durable.
    pub fn settle(self) -> Result<()> {
        sync_folder_of(&self.path)
    }

    /// The same for many, with one fsync for each of their folders.
    pub fn settle_all(placed: &[Placed]) -> Result<()> {
        let mut folders: Vec<_> = placed.iter().map(|placed| folder_of(&placed.path)).collect();
        folders.sort_unstable();
        folders.dedup();
        folders.into_iter().try_for_each(sync_folder)
    }
}

/// A new, empty file that has its name before it has its content. Nothing removes it but its owner: what a failure or a
/// crash leaves under the name is a beginning of the content.
#[derive(Debug)]
pub struct InPlace {
    file: File,
    path: PathBuf,
}

impl InPlace {
    /// Takes a free name.
    pub fn make(path: &Path, access: Access) -> Result<Self> {
        let file = access.new_file(path).map_err(Failed::at("write", path))?;
        Ok(InPlace { file, path: path.to_owned() })
    }

    /// Makes a file of these bytes.
    pub fn create(path: &Path, bytes: &[u8], access: Access) -> Result<()> {
        InPlace::make(path, access)?.fill(bytes)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the content; it is durable under its name when this returns.
    pub fn fill(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_all());
        written.map_err(Failed::at("write", &self.path))?;
        sync_folder_of(&self.path)
    }
}

#[cfg(test)]
mod tests;
