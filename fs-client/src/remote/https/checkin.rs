//! A check-in's upload.
//!
//! A deadline for the whole would fail large documents on slow lines, and the program that writes the
//! document may pause as long as it likes. So the clock runs only while the network is what is waited for:
//! from a chunk handed over until the next one is asked for, and from the last one until the answer. No
//! copies: the framed chunks go to the connection as they are.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use rand::RngCore;
use reqwest::{Body, Method};
use sss_common::wire::calls::{Attr, call};
use sss_common::{NodeId, Version};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::session::{Token, Verdict};
use super::transport::Lost;
use super::{Https, answer};
use crate::remote::retries::ANSWER_TIMEOUTS;
use crate::remote::{CheckinBody, RemoteError, Result};

/// Bodies up to this size are sent in one piece.
const JOIN_MAX: usize = 64 * 1024;

/// What the upload waits for.
#[derive(Clone, Copy, Debug)]
enum Waiting {
    /// The program, for more to send.
    Program,
    /// The network, to take what it was handed.
    Network(Instant),
    /// The server's answer.
    Answer(Instant),
}

impl Https {
    pub(super) async fn check_in(&self, node: NodeId, base: Version, body: CheckinBody) -> Result<Attr> {
        let mut id = [0; 16];
        rand::rngs::OsRng.fill_bytes(&mut id);
        let id = u128::from_be_bytes(id);
        let path = format!("{}?base={base}&id={id:032x}", call::checkin.url.path_to(&[&node]));
        match body {
            CheckinBody::Whole(parts) => {
                let parts = joined(parts);
                // The id makes a repetition safe: the server answers it with the first one's outcome.
                self.attempts((call::checkin.repeat)(&()), |token| {
                    let items = stream::iter(parts.clone().into_iter().map(Ok)).boxed();
                    self.upload(&path, token, items, Some(parts.iter().map(Bytes::len).sum()))
                })
                .await
            }
            CheckinBody::Stream(items) => self.check_in_stream(&path, items).await,
        }
    }

    /// A stream can be sent once only. When the session turns out to have ended, the next attempt (the
    /// mount's, with the whole body) finds a new one.
    async fn check_in_stream(
        &self,
        path: &str,
        items: BoxStream<'static, std::io::Result<Bytes>>,
    ) -> Result<Attr> {
        let token = self.token().await?;
        match self.upload(path, token.clone(), items, None).await {
            Ok(attr) => Ok(attr),
            Err(Lost::Broken(why)) => {
                let error = self.transport.why_broken(why).await;
                self.session.refused(&token, &error);
                Err(error)
            }
            Err(Lost::Final(error)) => match self.session.refused(&token, &error) {
                Verdict::Report => Err(error),
                Verdict::Again => {
                    self.renewed_token().await?;
                    let why = "the session was renewed during the check-in, so nothing was committed";
                    Err(RemoteError::Unreachable(why.into()))
                }
            },
        }
    }

    async fn upload(
        &self,
        path: &str,
        token: Arc<Token>,
        items: BoxStream<'static, std::io::Result<Bytes>>,
        length: Option<usize>,
    ) -> std::result::Result<Attr, Lost> {
        let (progress, watched) = watch::channel(Waiting::Network(Instant::now()));
        let gave_up = Arc::new(parking_lot::Mutex::new(None));
        let body = Body::wrap_stream(observed(items, progress, gave_up.clone()));
        let mut request =
            self.signed(Method::POST, path, &token).header(CONTENT_TYPE, "application/octet-stream");
        if let Some(length) = length {
            request = request.header(CONTENT_LENGTH, length);
        }
        let exchange = async {
            let response = self.transport.send(request.body(body)).await?;
            answer::json(&self.transport, answer::successful(&self.transport, response).await?).await
        };
        let outcome = tokio::select! {
            outcome = exchange => outcome,
            limit = stalled(watched, self.transport.timeout()) => Err(self.transport.timed_out(limit).into()),
        };
        match (outcome, gave_up.lock().take()) {
            (Err(Lost::Broken(_)), Some(why)) => Err(given_up(why).into()),
            (outcome, _) => outcome,
        }
    }
}

fn given_up(why: String) -> RemoteError {
    RemoteError::Unreachable(format!("the check-in was given up: {why}"))
}

/// Small bodies become one piece, so that they leave in one packet.
fn joined(parts: Vec<Bytes>) -> Vec<Bytes> {
    let total: usize = parts.iter().map(Bytes::len).sum();
    if parts.len() < 2 || total > JOIN_MAX {
        return parts;
    }
    let mut whole = BytesMut::with_capacity(total);
    parts.iter().for_each(|part| whole.extend_from_slice(part));
    vec![whole.freeze()]
}

/// Passes the items on and notes what is waited for: the connection asks for the next item when it has
/// taken the last one.
fn observed(
    items: BoxStream<'static, std::io::Result<Bytes>>,
    progress: watch::Sender<Waiting>,
    gave_up: Arc<parking_lot::Mutex<Option<String>>>,
) -> BoxStream<'static, std::io::Result<Bytes>> {
    stream::unfold((items, progress, gave_up), |(mut items, progress, gave_up)| async move {
        progress.send_replace(Waiting::Program);
        let item = items.next().await;
        let now = Instant::now();
        progress.send_replace(if item.is_some() { Waiting::Network(now) } else { Waiting::Answer(now) });
        if let Some(Err(error)) = &item {
            *gave_up.lock() = Some(error.to_string());
        }
        Some((item?, (items, progress, gave_up)))
    })
    .boxed()
}

/// Ends when the network, or the answer, took longer than it may; with the limit that ran out.
async fn stalled(mut watched: watch::Receiver<Waiting>, timeout: Duration) -> Duration {
    let mut last = *watched.borrow_and_update();
    loop {
        let (since, limit) = match last {
            Waiting::Program => (None, timeout),
            Waiting::Network(since) => (Some(since), timeout),
            Waiting::Answer(since) => (Some(since), timeout * ANSWER_TIMEOUTS),
        };
        let runs_out = async {
            match since {
                Some(since) => sleep_until(since + limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = runs_out => return limit,
            changed = watched.changed() => match changed {
                Ok(()) => last = *watched.borrow_and_update(),
                // The body was dropped (sent to its end, or the server answered early): what is left is the
                // answer.
                Err(_) => {
                    let since = match last {
                        Waiting::Program => Instant::now(),
                        Waiting::Network(since) | Waiting::Answer(since) => since,
                    };
                    let limit = timeout * ANSWER_TIMEOUTS;
                    sleep_until(since + limit).await;
                    return limit;
                }
            },
        }
    }
}
