//! `/v1/health`, `/v1/challenge`, `/v1/login`, `/v1/logout`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use sss_common::Code;
use sss_common::wire::session::{ChallengeRequest, Health, LoginRequest};

use super::extract::{Json, Session};
use super::{Answer, App};
use crate::service::{Failure, Peer};

pub(super) async fn health(_: Peer) -> Answer {
    json(&Health { status: "ok".into(), version: env!("CARGO_PKG_VERSION").into() })
}

pub(super) async fn challenge(
    State(app): State<App>,
    peer: Peer,
    Json(request): Json<ChallengeRequest>,
) -> Answer {
    json(&app.service.logins.challenge(&peer, request).await?)
}

pub(super) async fn login(State(app): State<App>, peer: Peer, Json(request): Json<LoginRequest>) -> Answer {
    json(&app.service.logins.login(&peer, request).await?)
}

pub(super) async fn logout(State(app): State<App>, Session(caller): Session) -> Answer {
    app.service.logins.logout(&caller).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// An answer that is JSON, and nobody's to cache.
pub(super) fn json(value: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(value).map_err(|error| {
        let mut failure = Failure::new(Code::Internal, "the answer could not be written");
        failure.cause = Some(error.into());
        failure
    })?;
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
