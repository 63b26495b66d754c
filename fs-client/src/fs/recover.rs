//! Drafts at the end of a mount that cannot be checked in, and at the beginning of the next one. See [`crate::recovery`].

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use fuser::{Errno, INodeNo};
use sss_common::wire::fs::NodeRequest;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Failure, Fs};
use crate::document::{Document, Error, Leaving, Unsaved};
use crate::recovery::file::Reader;
use crate::recovery::store::Claimed;
use crate::recovery::{Header, Kept, Part, Store};
use crate::remote::RemoteError;
use crate::remote::retries::{KEPT_DRAFTS, LAST_CHECK_INS, LAST_CHECK_INS_WITHIN};
use crate::tree::ROOT;

/// A document at the mount's end.
type Open = (INodeNo, Arc<Document>);

impl Fs {
    /// Ends the mount: checks in what is dirty, keeps what cannot be, gives pins back, logs out. Answers what is not on
    /// the server, and where it is.
    pub async fn shutdown(self: &Arc<Self>) -> Vec<Failure> {
        let mut failures = self.check_in_last().await;
        for (ino, document) in self.unsaved() {
            let because = failures.iter().position(|(of, _)| *of == ino).map(|at| failures.remove(at).1);
            let because = because.unwrap_or_else(|| Failure::new(Errno::EINTR, "the mount was interrupted"));
            failures.extend(self.keep_for_later(ino, &document, because).await.map(|failure| (ino, failure)));
        }
        self.drop_spares();
        let mut failures: Vec<Failure> = failures.into_iter().map(|(_, failure)| failure).collect();
        self.documents.iter().for_each(|document| document.unpin());
        let logged_out = self.unless_given_up(async {
            self.shared.closer.send().await;
            if self.live().is_err() { Ok(()) } else { self.remote.logout().await }
        });
        if let Some(Err(error)) = logged_out.await {
            failures.push(self.refused(error));
        }
        failures
    }

    /// From now on [`Fs::shutdown`] waits for the server no more.
    pub fn give_up(&self) {
        self.giving_up.cancel();
    }

    /// Waits for it, unless or until [`Fs::give_up`] is called.
    pub async fn unless_given_up<T>(&self, what: impl Future<Output = T>) -> Option<T> {
        self.giving_up.run_until_cancelled(what).await
    }

    /// Checks in what is dirty. Where the server is silent it is asked again, within a bound. Answers what was refused,
    /// conflict copies among it.
    async fn check_in_last(self: &Arc<Self>) -> Vec<(INodeNo, Failure)> {
        let deadline = Instant::now() + LAST_CHECK_INS_WITHIN;
        let mut pauses = LAST_CHECK_INS.pause.begin();
        let mut refused: Vec<(INodeNo, Failure)> = Vec::new();
        let mut said = false;
        loop {
            let mut silent = 0;
            for (ino, document) in self.unsaved() {
                let answer = self.unless_given_up(self.checkin(ino, &document)).await;
                refused.retain(|(of, _)| *of != ino);
                match answer {
                    Some(Ok(())) => {}
                    Some(Err(failure)) => {
                        silent += usize::from(failure.errno == Errno::ETIMEDOUT && document.is_dirty());
                        let why = format!("{}: {}", self.path(ino), failure.why);
                        refused.push((ino, Failure { why, ..failure }));
                    }
                    None => return refused,
                }
            }
            let pause = pauses.advance();
            if silent == 0 || self.live().is_err() || Instant::now() + pause > deadline {
                return refused;
            }
            if !std::mem::replace(&mut said, true) {
                let within = LAST_CHECK_INS_WITHIN.as_secs();
                tracing::warn!(
                    documents = silent,
                    "the server does not answer: the last check-ins are tried again for up to {within} s"
                );
            }
            if self.unless_given_up(tokio::time::sleep(pause)).await.is_none() {
                return refused;
            }
        }
    }

    fn unsaved(&self) -> Vec<Open> {
        let dirty = self.documents.iter().filter(|document| document.is_dirty());
        dirty.map(|entry| (*entry.key(), entry.value().clone())).collect()
    }

    /// Keeps a draft on this machine. Answers what is to be said of it; nothing when it was checked in meanwhile.
    async fn keep_for_later(
        &self,
        ino: INodeNo,
        document: &Arc<Document>,
        because: Failure,
    ) -> Option<Failure> {
        let cause = RemoteError::Unreachable(because.why.clone());
        let lost = Error::Lost { cause: cause.clone(), why: because.why.clone() };
        let _keeping = document.keeping(lost).await?;
        let path = self.path(ino);
        let why = match self.keep_in_store(ino, document, &because).await {
            Ok(file) => {
                let file = file.display();
                tracing::warn!(%path, %file, why = %because.why, "what was written is kept on this machine");
                let why = format!("{}; what was written is kept in {file}", because.why);
                document.lost(cause, why.clone());
                why
            }
            Err(error) => {
                tracing::error!(%path, %error, why = %because.why, "what was written is lost: it could not be kept");
                format!(
                    "{}; what was written is lost: it could not be kept on this machine: {error}",
                    because.why
                )
            }
        };
        Some(Failure { why, ..because })
    }

    async fn keep_in_store(
        &self,
        ino: INodeNo,
        document: &Arc<Document>,
        because: &Failure,
    ) -> std::io::Result<PathBuf> {
        let none = || std::io::Error::other("neither XDG_STATE_HOME nor HOME names a folder for it");
        let store = self.options.recovery.as_ref().ok_or_else(none)?;
        let answers = self.live().is_ok() && because.errno != Errno::ETIMEDOUT;
        if !answers && let Some(path) = self.spare_for_good(ino, document) {
            return Ok(path);
        }
        let patience = async {
            if answers {
                self.unless_given_up(tokio::time::sleep(LAST_CHECK_INS_WITHIN)).await;
            }
        };
        match self.write_draft(store, ino, document, because, patience).await {
            Ok(kept) => Ok(kept.path),
            Err(error) => self.spare_for_good(ino, document).ok_or(error),
        }
    }

