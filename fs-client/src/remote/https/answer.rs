//! An answer's body, read within its limit; or the problem that it is.

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::header::{CONTENT_RANGE, CONTENT_TYPE};
use parking_lot::Mutex;
use reqwest::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sss_common::Problem;

use super::transport::{Lost, Transport};
use crate::remote::RemoteError;

/// Largest JSON answer: a listing of `LIST_MAX` entries with the longest names stays well below.
pub const JSON_MAX: usize = 8 * 1024 * 1024;

/// Largest problem document.
pub const PROBLEM_MAX: usize = 64 * 1024;

const PROBLEM_TYPE: &str = "application/problem+json";

/// Passes an answer of success on; makes an error of every other one.
pub async fn successful(transport: &Transport, response: Response) -> Result<Response, Lost> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    if !has_type(&response, PROBLEM_TYPE) {
        return Err(transport.not_a_server(&format!("status {status} without a problem document")));
    }
    let body = collect(transport, response, PROBLEM_MAX, 0).await?;
    Err(refusal(transport, status, &body))
}

/// The refusal in a problem document. One with a code that a newer server knows is told in its words.
fn refusal(transport: &Transport, status: StatusCode, body: &[u8]) -> Lost {
    #[derive(Deserialize)]
    struct Newer {
        code: String,
        detail: String,
    }
    if let Ok(problem) = serde_json::from_slice::<Problem>(body) {
        let Problem { code, detail, request_id, .. } = problem;
        return RemoteError::Refused { code, detail, request_id: Some(request_id) }.into();
    }
    match serde_json::from_slice::<Newer>(body) {
        Ok(newer) => {
            let Newer { code, detail } = newer;
            let words =
                format!("the server answered `{code}`, which this version of 3s does not know: {detail}");
            RemoteError::Unreachable(words).into()
        }
        Err(_) => transport.not_a_server(&format!("status {status} with a problem that cannot be read")),
    }
}

/// A JSON answer.
pub async fn json<A: DeserializeOwned>(transport: &Transport, response: Response) -> Result<A, Lost> {
    if !has_type(&response, "application/json") {
        return Err(transport.not_a_server("the answer is not JSON"));
    }
    let body = collect(transport, response, JSON_MAX, 0).await?;
    serde_json::from_slice(&body).map_err(|error| transport.not_a_server(&error.to_string()))
}

/// The bytes of a ranged answer that begins at `offset` and has at most `length` bytes, appended to `sink` as
/// they come: what arrived before an answer broke off is kept. One copy, from the connection's buffer.
pub async fn range(
    transport: &Transport,
    mut response: Response,
    offset: u64,
    length: usize,
    sink: &Mutex<BytesMut>,
) -> Result<(), Lost> {
    let announced = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let announced = announced.and_then(content_range);
    let fits = |(first, last): (u64, u64)| first == offset && last - first < length as u64;
    let Some((first, last)) = announced.filter(|range| fits(*range)) else {
        return Err(transport.not_a_server("the answer is not the range that was asked for"));
    };
    let size = usize::try_from(last - first + 1).unwrap_or(length);
    let mut left = size;
    sink.lock().reserve(size);
    loop {
        let next = async { response.chunk().await.map_err(|error| transport.lost(&error)) };
        let Some(chunk) = transport.within(next).await? else { break };
        left = left
            .checked_sub(chunk.len())
            .ok_or_else(|| transport.not_a_server("the answer is larger than it may be"))?;
        sink.lock().extend_from_slice(&chunk);
    }
    match left {
        0 => Ok(()),
        _ => Err(transport.not_a_server("the answer has fewer bytes than it says")),
    }
}

/// `bytes 0-9/10` or `bytes 0-9/*`.
fn content_range(text: &str) -> Option<(u64, u64)> {
    let (range, _size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

/// A whole body of at most `limit` bytes, each part of which arrives within the timeout. `expected` saves
/// the buffer's growing.
async fn collect(
    transport: &Transport,
    mut response: Response,
    limit: usize,
    expected: usize,
) -> Result<Bytes, Lost> {
    let mut whole: Option<Bytes> = None;
    let mut buffer = BytesMut::new();
    loop {
        let next = async { response.chunk().await.map_err(|error| transport.lost(&error)) };
        let Some(chunk) = transport.within(next).await? else { break };
        if chunk.len() + buffer.len() + whole.as_ref().map_or(0, Bytes::len) > limit {
            return Err(transport.not_a_server("the answer is larger than it may be"));
        }
        match whole.take() {
            None if buffer.is_empty() => whole = Some(chunk),
            first => {
                buffer.reserve(if buffer.is_empty() { expected } else { 0 });
                buffer.extend_from_slice(&first.unwrap_or_default());
                buffer.extend_from_slice(&chunk);
            }
        }
    }
    Ok(whole.unwrap_or_else(|| buffer.freeze()))
}

fn has_type(response: &Response, wanted: &str) -> bool {
    let value =
        response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges() {
        assert_eq!(content_range("bytes 0-9/10"), Some((0, 9)));
        assert_eq!(content_range("bytes 5-5/*"), Some((5, 5)));
        for bad in ["bytes */10", "bytes 9-0/10", "0-9/10", "bytes 0-9", "bytes -9/10", ""] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(text in "\\PC{0,40}") {
            let _ = content_range(&text);
        }
    }
}
