//! Around every request: its id, its line in the log, and the body of its problem.
//!
//! What is logged: method, path template (never the path, which names people's documents), node, user,
//! status, duration, code and cause. Never: headers, bodies, challenges, statements, signatures, tokens.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use sss_common::clock::monotonic;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use rand::RngCore;
use tracing::{Instrument, Level, Span, field};

use super::{Machine, problem};
use crate::service::Failure;

/// Finds a request in the log: 16 hex digits.
#[derive(Clone, Debug)]
pub(super) struct RequestId(Arc<str>);

impl RequestId {
    pub(super) fn fresh() -> Self {
        RequestId(hex::encode(rand::thread_rng().next_u64().to_be_bytes()).into())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(super) async fn observe(mut request: Request, next: Next) -> Response {
    let started = monotonic();
    let id = RequestId::fresh();
    let span = span(&id, &request);
    request.extensions_mut().insert(id.clone());
    let response = next.run(request).instrument(span.clone()).await;
    span.in_scope(|| conclude(response, &id, started))
}

/// The answer to a request that does not reach the routes.
pub(super) fn refuse(failure: Failure, machine: &Machine) -> Response {
    let id = RequestId::fresh();
    let span = tracing::info_span!("request", %id, node = machine.name.as_str());
    span.in_scope(|| conclude(failure.into_response(), &id, monotonic()))
}

fn span(id: &RequestId, request: &Request) -> Span {
    let path = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str);
    let node = request.extensions().get::<Machine>().map_or("-", |machine| machine.name.as_str());
    tracing::info_span!("request", %id, method = %request.method(), path, node, user = field::Empty)
}

fn conclude(mut response: Response, id: &RequestId, started: Instant) -> Response {
    let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut response = match problem::of(&mut response) {
        Some(failure) => {
            log_failure(&failure, &format!("refused after {ms} ms"));
            problem::render(&failure, id.as_str(), response)
        }
        None => {
            tracing::debug!(status = response.status().as_u16(), ms, "answered");
            response
        }
    };
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}

/// One line about a failure, as loud as its code deserves.
pub(super) fn log_failure(failure: &Failure, what: &str) {
    let (code, status, detail) = (failure.code.as_str(), failure.code.status(), &*failure.detail);
    let cause = failure.cause.as_deref().map(Causes);
    let cause = cause.as_ref().map(field::display);
    // The level of a tracing macro is fixed where it stands.
    match problem::level(failure.code) {
        Level::ERROR => tracing::error!(code, status, cause, detail, "{what}"),
        Level::WARN => tracing::warn!(code, status, cause, detail, "{what}"),
        Level::INFO => tracing::info!(code, status, cause, detail, "{what}"),
        _ => tracing::debug!(code, status, cause, detail, "{what}"),
    }
}

/// An error with what it rests on, in one line.
struct Causes<'a>(&'a (dyn std::error::Error + Send + Sync));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut below = self.0.source();
        while let Some(error) = below {
            write!(f, ": {error}")?;
            below = error.source();
        }
        Ok(())
    }
}