    /// Makes a durable file of a draft. What the base has is read for as long as `patience` lasts.
    pub(super) async fn write_draft(
        &self,
        store: &Store,
        ino: INodeNo,
        document: &Document,
        because: &Failure,
        patience: impl Future<Output = ()>,
    ) -> std::io::Result<Kept> {
        let (unsaved, parts) = document.leaving();
        let (path, mut writer) = store.begin(&self.header(ino, unsaved, because)?)?;
        let leaving = document.leave(parts, patience, |part| {
            writer.add(&match part {
                Leaving::Data(offset, bytes) => Part::Data(offset, bytes.into()),
                Leaving::Zero(offset, length) => Part::Zero(offset, length),
                Leaving::Missing(offset, length) => Part::Missing(offset, length),
            })
        });
        leaving.await?;
        writer.finish()?;
        Ok(store.at(path))
    }

    fn header(&self, ino: INodeNo, unsaved: Unsaved, because: &Failure) -> std::io::Result<Header> {
        let place = self.known(ino).ok().and_then(|inode| inode.place);
        let (folder, name) = match place {
            Some((parent, name)) => (parent, name),
            None => (ROOT, "document".parse().map_err(std::io::Error::other)?),
        };
        let Unsaved { base, size, mtime_ns, mode } = unsaved;
        Ok(Header {
            name,
            folder_path: self.path(folder),
            folder: self.known(folder).ok().map(|inode| inode.attr.node),
            base,
            size,
            mtime_ns,
            mode,
            kept_at: self.options.clock.now(),
            why: because.why.clone(),
        })
    }

    /// Makes a conflict copy of each draft that an earlier mount of this user kept. A silent server is asked again; what cannot
    /// be copied for another reason stays kept.
    pub async fn offer_kept(self: Arc<Self>, cancel: CancellationToken) {
        let Some(store) = self.options.recovery.clone().filter(|_| !self.options.read_only) else { return };
        let mut pauses = KEPT_DRAFTS.pause.begin();
        while self.offer_each(&store, &cancel).await {
            if cancel.run_until_cancelled(tokio::time::sleep(pauses.advance())).await.is_none() {
                return;
            }
        }
    }

    /// Answers whether to ask again later.
    async fn offer_each(self: &Arc<Self>, store: &Store, cancel: &CancellationToken) -> bool {
        let mut silent = false;
        for kept in store.kept() {
            if cancel.is_cancelled() {
                return false;
            }
            let file = kept.path.clone();
            if let Err(failure) = self.offer(store, kept).await {
                silent |= failure.errno == Errno::ETIMEDOUT;
                tracing::warn!(
                    file = %file.display(), why = %failure.full_why(),
                    "a draft that an earlier mount kept stays kept; `3s recover` gives it back"
                );
            }
        }
        silent
    }

    async fn offer(self: &Arc<Self>, store: &Store, kept: Kept) -> Result<(), Failure> {
        let disk = |error: std::io::Error| Failure::new(Errno::EIO, error.to_string());
        let Some(claimed) = kept.claim().map_err(disk)? else { return Ok(()) };
        let unreadable = |error: crate::recovery::Unreadable| Failure::new(Errno::EIO, error.to_string());
        let (header, reader) = claimed.kept.open(store.key()).map_err(unreadable)?;
        if self.was_checked_in(&header).await {
            tracing::info!(path = %header.path(), "a draft that an earlier mount kept is on the server already");
            return claimed.remove().map_err(disk);
        }
        let document = self.taken_up(&header, reader)?;
        let folder = match (header.folder_path.as_str(), header.folder) {
            ("/", _) | (_, None) => self.node(ROOT).await,
            (_, Some(folder)) => Ok(folder),
        };
        let path = if header.folder.is_some() { header.folder_path.as_str() } else { "/" };
        let copy = self.copy_beside(folder, path, header.name.as_str(), &document, header.kept_at).await?;
        tracing::warn!(path = %header.path(), %copy, "a draft that an earlier mount kept is here as a conflict copy");
        Claimed::remove(claimed).map_err(disk)
    }

    /// Whether the check-in that the earlier mount took for failed had happened: the next version is mine, with exactly the
    /// size and the nanosecond that the draft has.
    async fn was_checked_in(&self, header: &Header) -> bool {
        let Ok(attr) = self.remote.attr(NodeRequest { node: header.base.node }).await else { return false };
        attr.version == header.base.version.next()
            && attr.author.as_ref() == Some(self.remote.uid())
            && (attr.size, attr.mtime_ns) == (header.size, header.mtime_ns)
    }

    fn taken_up<R: std::io::Read>(
        &self,
        header: &Header,
        mut reader: Reader<R>,
    ) -> Result<Arc<Document>, Failure> {
        let Header { base, size, mtime_ns, mode, .. } = header.clone();
        let unsaved = Unsaved { base, size, mtime_ns, mode };
        let document = Document::back(self.shared.clone(), unsaved).map_err(|error| self.failed(error))?;
        while let Some(part) = reader.part().map_err(|error| Failure::new(Errno::EIO, error.to_string()))? {
            let put = match part {
                Part::Data(offset, bytes) => document.put_back(offset, &Bytes::from(bytes)),
                Part::Zero(offset, length) => document.put_zeroes_back(offset, length),
                Part::Missing(..) => Ok(()),
            };
            put.map_err(|error| self.failed(error))?;
        }
        Ok(document)
    }
}
