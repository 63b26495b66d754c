//! `/v1/grants/@owner/path`.

use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;
use serde::Deserialize;
use sss_common::wire::documents::GrantRequest;
use sss_common::{Code, Grantee};

use super::extract::{AtPath, Params, Session, WholeBody, parse_json};
use super::session::json;
use super::{Answer, App};
use crate::service::Failure;

pub(super) async fn put(
    State(app): State<App>,
    Session(caller): Session,
    AtPath(path): AtPath,
    WholeBody(body): WholeBody,
) -> Answer {
    let request: GrantRequest = parse_json(&body, Code::BadGrant)?;
    request.when().map_err(|words| Failure::new(Code::BadGrant, words))?;
    json(&app.service.sharing.put_grant(&caller, &path, request).await?)
}

pub(super) async fn get(State(app): State<App>, Session(caller): Session, AtPath(path): AtPath) -> Answer {
    json(&app.service.sharing.get_grants(&caller, &path).await?)
}

/// `?grantee=bob`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    grantee: Grantee,
}

pub(super) async fn delete(
    State(app): State<App>,
    Session(caller): Session,
    AtPath(path): AtPath,
    Params(whose): Params<Whose>,
) -> Answer {
    app.service.sharing.delete_grant(&caller, &path, &whose.grantee).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
