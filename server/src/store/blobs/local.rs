//! Packs as files in a folder, through `object_store`, so that another backend is another constructor.
//!
//! A pack is `ab/abcdef…`, fanned out by its id's first byte. It is written beside its place and renamed there after an
//! fsync of the file, and the folder is fsynced before `finish` returns. The 256 folders are made and fsynced when the
//! store is opened: made on demand by two writers at once, the second would not know whether the first's was durable.
//!
//! Costs: a pack of up to [`PART`] bytes is one call to a blocking thread and two fsyncs (file, folder); a larger one
//! adds a call for each part, which runs while the next part fills. Bytes are not copied. A read opens the file and
//! reads the range with one call to a blocking thread.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Location;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use sss_common::durable;
use sss_common::{PackId, Timestamp};
use tokio::task::JoinHandle;

use crate::store::{BlobStore, BlobWriter, Result, Space, StoreError};

/// Bytes gathered before they are written. While one part is written the next fills, so a writer holds twice this
/// and what was handed in last. S3 takes no smaller ones.
pub(super) const PART: usize = 5 * 1024 * 1024;

/// Packs in a folder.
pub struct LocalBlobs {
    root: PathBuf,
    store: Arc<LocalFileSystem>,
    only_reads: bool,
}

impl LocalBlobs {
    /// Opens a folder; makes it, mode 0700, and its 256 subfolders where they are missing, and removes what writers
    /// that did not finish left behind. No other process may be writing packs there.
    pub fn open(root: &Path) -> Result<Self> {
        prepare(root).map_err(from_io)?;
        let store = LocalFileSystem::new_with_prefix(root).map_err(from_store)?.with_fsync(true);
        Ok(LocalBlobs { root: root.to_owned(), store: Arc::new(store), only_reads: false })
    }

    /// Opens a folder only to read, also while another process writes packs there: nothing is made or removed, and
    /// writing and deleting are refused.
    pub fn open_to_read(root: &Path) -> Result<Self> {
        let store = LocalFileSystem::new_with_prefix(root).map_err(from_store)?;
        Ok(LocalBlobs { root: root.to_owned(), store: Arc::new(store), only_reads: true })
    }

    /// Opens a folder to be filled without an fsync for each pack: the caller makes all of it durable at the end.
    pub fn open_to_fill(root: &Path) -> Result<Self> {
        prepare(root).map_err(from_io)?;
        let store = LocalFileSystem::new_with_prefix(root).map_err(from_store)?;
        Ok(LocalBlobs { root: root.to_owned(), store: Arc::new(store), only_reads: false })
    }

    fn writes(&self) -> Result<()> {
        if self.only_reads {
            return Err(StoreError::Backend("the packs were opened only to read".into()));
        }
        Ok(())
    }
}

fn prepare(root: &Path) -> io::Result<()> {
    make_folder(root)?;
    for byte in 0..=u8::MAX {
        let folder = root.join(format!("{byte:02x}"));
        make_folder(&folder)?;
        remove_leftovers(&folder)?;
    }
    durable::sync_folder(root)?;
    Ok(durable::sync_folder_of(root)?)
}

fn make_folder(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        other => other,
    }
}

