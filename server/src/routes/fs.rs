//! `/v1/fs/…`: the mount's calls. The plain ones are JSON in, one service call, JSON out, and come from the
//! table in `sss_common::wire::calls`: the call `x` is the service's `fs_x`. The three others are written
//! out.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use futures::StreamExt;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use sss_common::limits::{DOCUMENT_MAX, READ_MAX};
use sss_common::wire::calls::*;
use sss_common::{Code, NodeId, Version, fs_calls};

use super::conditions;
use super::extract::{Json, Params, Session};
use super::session::json;
use super::stream::{Upload, download};
use super::{Answer, App};
use crate::service::{CheckinId, Failure, RangeRequest};

macro_rules! plain_handlers {
    (
        plain { $(
            $(#[$doc:meta])*
            $name:ident($request:ty) -> $answer:ty, $lifetime:ident, $($repeat:ident)::+;
        )* }
        streamed { $($streamed:tt)* }
    ) => { pastey::paste! { $(
        pub(super) async fn $name(
            State(app): State<App>,
            Session(caller): Session,
            Json(request): Json<$request>,
        ) -> Answer {
            let answer: $answer = app.service.[<fs_ $name>](&caller, request).await?.into();
            json(&answer)
        }
    )* } };
}

fs_calls!(plain_handlers);

/// `Range: bytes=a-b` is required, and says at most `READ_MAX` bytes. One round trip; the blocks stream as
/// they open.
pub(super) async fn read(
    State(app): State<App>,
    Session(caller): Session,
    Path((node, version)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let (node, version) = (node_id(&node)?, parse_version(&version)?);
    let (offset, length) = bounded(conditions::range(&headers))?;
    let (length, body) = app.service.fs_read(&caller, node, version, offset, length).await?;
    if length == 0 {
        return Err(Failure::new(Code::BadRange, "the range begins behind the document's end"));
    }
    let mut response = Response::new(download(body, app.running.limits.idle));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let range = format!("bytes {offset}-{}/*", offset + (length - 1));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_LENGTH, length.into());
    headers.insert(CONTENT_RANGE, HeaderValue::from_str(&range).expect("digits are a header value"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn bounded(range: RangeRequest) -> Result<(u64, u64), Failure> {
    let RangeRequest::From(first, Some(last)) = range else {
        return Err(Failure::new(Code::BadRequest, "a read needs `Range: bytes=FIRST-LAST`"));
    };
    let length = (last - first).saturating_add(1);
    if length > READ_MAX as u64 {
        return Err(Failure::new(Code::TooLarge, format!("a read is for at most {READ_MAX} bytes")));
    }
    if last >= DOCUMENT_MAX {
        return Err(Failure::new(Code::BadRange, "the range begins behind the document's end"));
    }
    Ok((first, length))
}

/// `?base=3&id=…`: the version that the draft started from, and the check-in's own id, under which it may be
/// sent again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckinParams {
    base: Version,
    id: Option<String>,
}

impl CheckinParams {
    fn id(&self) -> Result<Option<CheckinId>, Failure> {
        let Some(text) = &self.id else { return Ok(None) };
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id)
            .map_err(|_| Failure::new(Code::BadRequest, "`id` is 32 hexadecimal digits"))?;
        Ok(Some(CheckinId(id)))
    }
}

pub(super) async fn checkin(
    State(app): State<App>,
    Session(caller): Session,
    Path(node): Path<String>,
    Params(params): Params<CheckinParams>,
    upload: Upload,
) -> Answer {
    let node = node_id(&node)?;
    let id = params.id()?;
    // Frame headers and blocks that are sent twice come on top of the document's own bytes.
    let (body, report) = upload.stream(app.running.limits.document_max.saturating_mul(2))?;
    let outcome = app.service.fs_checkin(&caller, node, params.base, id, body).await;
    json(&report.explain(outcome)?)
}

/// JSON lines until the session or the server ends.
pub(super) async fn events(State(app): State<App>, Session(caller): Session) -> Answer {
    let events = app.service.fs_events(&caller).await?;
    let lines = events.map(|event| {
        let mut line = serde_json::to_vec(&event)?;
        line.push(b'\n');
        Ok::<_, serde_json::Error>(line)
    });
    let until_stop = lines.take_until(app.running.stopping.clone().cancelled_owned());
    let mut response = Response::new(Body::from_stream(until_stop));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn node_id(text: &str) -> Result<NodeId, Failure> {
    text.parse().map_err(|error: sss_common::id::NotAnId| Failure::new(Code::BadRequest, error.to_string()))
}

fn parse_version(text: &str) -> Result<Version, Failure> {
    text.parse().map(Version).map_err(|_| Failure::new(Code::BadRequest, "a version is a number"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reads_have_both_ends_and_a_limit() {
        let code = |range| bounded(range).map_err(|failure| failure.code);
        let most = READ_MAX as u64;
        assert_eq!(code(RangeRequest::From(5, Some(5))), Ok((5, 1)));
        assert_eq!(code(RangeRequest::From(0, Some(most - 1))), Ok((0, most)));
        assert_eq!(code(RangeRequest::From(0, Some(most))), Err(Code::TooLarge));
        assert_eq!(code(RangeRequest::From(0, Some(u64::MAX))), Err(Code::TooLarge));
        assert_eq!(code(RangeRequest::From(DOCUMENT_MAX, Some(DOCUMENT_MAX))), Err(Code::BadRange));
        for open in [RangeRequest::All, RangeRequest::From(0, None), RangeRequest::Last(3)] {
            assert_eq!(code(open), Err(Code::BadRequest));
        }
    }

    #[test]
    fn a_check_ins_query() {
        let parse = |query: &str| {
            let uri: http::Uri = format!("/v1/fs/checkin/x?{query}").parse().unwrap();
            axum::extract::Query::<CheckinParams>::try_from_uri(&uri).map(|query| query.0)
        };
        assert_eq!(parse("base=3").unwrap().base, Version(3));
        assert_eq!(parse("base=3").unwrap().id().unwrap(), None);
        assert_eq!(
            parse(&format!("base=3&id={}", "0a".repeat(16))).unwrap().id().unwrap(),
            Some(CheckinId([10; 16]))
        );
        assert!(parse("base=3&id=0a").unwrap().id().is_err());
        for bad in ["", "base=x", "base=-1", "base=3&bsae=4"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
