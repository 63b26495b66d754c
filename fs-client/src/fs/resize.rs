//! Sizes: `truncate` and `fallocate`.
//!
//! Round trips: none on an open file; by path two, the right and the check-in.

use fuser::{Errno, FileHandle, INodeNo};
use sss_common::limits::DOCUMENT_MAX;

use super::io::{Access, OpenFile};
use super::{Answer, Caller, Failure, Fs};
use crate::document::{self, Document};
use crate::remote::RemoteError;

impl Fs {
    pub(super) async fn resize(
        &self,
        caller: Caller,
        ino: INodeNo,
        fh: Option<FileHandle>,
        size: u64,
    ) -> Answer<()> {
        if let Some(fh) = fh {
            return self.file(fh)?.document.truncate(size).map_err(|error| self.failed(error));
        }
        let access = Access { read: false, write: true, truncate: false, create: false };
        let fh = self.checkout(caller, ino, access).await?;
        let file = self.file(fh)?;
        self.files.remove(&fh);
        let answer = self.resized(ino, &file.document, size).await;
        self.left(ino, &file.document);
        answer.map_err(|error| self.failed(error))
    }

    /// A check-in that a path-based call waits for: it has no open file that could say later what became of
    /// it. What the server refuses is therefore not tried again.
    async fn resized(&self, ino: INodeNo, document: &Document, size: u64) -> document::Result<()> {
        let alone = !document.is_dirty() && document.handles() == 1;
        document.truncate(size)?;
        let changes = document.changes();
        let answer = document.checkin().await;
        match &answer {
            Ok(Some(attr)) => self.checked_in(ino, attr.clone()),
            Err(document::Error::Remote(RemoteError::Refused { .. })) if alone => {
                document.discard(changes).await;
            }
            _ => {}
        }
        answer.map(|_| ())
    }

    /// `fallocate`: sizes and zeroes; nothing is reserved on the server.
    pub fn fallocate(&self, fh: FileHandle, offset: u64, length: u64, mode: i32) -> Answer<()> {
        let file = self.file(fh)?;
        let answer = self.allocate(&file, offset, length, mode);
        self.noted(file.ino, "fallocate", answer)
    }

    fn allocate(&self, file: &OpenFile, offset: u64, length: u64, mode: i32) -> Answer<()> {
        const KEEP: i32 = libc::FALLOC_FL_KEEP_SIZE;
        const ZERO: i32 = libc::FALLOC_FL_ZERO_RANGE;
        const PUNCH: i32 = libc::FALLOC_FL_PUNCH_HOLE | KEEP;
        self.live()?;
        let too_large = || Failure::new(Errno::EFBIG, "beyond the largest document");
        let end = offset.checked_add(length).filter(|end| *end <= DOCUMENT_MAX).ok_or_else(too_large)?;
        let document = &file.document;
        let done = match mode {
            _ if !file.writes => return Err(Failure::new(Errno::EBADF, "the file is open for reading only")),
            0 => document.extend(end),
            KEEP => Ok(()),
            ZERO => document.extend(end).and_then(|()| document.zero(offset, length)),
            _ if mode == PUNCH || mode == ZERO | KEEP => document.zero(offset, length),
            _ => return Err(Failure::new(Errno::ENOTSUP, "this kind of fallocate is not supported")),
        };
        done.map_err(|error| self.failed(error))
    }
}
