//! A body that stops as soon as its machine's certificate is revoked, also while it stands still, and that keeps its connection from counting as idle.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, sleep_until};

use super::Tls;
use super::identity::CertificateId;

/// Whether a connection's certificate still counts.
pub(super) struct Gate {
    pub(super) tls: Arc<Tls>,
    pub(super) certificate: CertificateId,
}

impl Gate {
    pub(super) fn is_shut(&self) -> bool {
        self.tls.is_revoked(&self.certificate)
    }

    /// Returns once it is shut.
    async fn shut(self: Arc<Self>) {
        let mut reloads = self.tls.reloads();
        while !self.is_shut() && reloads.changed().await.is_ok() {}
    }
}

const REVOKED: &str = "the certificate was revoked";

/// A request's or answer's body behind a gate.
pub(super) struct Guarded<B> {
    inner: B,
    gate: Arc<Gate>,
    /// Wakes a body that stands still when its gate shuts.
    shut: Option<BoxFuture<'static, ()>>,
    _busy: Option<Busy>,
}

impl<B> Guarded<B> {
    pub(super) fn new(inner: B, gate: Arc<Gate>, busy: Option<Busy>) -> Self {
        Guarded { inner, gate, shut: None, _busy: busy }
    }
}

impl<B> Body for Guarded<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        match frame {
            Poll::Ready(Some(_)) if self.gate.is_shut() => Poll::Ready(Some(Err(REVOKED.into()))),
            Poll::Ready(Some(frame)) => Poll::Ready(Some(frame.map_err(Into::into))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                let gate = self.gate.clone();
                let shut = self.shut.get_or_insert_with(|| gate.shut().boxed());
                ready!(shut.poll_unpin(context));
                self.shut = None;
                Poll::Ready(Some(Err(REVOKED.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// How busy a connection is.
pub(super) struct Activity {
    since: Instant,
    requests: AtomicUsize,
    last_ms: AtomicU64,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Activity { since: Instant::now(), requests: 0.into(), last_ms: 0.into() })
    }

    /// A request; it lasts until the value is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.requests.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// Returns once there was no request for so long.
    pub(super) async fn idle(&self, limit: Duration) {
        loop {
            let last = self.since + Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
            let now = Instant::now();
            let due = if self.requests.load(Ordering::Relaxed) > 0 { now + limit } else { last + limit };
            if due <= now {
                return;
            }
            sleep_until(due).await;
        }
    }
}

/// A request under way.
pub(super) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        let ms = u64::try_from(self.0.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last_ms.store(ms, Ordering::Relaxed);
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}