/// `object_store` writes to `NAME#NUMBER` before it renames.
fn remove_leftovers(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().contains('#') {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn location(id: PackId) -> Location {
    Location::from(format!("{:02x}/{id}", id.as_bytes()[0]))
}

#[async_trait]
impl BlobStore for LocalBlobs {
    async fn begin(&self, id: PackId) -> Result<Box<dyn BlobWriter>> {
        self.writes()?;
        let (store, at) = (self.store.clone(), location(id));
        Ok(Box::new(LocalWriter { store, at, held: Vec::new(), held_bytes: 0, upload: None, writing: None }))
    }

    async fn read(&self, id: PackId, offset: u64, length: usize) -> Result<Bytes> {
        let at = location(id);
        let end = offset.checked_add(length as u64).ok_or(StoreError::NotFound)?;
        if length == 0 {
            let size = self.store.head(&at).await.map_err(from_store)?.size;
            return if offset <= size { Ok(Bytes::new()) } else { Err(StoreError::NotFound) };
        }
        match self.store.get_range(&at, offset..end).await {
            Ok(bytes) if bytes.len() == length => Ok(bytes),
            Ok(_) => Err(StoreError::NotFound),
            Err(error) => {
                // A range past the end is an error of its own kind; that the pack is shorter is what counts.
                match self.store.head(&at).await {
                    Ok(meta) if meta.size < end => Err(StoreError::NotFound),
                    _ => Err(from_store(error)),
                }
            }
        }
    }

    async fn delete(&self, id: PackId) -> Result<()> {
        self.writes()?;
        match self.store.delete(&location(id)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(from_store(error)),
        }
    }

    async fn list(&self) -> Result<Vec<(PackId, Timestamp)>> {
        let objects = self.store.list(None).try_filter_map(|object| async move {
            // What is no pack of ours is not ours to sweep.
            let id = object.location.filename().and_then(|name| name.parse::<PackId>().ok());
            Ok(id.map(|id| (id, Timestamp(object.last_modified.timestamp_millis()))))
        });
        objects.try_collect().await.map_err(from_store)
    }

    async fn space(&self) -> Result<Option<Space>> {
        let root = self.root.clone();
        let stat = tokio::task::spawn_blocking(move || rustix::fs::statvfs(&root)).await;
        let stat = stat.map_err(|e| StoreError::Backend(Box::new(e)))?.map_err(|e| from_io(e.into()))?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Some(Space { total: bytes(stat.f_blocks), available: bytes(stat.f_bavail) }))
    }
}

/// A pack on its way. Dropped without `finish`, `object_store` removes what was written.
struct LocalWriter {
    store: Arc<LocalFileSystem>,
    at: Location,
    held: Vec<Bytes>,
    held_bytes: usize,
    upload: Option<Box<dyn MultipartUpload>>,
    writing: Option<JoinHandle<object_store::Result<()>>>,
}

impl LocalWriter {
    fn take(&mut self) -> PutPayload {
        self.held_bytes = 0;
        std::mem::take(&mut self.held).into_iter().collect()
    }

    async fn written(&mut self) -> Result<()> {
        match self.writing.take() {
            Some(writing) => {
                let outcome = writing.await.map_err(|e| StoreError::Backend(Box::new(e)))?;
                outcome.map_err(from_store)
            }
            None => Ok(()),
        }
    }

    /// Starts to write what is held, once the part before it is written.
    async fn write_held(&mut self) -> Result<()> {
        self.written().await?;
        let payload = self.take();
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => none.insert(self.store.put_multipart(&self.at).await.map_err(from_store)?),
        };
        self.writing = Some(tokio::spawn(upload.put_part(payload)));
        Ok(())
    }
}

#[async_trait]
impl BlobWriter for LocalWriter {
    async fn write(&mut self, part: Bytes) -> Result<()> {
        self.held_bytes += part.len();
        self.held.push(part);
        if self.held_bytes >= PART { self.write_held().await } else { Ok(()) }
    }

    async fn finish(mut self: Box<Self>) -> Result<()> {
        if self.upload.is_none() {
            let payload = self.take();
            return self.store.put(&self.at, payload).await.map(drop).map_err(from_store);
        }
        if !self.held.is_empty() {
            self.write_held().await?;
        }
        self.written().await?;
        match &mut self.upload {
            Some(upload) => upload.complete().await.map(drop).map_err(from_store),
            None => Ok(()),
        }
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        // The part that is being written must not outlive the file; whether it succeeds means nothing any more.
        let _ = self.written().await;
        match &mut self.upload {
            Some(upload) => upload.abort().await.map_err(from_store),
            None => Ok(()),
        }
    }
}

fn from_store(error: object_store::Error) -> StoreError {
    if matches!(error, object_store::Error::NotFound { .. }) {
        return StoreError::NotFound;
    }
    if causes(&error).filter_map(|cause| cause.downcast_ref()).any(is_full) {
        return StoreError::Full;
    }
    StoreError::Backend(Box::new(error))
}

fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |cause| cause.source())
}

fn from_io(error: io::Error) -> StoreError {
    if is_full(&error) { StoreError::Full } else { StoreError::Backend(Box::new(error)) }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// An error as `object_store` wraps it.
    fn wrapped(kind: ErrorKind) -> object_store::Error {
        object_store::Error::Generic { store: "test", source: Box::new(io::Error::from(kind)) }
    }

    #[test]
    fn a_full_disk_is_told_from_other_failures() {
        assert!(matches!(from_store(wrapped(ErrorKind::StorageFull)), StoreError::Full));
        assert!(matches!(from_store(wrapped(ErrorKind::QuotaExceeded)), StoreError::Full));
        assert!(matches!(from_store(wrapped(ErrorKind::PermissionDenied)), StoreError::Backend(_)));
    }
}
