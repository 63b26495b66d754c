//! Failures as `application/problem+json`: a stable code, public words, the request's id; the cause stays
//! here.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use sss_common::{Code, Problem};
use tracing::Level;

use crate::service::Failure;

/// The answer's body is written by `render`, which knows the request's id; here the failure only travels.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status(self.code);
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// The failure that an answer carries; one made from the status when something else than a handler answered.
pub(super) fn of(response: &mut Response) -> Option<Arc<Failure>> {
    if let Some(failure) = response.extensions_mut().remove::<Arc<Failure>>() {
        return Some(failure);
    }
    let status = response.status();
    let failed = status.is_client_error() || status.is_server_error();
    failed.then(|| {
        let words = status.canonical_reason().unwrap_or("the request failed").to_lowercase();
        Arc::new(Failure::new(code_of(status), words))
    })
}

/// Writes the failure into the answer; headers that the handler set (`Allow`, `Content-Range`) stay.
pub(super) fn render(failure: &Failure, request_id: &str, response: Response) -> Response {
    let (mut parts, _) = response.into_parts();
    let problem = Problem::new(failure.code, failure.detail.clone(), request_id);
    parts.status = status(failure.code);
    let headers = &mut parts.headers;
    headers.remove(http::header::CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if parts.status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"3S\""));
    }
    if let Some(seconds) = failure.retry_after {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    // A `Problem` has text and numbers only, so it always serialises.
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    Response::from_parts(parts, Body::from(body))
}

/// How loud the log is about it: what users do every day is no warning.
pub(super) fn level(code: Code) -> Level {
    match code {
        Code::Integrity | Code::Internal | Code::NotErased => Level::ERROR,
        Code::DiskFull | Code::Unavailable => Level::WARN,
        Code::LoginRefused
        | Code::Throttled
        | Code::SessionReplaced
        | Code::SessionRevoked
        | Code::Quota
        | Code::RequestTimeout => Level::INFO,
        Code::BadRequest
        | Code::BadGrant
        | Code::BadName
        | Code::NameTooLong
        | Code::NotLoggedIn
        | Code::SessionExpired
        | Code::NoRight
        | Code::GrantEnded
        | Code::NotFound
        | Code::MethodNotAllowed
        | Code::Exists
        | Code::NotEmpty
        | Code::IsFolder
        | Code::NotFolder
        | Code::Loop
        | Code::OtherHome
        | Code::VersionGone
        | Code::VersionMoved
        | Code::TooLarge
        | Code::BadRange
        | Code::HeadersTooLarge => Level::DEBUG,
    }
}

fn status(code: Code) -> StatusCode {
    StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn code_of(status: StatusCode) -> Code {
    match status.as_u16() {
        404 => Code::NotFound,
        405 => Code::MethodNotAllowed,
        408 => Code::RequestTimeout,
        413 => Code::TooLarge,
        416 => Code::BadRange,
        431 => Code::HeadersTooLarge,
        503 => Code::Unavailable,
        400..=499 => Code::BadRequest,
        _ => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    async fn rendered(failure: Failure) -> (StatusCode, http::HeaderMap, Problem) {
        let mut response = failure.into_response();
        let failure = of(&mut response).unwrap();
        let (parts, body) = render(&failure, "0123456789abcdef", response).into_parts();
        let bytes = axum::body::to_bytes(body, 10_000).await.unwrap();
        (parts.status, parts.headers, serde_json::from_slice(&bytes).unwrap())
    }

    /// One line per code: a reviewer sees every change of status, loudness or header here.
    #[tokio::test]
    async fn every_code_golden() {
        let mut lines = Vec::new();
        for &code in Code::EVERY {
            let (status, headers, problem) = rendered(Failure::new(code, "words")).await;
            assert_eq!(headers[CONTENT_TYPE], "application/problem+json");
            assert_eq!((problem.status, problem.code, &*problem.detail), (status.as_u16(), code, "words"));
            assert_eq!(problem.request_id, "0123456789abcdef");
            let challenge = if headers.contains_key(WWW_AUTHENTICATE) { " Bearer" } else { "" };
            lines.push(format!("{code} {} {}{challenge}", status.as_u16(), level(code)));
        }
        assert_eq!(lines.join("\n"), include_str!("problem.golden").trim_end());
    }

    #[tokio::test]
    async fn the_cause_stays_and_the_wait_goes_out() {
        let mut failure = Failure::new(Code::Throttled, "wait");
        failure.cause = Some("the secret cause".into());
        failure.retry_after = Some(7);
        let (_, headers, problem) = rendered(failure).await;
        assert_eq!(headers[RETRY_AFTER], "7");
        assert!(!serde_json::to_string(&problem).unwrap().contains("secret"));
    }

    #[test]
    fn an_answer_that_no_handler_gave_becomes_a_problem() {
        for (status, code) in [(400, Code::BadRequest), (404, Code::NotFound), (502, Code::Internal)] {
            let mut response = StatusCode::from_u16(status).unwrap().into_response();
            assert_eq!(of(&mut response).unwrap().code, code);
        }
        assert!(of(&mut StatusCode::NOT_MODIFIED.into_response()).is_none());
        assert!(of(&mut StatusCode::OK.into_response()).is_none());
    }
}
