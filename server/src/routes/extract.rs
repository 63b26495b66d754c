//! Arguments out of requests: who asks, about which path, with what body. Each parses once.

use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use bytes::Bytes;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use sss_common::name::NameError;
use sss_common::wire::text::REFUSALS;
use sss_common::{Code, DocPath};
use tokio::time::timeout_at;
use tracing::{Span, field};

use super::lifetime::Deadline;
use super::observe::RequestId;
use super::{App, JSON_MAX, Machine};
use crate::service::{Caller, Failure, Peer};

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let machine = parts.extensions.get::<Machine>();
        let id = parts.extensions.get::<RequestId>();
        match (machine, id) {
            (Some(machine), Some(id)) => Ok(Peer {
                machine: machine.name.clone(),
                certificate: machine.certificate,
                serves: machine.serves.clone(),
                server: machine.server,
                request_id: id.as_str().into(),
            }),
            _ => Err(Failure::new(Code::Internal, "the request came without a machine")),
        }
    }
}

/// A caller with a live session.
pub(super) struct Session(pub(super) Caller);

impl FromRequestParts<App> for Session {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let peer = Peer::from_request_parts(parts, app).await?;
        let token = bearer(&parts.headers)?;
        let caller = app.service.logins.authenticate(&peer, token).await?;
        Span::current().record("user", field::display(caller.uid()));
        Ok(Session(caller))
    }
}

/// The text behind `Bearer ` (RFC 6750, section 2.1; the scheme's case is free).
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str, Failure> {
    let refused = || Failure::new(Code::NotLoggedIn, "log in and send `Authorization: Bearer TOKEN`");
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(refused()) };
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(refused)?;
    let token = token.trim();
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() { Ok(token) } else { Err(refused()) }
}

/// The document path behind `/v1/documents/` or `/v1/grants/`.
pub(super) struct AtPath(pub(super) DocPath);

impl<S: Sync> FromRequestParts<S> for AtPath {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        // "/v1/FAMILY/@owner/…": what stands behind the third slash, still encoded.
        let path = parts.uri.path().splitn(4, '/').nth(3).unwrap_or_default();
        document_path(path).map(AtPath)
    }
}

/// Decodes segment by segment, so that an encoded slash stays what it is: no part of a name.
pub(super) fn document_path(encoded: &str) -> Result<DocPath, Failure> {
    let segments = encoded.split('/').map(decoded).collect::<Result<Vec<_>, _>>()?;
    segments.join("/").parse().map_err(|error: NameError| {
        let code = match error {
            NameError::TooLong(_) | NameError::TooDeep(_) => Code::NameTooLong,
            _ => Code::BadName,
        };
        Failure::new(code, error.to_string())
    })
}

fn decoded(segment: &str) -> Result<String, Failure> {
    let mut behind = segment.split('%').skip(1);
    let whole = |text: &str| text.len() >= 2 && text.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    if !behind.all(whole) {
        return Err(Failure::new(Code::BadRequest, "`%` in a URL is followed by two hexadecimal digits"));
    }
    let text = percent_decode_str(segment)
        .decode_utf8()
        .map_err(|_| Failure::new(Code::BadName, NameError::NotUtf8.to_string()))?;
    if text.contains('/') {
        return Err(Failure::new(Code::BadName, NameError::Character('/').to_string()));
    }
    Ok(text.into_owned())
}

/// What stands behind `?`.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Params(params)),
            Err(error) => {
                let words = std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string);
                Err(Failure::new(Code::BadRequest, format!("the query cannot be read: {words}")))
            }
        }
    }
}

/// A body of at most [`JSON_MAX`] bytes that came in time.
pub(super) struct WholeBody(pub(super) Bytes);

impl<S: Sync> FromRequest<S> for WholeBody {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let deadline = request.extensions().get::<Deadline>().copied();
        let collected = Limited::new(request.into_body(), JSON_MAX).collect();
        let collected = match deadline {
            Some(Deadline(at)) => timeout_at(at, collected)
                .await
                .map_err(|_| Failure::new(Code::RequestTimeout, "the request took too long to arrive"))?,
            None => collected.await,
        };
        match collected {
            Ok(body) => Ok(WholeBody(body.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => {
                Err(Failure::new(Code::TooLarge, format!("a JSON body has at most {JSON_MAX} bytes")))
            }
            Err(_) => Err(Failure::new(Code::BadRequest, "the request broke off")),
        }
    }
}

/// A JSON body, whatever its `Content-Type` says; none at all counts as `{}`.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let WholeBody(bytes) = WholeBody::from_request(request, state).await?;
        parse_json(&bytes, Code::BadRequest).map(Json)
    }
}

/// Reads a JSON body. `misfit` is the code for JSON whose fields do not fit.
///
/// Serde's words may quote a value, and a value may be a secret in the wrong place; so they go out only where
/// they name a missing field, or are words of ours.
pub(super) fn parse_json<T: DeserializeOwned>(bytes: &[u8], misfit: Code) -> Result<T, Failure> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    serde_json::from_slice(bytes).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        let words = error.to_string();
        if let Some(ours) = REFUSALS.iter().find(|ours| words.starts_with(**ours)) {
            return Failure::new(misfit, *ours);
        }
        match error.classify() {
            serde_json::error::Category::Data if words.starts_with("missing field") => {
                Failure::new(misfit, format!("the request lacks something: {words}"))
            }
            serde_json::error::Category::Data => {
                Failure::new(misfit, format!("a field of the request does not fit ({place})"))
            }
            _ => Failure::new(Code::BadRequest, format!("the body is not JSON ({place})")),
        }
    })
}
