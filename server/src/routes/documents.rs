//! `/v1/documents/@owner/path`: PUT checks in, GET and HEAD check out, DELETE deletes and answers with the
//! receipt. One service call each, except where a header asks about a version that only a first call can
//! tell.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;

use sss_common::{Code, DocPath, Flag, Kind, Version};

use super::conditions::{self, OnlyIf, Verdict, etag};
use super::extract::{AtPath, Params, Session};
use super::session::json;
use super::stream::{Upload, download};
use super::{Answer, App};
use crate::service::{Caller, Checkout, Failure, Outcome, Precondition, RangeRequest};

/// `?flag=integrity`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PutParams {
    flag: Option<Flag>,
}

pub(super) async fn put(
    State(app): State<App>,
    Session(caller): Session,
    AtPath(path): AtPath,
    Params(PutParams { flag }): Params<PutParams>,
    headers: HeaderMap,
    upload: Upload,
) -> Answer {
    if headers.contains_key(CONTENT_RANGE) {
        return Err(Failure::new(Code::BadRequest, "a PUT brings the whole document"));
    }
    let only_if = precondition(&app, &caller, &path, &headers).await?;
    let (body, report) = upload.stream(app.running.limits.document_max)?;
    let outcome = app.service.put_document(&caller, &path, flag, only_if, body).await;
    let (done, created) = report.explain(outcome)?;
    let mut response = json(&done)?;
    *response.status_mut() = if created { StatusCode::CREATED } else { StatusCode::OK };
    response.headers_mut().insert(ETAG, etag(done.version));
    Ok(response)
}

pub(super) async fn get(
    State(app): State<App>,
    Session(caller): Session,
    AtPath(path): AtPath,
    headers: HeaderMap,
) -> Answer {
    let (version, size) = match checkout(&app, &caller, &path, &headers).await {
        Ok((checkout, range)) => {
            if let Some(answer) = conditional(&headers, checkout.attr.version)? {
                return Ok(answer);
            }
            if range == RangeRequest::All || checkout.length > 0 {
                return Ok(content(checkout, range, app.running.limits.idle));
            }
            (checkout.attr.version, checkout.size)
        }
        Err(failure) if failure.code == Code::BadRange => {
            let attr = app.service.head_document(&caller, &path).await?;
            (attr.version, attr.size)
        }
        Err(failure) => return Err(failure),
    };
    match conditional(&headers, version)? {
        Some(answer) => Ok(answer),
        None => Ok(unsatisfiable(size)),
    }
}

pub(super) async fn head(
    State(app): State<App>,
    Session(caller): Session,
    AtPath(path): AtPath,
    headers: HeaderMap,
) -> Answer {
    let attr = app.service.head_document(&caller, &path).await?;
    if attr.kind == Kind::Folder {
        return Err(Failure::new(Code::IsFolder, "it is a folder"));
    }
    match conditional(&headers, attr.version)? {
        Some(answer) => Ok(answer),
        None => Ok(described(Body::empty(), attr.version, attr.size)),
    }
}

pub(super) async fn delete(
    State(app): State<App>,
    Session(caller): Session,
    AtPath(path): AtPath,
    headers: HeaderMap,
) -> Answer {
    let only_if = match conditions::for_change(&headers)? {
        // What is not there cannot be deleted anyway.
        OnlyIf::Anything | OnlyIf::Present => Precondition::None,
        OnlyIf::Version(version) => Precondition::Version(version),
        OnlyIf::Absent => {
            return Err(Failure::new(Code::BadRequest, "If-None-Match makes no sense with DELETE"));
        }
    };
    json(&app.service.delete_document(&caller, &path, only_if).await?)
}

/// `If-Match: *` costs one call more: it becomes the version that is there now.
async fn precondition(
    app: &App,
    caller: &Caller,
    path: &DocPath,
    headers: &HeaderMap,
) -> Outcome<Precondition> {
    Ok(match conditions::for_change(headers)? {
        OnlyIf::Anything => Precondition::None,
        OnlyIf::Absent => Precondition::Absent,
        OnlyIf::Version(version) => Precondition::Version(version),
        OnlyIf::Present => match app.service.head_document(caller, path).await {
            Ok(attr) => Precondition::Version(attr.version),
            Err(failure) if failure.code == Code::NotFound => {
                return Err(Failure::new(Code::VersionMoved, "there is no such document"));
            }
            Err(failure) => return Err(failure),
        },
    })
}

/// The answer that a GET's or HEAD's conditions call for instead of the content.
fn conditional(headers: &HeaderMap, current: Version) -> Outcome<Option<Response>> {
    match conditions::for_reading(headers, current)? {
        Verdict::Send => Ok(None),
        Verdict::NotModified => Ok(Some(not_modified(current))),
        Verdict::Moved => Err(conditions::moved()),
    }
}

/// Checks out the range that is asked for; all of it when `If-Range` names another version than the current
/// one.
async fn checkout(
    app: &App,
    caller: &Caller,
    path: &DocPath,
    headers: &HeaderMap,
) -> Outcome<(Checkout, RangeRequest)> {
    let range = conditions::range(headers);
    let Some(demanded) = conditions::if_range(headers).filter(|_| range != RangeRequest::All) else {
        return Ok((app.service.get_document(caller, path, range).await?, range));
    };
    let current = app.service.head_document(caller, path).await?.version;
    if demanded == Some(current) {
        let checkout = app.service.get_document(caller, path, range).await?;
        if demanded == Some(checkout.attr.version) {
            return Ok((checkout, range));
        }
        // A check-in came between the two calls.
    }
    Ok((app.service.get_document(caller, path, RangeRequest::All).await?, RangeRequest::All))
}

/// The answer to a GET: 200 with all of it, or 206 with a range.
fn content(checkout: Checkout, range: RangeRequest, idle: Duration) -> Response {
    let Checkout { attr, start, length, size, body } = checkout;
    let mut response = described(download(body, idle), attr.version, length);
    if range != RangeRequest::All {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let last = (start + length).saturating_sub(1);
        response.headers_mut().insert(CONTENT_RANGE, text(format!("bytes {start}-{last}/{size}")));
    }
    response
}

fn described(body: Body, version: Version, length: u64) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_LENGTH, length.into());
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    validators(headers, version);
    response
}

fn not_modified(version: Version) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    validators(response.headers_mut(), version);
    response
}

/// Nothing on the way keeps plaintext; who holds a version may ask whether it is still the current one.
fn validators(headers: &mut HeaderMap, version: Version) {
    headers.insert(ETAG, etag(version));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

fn unsatisfiable(size: u64) -> Response {
    let words = format!("the range lies outside of the document's {size} bytes");
    let mut response = Failure::new(Code::BadRange, words).into_response();
    response.headers_mut().insert(CONTENT_RANGE, text(format!("bytes */{size}")));
    response
}

fn text(value: String) -> HeaderValue {
    HeaderValue::from_str(&value).expect("words and digits are a header value")
}

#[cfg(test)]
mod tests;
