//! A mount's line to the event stream, and how the driver knows that all that was told so far has been heard.
//!
//! The server says a mark to everyone who listens, in the number of a sign of life. Events come in order, and a mount asks
//! for the next one when it has done what the last one asks for: once it asks for what comes behind the mark, it has
//! heard everything before it. A mark changes nothing, so what a mount was not told of stays unknown to it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, unfold};
use sss_common::wire::calls::*;
use sss_common::{NodeId, Uid, Version, fs_calls};
use sss_fs_client::fs::Fs;
use sss_fs_client::remote::{Calls, CheckinBody, Remote, RemoteError, Result};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Marks begin here, beyond all intervals (in milliseconds) that a server announces.
const FIRST_MARK: u64 = 1 << 32;

/// How long an event may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a server says that it is alive, for the mark of this number.
pub(crate) fn mark(number: u64) -> u64 {
    FIRST_MARK + number
}

/// What a mount has heard.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    /// The stream's first event.
    greeting: bool,
    mark: u64,
    /// Nothing more will come: the session is over.
    end: bool,
}

/// A session whose events are watched.
pub(crate) struct Watched {
    inner: Arc<dyn Remote>,
    heard: watch::Sender<Heard>,
}

impl Watched {
    pub(crate) fn new(inner: Arc<dyn Remote>) -> Arc<Self> {
        Arc::new(Watched { inner, heard: watch::Sender::new(Heard::default()) })
    }
}

/// A mount that listens, until this is dropped.
pub(crate) struct Line {
    remote: Arc<Watched>,
    fs: Arc<Fs>,
    cancel: CancellationToken,
}

impl Line {
    /// Nothing is heard yet.
    pub(crate) fn new(remote: Arc<Watched>, fs: Arc<Fs>) -> Self {
        Line { remote, fs, cancel: CancellationToken::new() }
    }

    /// Listens from now on, and has heard the first event. A session that is over stays so.
    pub(crate) async fn listen(&mut self) {
        self.hush();
        if self.remote.heard.borrow().end {
            return;
        }
        self.remote.heard.send_replace(Heard::default());
        self.cancel = CancellationToken::new();
        tokio::spawn(self.fs.clone().run_events(self.cancel.clone()));
        self.wait(|heard| heard.greeting).await;
    }

    /// Listens no more.
    pub(crate) fn hush(&self) {
        self.cancel.cancel();
    }

    /// Everything was heard that was told before the mark of this number.
    pub(crate) async fn has_heard(&self, number: u64) {
        self.wait(|heard| heard.mark >= mark(number)).await;
    }

    async fn wait(&self, until: impl Fn(&Heard) -> bool) {
        let mut heard = self.remote.heard.subscribe();
        let waited = tokio::time::timeout(PATIENCE, heard.wait_for(|heard| heard.end || until(heard))).await;
        match waited.map(|answer| answer.is_ok_and(|heard| heard.end)) {
            Ok(true) => self.hush(),
            Ok(false) => {}
            Err(_) => {
                panic!("a mount of {} hears nothing: {:?}", self.remote.uid(), self.remote.heard.borrow())
            }
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.hush();
    }
}

/// The stream, and the event that the mount is at.
struct Told {
    stream: BoxStream<'static, Event>,
    last: Option<Event>,
    heard: watch::Sender<Heard>,
}

impl Told {
    /// The mount has done what the last event asks for.
    fn done(&mut self) {
        match self.last.take() {
            Some(Event::Alive { every_ms }) if every_ms >= FIRST_MARK => {
                self.heard.send_modify(|heard| heard.mark = heard.mark.max(every_ms));
            }
            Some(Event::SessionReplaced { .. } | Event::SessionEnded { .. }) => {
                self.heard.send_modify(|heard| heard.end = true);
            }
            Some(_) => self.heard.send_modify(|heard| heard.greeting = true),
            None => {}
        }
    }
}

/// Behind the last event of a session nothing is asked for.
impl Drop for Told {
    fn drop(&mut self) {
        if !matches!(self.last, Some(Event::Alive { .. } | Event::RightsChanged)) {
            self.done();
        }
    }
}

macro_rules! calls {
    (
        plain { $(
            $(#[$doc:meta])*
            $name:ident($request:ty) -> $answer:ty, $lifetime:ident, $($repeat:ident)::+;
        )* }
        streamed { $($streamed:tt)* }
    ) => {
        #[async_trait]
        impl Calls for Watched {
            $(async fn $name(&self, request: $request) -> Result<$answer> {
                self.inner.$name(request).await
            })*
        }
    };
}

fs_calls!(calls);

#[async_trait]
impl Remote for Watched {
    fn uid(&self) -> &Uid {
        self.inner.uid()
    }

    async fn read(&self, pin: Pin, offset: u64, length: usize) -> Result<Bytes> {
        self.inner.read(pin, offset, length).await
    }

    async fn checkin(&self, node: NodeId, base: Version, body: CheckinBody) -> Result<Attr> {
        self.inner.checkin(node, base, body).await
    }

    async fn events(&self) -> Result<BoxStream<'static, Event>> {
        let over = |error: &RemoteError| {
            if matches!(error, RemoteError::Refused { .. }) {
                self.heard.send_modify(|heard| heard.end = true);
            }
        };
        let stream = self.inner.events().await.inspect_err(over)?;
        let told = Told { stream, last: None, heard: self.heard.clone() };
        let events = unfold(told, |mut told| async {
            told.done();
            let event = told.stream.next().await?;
            told.last = Some(event.clone());
            Some((event, told))
        });
        Ok(events.boxed())
    }

    async fn logout(&self) -> Result<()> {
        self.inner.logout().await
    }
}
