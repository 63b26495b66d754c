//! What goes into a backup, member by member, and the packs as streams.

use std::fs::File;
use std::io::{self, Read, Write};

use anyhow::bail;
use bytes::{Buf, Bytes};
use sss_common::{PackId, Timestamp};
use tokio::runtime::Handle;

use super::site::Partial;
use sss_server::store::{BlobStore, MetaSnapshot, StoreError};
use sss_vault::backup::BackupSealer;

/// Bytes of a pack that are read at a time.
const PART: u64 = 4 * 1024 * 1024;

/// Packs that are asked for at a time.
const PAGE: usize = 1000;

/// The members, on their way through the sealing.
pub(super) struct Archive<'a> {
    tar: tar::Builder<BackupSealer<&'a File>>,
    time: Timestamp,
    out: &'a Partial,
}

impl<'a> Archive<'a> {
    pub(super) fn new(sealer: BackupSealer<&'a File>, time: Timestamp, out: &'a Partial) -> Self {
        Archive { tar: tar::Builder::new(sealer), time, out }
    }

    pub(super) fn add(&mut self, name: &str, bytes: &mut &[u8]) -> anyhow::Result<()> {
        self.add_sized(name, bytes.len() as u64, bytes)
    }

    pub(super) fn add_sized(&mut self, name: &str, length: u64, from: &mut dyn Read) -> anyhow::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(length);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(self.time.0 / 1000).unwrap_or(0));
        self.tar.append_data(&mut header, name, from.take(length)).map_err(|error| self.out.failed(&error))
    }

    /// Says how many bytes the file has.
    pub(super) fn finish(self) -> anyhow::Result<u64> {
        let out = self.out;
        let finished = self.tar.into_inner().and_then(BackupSealer::finish).and_then(|mut file| {
            file.flush()?;
            Ok(file.metadata()?.len())
        });
        finished.map_err(|error| out.failed(&error))
    }
}

/// The packs that a snapshot names, by id.
pub(crate) struct Packs<'a> {
    snapshot: &'a dyn MetaSnapshot,
    page: std::vec::IntoIter<(PackId, u64)>,
    last: Option<PackId>,
}

impl<'a> Packs<'a> {
    pub(crate) fn of(snapshot: &'a dyn MetaSnapshot) -> Self {
        Packs { snapshot, page: Vec::new().into_iter(), last: None }
    }
}

impl Iterator for Packs<'_> {
    type Item = Result<(PackId, u64), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.as_slice().is_empty() {
            match self.snapshot.packs(self.last, PAGE) {
                Ok(page) => self.page = page.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
        let pack = self.page.next()?;
        self.last = Some(pack.0);
        Some(Ok(pack))
    }
}

/// A pack as a stream of exactly as many bytes as its row says.
pub(super) struct PackReader<'a> {
    blobs: &'a dyn BlobStore,
    runtime: &'a Handle,
    id: PackId,
    at: u64,
    length: u64,
    part: Bytes,
    failed: Option<StoreError>,
}

impl<'a> PackReader<'a> {
    pub(super) fn new(blobs: &'a dyn BlobStore, runtime: &'a Handle, id: PackId, length: u64) -> Self {
        PackReader { blobs, runtime, id, at: 0, length, part: Bytes::new(), failed: None }
    }

    /// What was wrong with the pack, if anything was.
    pub(super) fn outcome(self, snapshot: &dyn MetaSnapshot) -> anyhow::Result<()> {
        let Some(failed) = self.failed else { return Ok(()) };
        let user = snapshot.user_of(self.id).ok().flatten().unwrap_or_else(|| "no document".into());
        let what = match failed {
            StoreError::NotFound => "is missing, or shorter than it was".to_owned(),
            other => format!("cannot be read: {other}"),
        };
        bail!(
            "pack {} of {user} {what}\n\
             no backup was made: put the document back from an older backup or delete it; `3s-server scrub` finds all such",
            self.id
        )
    }
}

impl Read for PackReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.part.is_empty() && self.at < self.length {
            let length = (self.length - self.at).min(PART);
            let read = self.runtime.block_on(self.blobs.read(self.id, self.at, length as usize));
            self.part = read.map_err(|error| {
                let text = error.to_string();
                self.failed = Some(error);
                io::Error::other(text)
            })?;
            self.at += length;
        }
        let taken = into.len().min(self.part.len());
        self.part.copy_to_slice(&mut into[..taken]);
        Ok(taken)
    }
}
