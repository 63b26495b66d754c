//! How a request runs: how long it may take, and whether it goes on when its peer leaves. Which URL has which
//! lifetime stands in the tables.
//!
//! Hyper drops a handler when its connection goes away. For a question that is right; a change that was begun
//! is finished, so that no step behind a commit is left out because a client hung up at that moment.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt};
use parking_lot::Mutex;
use sss_common::Code;
use sss_common::wire::calls::Lifetime;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::Instrument;

use super::Running;
use crate::service::Failure;

/// Until when a JSON body must be here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(pub(super) Instant);

/// What an answer gets beyond the deadline, so that a body that came too late is told so by who waited for
/// it.
const GRACE: Duration = Duration::from_millis(100);

/// Runs a handler as its URL's [`Lifetime`] says.
pub(super) async fn live(
    State((running, lifetime)): State<(Running, Lifetime)>,
    request: Request,
    next: Next,
) -> Response {
    match lifetime {
        Lifetime::Ask => ask(running, request, next).await,
        Lifetime::Act => act(running, request, next).await,
        Lifetime::Load => load(running, request, next).await,
    }
}

/// Dropped with its peer. Answers within the limit; the body of an answer may stream on.
async fn ask(running: Running, mut request: Request, next: Next) -> Response {
    let deadline = give_deadline(&mut request, running.limits.request);
    let answer = timeout_at(deadline + GRACE, unbroken(next.run(request))).await;
    answer.unwrap_or_else(|_| overdue())
}

/// Runs to its end. Its peer waits for the limit.
async fn act(running: Running, mut request: Request, next: Next) -> Response {
    let deadline = give_deadline(&mut request, running.limits.request);
    let task = running.tasks.spawn(unbroken(next.run(request)).in_current_span());
    match timeout_at(deadline + GRACE, task).await {
        Ok(answer) => answer.unwrap_or_else(|_| broken()),
        Err(_) => overdue(),
    }
}

/// Runs to its end; the limit is on silence (see `stream`).
async fn load(running: Running, request: Request, next: Next) -> Response {
    let task = running.tasks.spawn(unbroken(next.run(request)).in_current_span());
    task.await.unwrap_or_else(|_| broken())
}

/// Most of a refused request's body that is read and thrown away.
const DRAIN_BYTES: usize = 64 * 1024 * 1024;

/// The longest that this goes on.
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// Many clients send all of a request before they read the answer. When one is refused early, the rest of its
/// body is read beside the answer, within limits: else the connection would be cut under such a client, and
/// it would never see why.
pub(super) async fn drain_refused(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let left = UnreadBody::default();
    let on_loan = BodyOnLoan { body: Some(body.into_data_stream()), left: left.clone() };
    let answer = next.run(Request::from_parts(parts, Body::from_stream(on_loan))).await;
    if answer.status().is_client_error() || answer.status().is_server_error() {
        tokio::spawn(timeout(DRAIN_TIME, async move {
            let Some(mut rest) = left.lock().take() else { return };
            let mut read = 0;
            while let Some(Ok(chunk)) = rest.next().await {
                read += chunk.len();
                if read > DRAIN_BYTES {
                    return;
                }
            }
        }));
    }
    answer
}

type UnreadBody = Arc<Mutex<Option<BodyDataStream>>>;

/// A body that is given back when its reader drops it unfinished.
struct BodyOnLoan {
    body: Option<BodyDataStream>,
    left: UnreadBody,
}

impl Stream for BodyOnLoan {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.body {
            Some(body) => body.poll_next_unpin(context),
            None => Poll::Ready(None),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.body.as_ref().map_or((0, Some(0)), Stream::size_hint)
    }
}

impl Drop for BodyOnLoan {
    fn drop(&mut self) {
        *self.left.lock() = self.body.take();
    }
}

fn give_deadline(request: &mut Request, limit: Duration) -> Instant {
    let deadline = Instant::now() + limit;
    request.extensions_mut().insert(Deadline(deadline));
    deadline
}

/// A handler's panic is that request's problem and nobody else's.
async fn unbroken(answer: impl Future<Output = Response>) -> Response {
    AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|_| broken())
}

fn broken() -> Response {
    let mut failure = Failure::new(Code::Internal, "the server failed");
    failure.cause = Some("a handler panicked".into());
    failure.into_response()
}

fn overdue() -> Response {
    let mut failure = Failure::new(Code::Unavailable, "the server took too long; try again");
    failure.retry_after = Some(1);
    failure.into_response()
}
