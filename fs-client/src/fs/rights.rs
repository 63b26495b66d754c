//! A right that ends, ends: timers, the server's events, and the kernel's pages.
//!
//! Pages are dropped from tasks, never from inside a request: the kernel waits for pages that are being
//! read, and the answers to those reads must be able to come.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fuser::{Errno, INodeNo};
use futures::StreamExt;
use sss_common::Code;
use sss_common::clock::monotonic;
use sss_common::wire::fs::Event;
use tokio_util::sync::CancellationToken;

use super::{Failure, Fs};
use crate::document::Document;
use crate::remote::RemoteError;
use crate::remote::retries::EVENTS;

/// The kernel's page cache, as far as it is told what to drop.
pub trait Pages: Send + Sync {
    /// Drops an inode's pages and attributes. May wait for reads that are under way.
    fn drop_pages(&self, ino: INodeNo) -> std::io::Result<()>;
}

impl Pages for fuser::Notifier {
    fn drop_pages(&self, ino: INodeNo) -> std::io::Result<()> {
        self.inval_inode(ino, 0, 0)
    }
}

/// How long rights are believed in after the last event, until the server has said how often it speaks.
const BELIEVED_AT_FIRST: Duration = Duration::from_secs(10);
/// The same, in announced intervals. The remote ends a stream that is silent for as long.
const BELIEVED_INTERVALS: u32 = 3;

impl Fs {
    /// Says how to reach the kernel's page cache. Before this nothing is dropped, as nothing is mounted.
    pub fn set_notifier(&self, pages: impl Pages + 'static) {
        *self.pages.write() = Some(Arc::new(pages));
    }

    /// Arms a timer for the end of the right to read what is open. One at a time for each document.
    pub(super) fn watch(&self, ino: INodeNo, document: &Arc<Document>) {
        if let Some(end) = document.end_without_timer() {
            self.arm(ino, document, end);
        }
    }

    /// When the right ends, the kernel's pages go, and the next byte must be asked for.
    pub(super) fn arm(&self, ino: INodeNo, document: &Arc<Document>, end: Instant) {
        let (document, pages) = (Arc::downgrade(document), self.pages.read().clone());
        self.shared.runtime.spawn(async move {
            tokio::time::sleep_until(end.into()).await;
            let Some(document) = document.upgrade() else { return };
            if document.ends_at().is_some_and(|end| end <= monotonic()) {
                document.must_ask();
                drop_pages(pages, vec![ino]).await;
            }
        });
    }

    /// Rights changed, or nobody knows whether they did: what is open and not the user's own must be asked
    /// for again before its next byte, cached pages included.
    pub async fn rights_changed(&self) {
        self.attributes.clear();
        let mut inos = Vec::new();
        for document in self.documents.iter().filter(|document| !document.is_owned()) {
            document.must_ask();
            inos.push(*document.key());
        }
        let pages = self.pages.read().clone();
        drop_pages(pages, inos).await;
    }

    /// The session is over and no new login is possible: everything says so from now on, and no page stays.
    pub(super) fn end(&self, failure: Failure) {
        if !self.refusals.end_session(failure.clone()) {
            return;
        }
        tracing::warn!(why = %failure.why, request_id = failure.request_id.as_deref(), "the session is over");
        let inos: Vec<INodeNo> = self.documents.iter().map(|document| *document.key()).collect();
        for document in self.documents.iter() {
            document.must_ask();
        }
        self.shared.runtime.spawn(drop_pages(self.pages.read().clone(), inos));
    }

    /// The session is over, and whether there will be another is open: what is open must be asked for again before its next
    /// byte, the user's own too, and nothing that was remembered or fetched ahead is given any more.
    pub(super) async fn session_ended(&self) {
        self.attributes.clear();
        for file in self.files.iter() {
            file.forget_fetched();
        }
        let mut inos = Vec::new();
        for document in self.documents.iter() {
            document.must_ask();
            inos.push(*document.key());
        }
        let pages = self.pages.read().clone();
        drop_pages(pages, inos).await;
    }

    /// The user is disabled or the machine revoked: every call says so until a login works again.
    async fn suspend(&self, failure: Failure) {
        let (why, request_id) = (failure.why.clone(), failure.request_id.clone());
        if self.refusals.suspend(failure) {
            tracing::warn!(%why, request_id = request_id.as_deref(), "there is no session; logins are tried again");
            self.session_ended().await;
        }
    }

    /// Follows the server's events until `cancel`. A stream that ends, also because it fell silent, is asked
    /// for again; while none speaks, what is open must be asked for again and again.
    pub async fn run_events(self: Arc<Self>, cancel: CancellationToken) {
        let mut believed = BELIEVED_AT_FIRST;
        let mut pauses = EVENTS.pause.begin();
        let mut heard = monotonic();
        while !cancel.is_cancelled() && !self.refusals.is_over_for_good() {
            let before = heard;
            if cancel.run_until_cancelled(self.follow(&mut believed, &mut heard)).await.is_none() {
                return;
            }
            if heard > before {
                pauses.reset();
            }
            if heard.elapsed() >= believed {
                self.rights_changed().await;
                heard = monotonic();
            }
            if cancel.run_until_cancelled(tokio::time::sleep(pauses.advance())).await.is_none() {
                return;
            }
        }
    }

    /// Until the stream ends.
    async fn follow(&self, believed: &mut Duration, heard: &mut Instant) {
        let mut events = match self.remote.events().await {
            Ok(events) => events,
            Err(error) => {
                match error {
                    RemoteError::Refused { code: Code::SessionReplaced, .. } => drop(self.refused(error)),
                    RemoteError::Refused { code: Code::SessionRevoked, .. } => {
                        self.suspend(error.into()).await
                    }
                    _ => {}
                }
                return;
            }
        };
        if self.refusals.resume() {
            tracing::info!("there is a session again");
            self.retry.notify_one();
        }
        // What happened while nobody listened is not told again.
        let mut missed = true;
        while let Some(event) = events.next().await {
            *heard = monotonic();
            if std::mem::take(&mut missed) {
                self.rights_changed().await;
            }
            match event {
                Event::Alive { every_ms } => {
                    *believed = Duration::from_millis(every_ms.max(1)).saturating_mul(BELIEVED_INTERVALS);
                }
                Event::RightsChanged => self.rights_changed().await,
                // For whoever holds the identity; see `run::renewal`.
                Event::RevocationsChanged => {}
                Event::SessionReplaced { by_node } => {
                    let why =
                        format!("session replaced by node {by_node}; mount again to take the session back");
                    self.end(Failure::new(Errno::from_i32(libc::EKEYREVOKED), why));
                    return;
                }
                Event::SessionEnded { reason } => {
                    tracing::info!(%reason, "the session ended");
                    self.session_ended().await;
                    return;
                }
            }
        }
    }
}

pub(super) async fn drop_pages(pages: Option<Arc<dyn Pages>>, inos: Vec<INodeNo>) {
    let Some(pages) = pages.filter(|_| !inos.is_empty()) else { return };
    let dropped = tokio::task::spawn_blocking(move || {
        for ino in inos {
            if let Err(error) = pages.drop_pages(ino) {
                tracing::warn!(%ino, %error, "the kernel's pages could not be dropped");
            }
        }
    });
    if dropped.await.is_err() {
        tracing::error!("dropping the kernel's pages failed");
    }
}
