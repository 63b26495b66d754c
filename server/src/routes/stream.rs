//! Bodies that stream, both ways: silence has a limit, not the whole.
//!
//! Chunks pass without a copy. An upload that goes wrong tells the service only that reading failed;
//! [`UploadReport`] keeps what it was, for the answer.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use http::header::CONTENT_LENGTH;
use sss_common::Code;
use tokio::time::timeout;
use tracing::Span;

use super::{App, observe};
use crate::service::{ByteStream, Failure, Outcome, StreamFailed};

/// A request's body, not yet read.
pub(super) struct Upload {
    body: Body,
    announced: Option<u64>,
    idle: Duration,
}

impl FromRequest<App> for Upload {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Result<Self, Failure> {
        Ok(Upload::new(request, app.running.limits.idle))
    }
}

impl Upload {
    pub(super) fn new(request: Request, idle: Duration) -> Self {
        let length = request.headers().get(CONTENT_LENGTH);
        let announced = length.and_then(|value| value.to_str().ok()?.parse().ok());
        Upload { body: request.into_body(), announced, idle }
    }

    /// The body as a stream of at most `limit` bytes. One that announces more is refused unread.
    pub(super) fn stream(self, limit: u64) -> Outcome<(ByteStream, UploadReport)> {
        if self.announced.is_some_and(|length| length > limit) {
            return Err(UploadError::TooLarge.failure());
        }
        let report = UploadReport::default();
        let reader = Reader {
            chunks: self.body.into_data_stream(),
            left: limit,
            idle: self.idle,
            report: report.clone(),
        };
        let chunks = stream::unfold(Some(reader), async |reader| {
            let mut reader = reader?;
            match reader.next().await? {
                Ok(chunk) => Some((Ok(chunk), Some(reader))),
                Err(error) => {
                    let _ = reader.report.0.set(error);
                    Some((Err(error.io()), None))
                }
            }
        });
        Ok((chunks.boxed(), report))
    }
}

struct Reader {
    chunks: BodyDataStream,
    left: u64,
    idle: Duration,
    report: UploadReport,
}

impl Reader {
    async fn next(&mut self) -> Option<Result<Bytes, UploadError>> {
        let chunk = match timeout(self.idle, self.chunks.next()).await {
            Err(_) => return Some(Err(UploadError::Silent)),
            Ok(None) => return None,
            Ok(Some(Err(_))) => return Some(Err(UploadError::Broken)),
            Ok(Some(Ok(chunk))) => chunk,
        };
        match self.left.checked_sub(chunk.len() as u64) {
            None => Some(Err(UploadError::TooLarge)),
            Some(left) => {
                self.left = left;
                Some(Ok(chunk))
            }
        }
    }
}

/// What went wrong with an upload, if anything did.
#[derive(Clone, Debug, Default)]
pub(super) struct UploadReport(Arc<OnceLock<UploadError>>);

impl UploadReport {
    /// The service's outcome, or the reason why it could not read the body.
    pub(super) fn explain<T>(&self, outcome: Outcome<T>) -> Outcome<T> {
        outcome.map_err(|failure| match self.0.get() {
            Some(error) => error.failure(),
            None => failure,
        })
    }
}

#[derive(Clone, Copy, Debug)]
enum UploadError {
    Silent,
    Broken,
    TooLarge,
}

impl UploadError {
    fn io(self) -> std::io::Error {
        let kind = match self {
            UploadError::Silent => std::io::ErrorKind::TimedOut,
            UploadError::Broken => std::io::ErrorKind::UnexpectedEof,
            UploadError::TooLarge => std::io::ErrorKind::FileTooLarge,
        };
        kind.into()
    }

    fn failure(self) -> Failure {
        match self {
            UploadError::Silent => Failure::new(Code::RequestTimeout, "the upload stood still for too long"),
            UploadError::Broken => Failure::new(Code::BadRequest, "the upload broke off"),
            UploadError::TooLarge => {
                Failure::new(Code::TooLarge, "the document is larger than this server takes")
            }
        }
    }
}

/// An answer's body. An error inside it breaks the connection, so that nobody takes a part for the whole.
pub(super) fn download(body: ByteStream, idle: Duration) -> Body {
    let span = Span::current();
    Body::from_stream(stream::unfold(Some((body, span)), move |state| async move {
        let (mut body, span) = state?;
        let error = match timeout(idle, body.next()).await {
            Ok(None) => return None,
            Ok(Some(Ok(chunk))) => return Some((Ok(chunk), Some((body, span)))),
            Ok(Some(Err(error))) => error,
            Err(_) => std::io::ErrorKind::TimedOut.into(),
        };
        span.in_scope(|| log_break(&error));
        Some((Err::<Bytes, _>(error), None))
    }))
}

/// A right that ended in the middle of its answer is no failure of the server's.
fn log_break(error: &std::io::Error) {
    let failure = error.get_ref().and_then(|error| error.downcast_ref::<StreamFailed>());
    match failure {
        Some(StreamFailed(failure)) => observe::log_failure(failure, "an answer broke off"),
        None => tracing::error!(cause = %error, "an answer broke off"),
    }
}
