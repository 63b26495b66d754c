#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use futures::StreamExt;
use http::header::{CONTENT_RANGE, IF_MATCH, IF_NONE_MATCH};
use sss_common::wire::fs::Attr;
use sss_common::{Effective, FileTime, NodeId};

use super::*;

const IDLE: Duration = Duration::from_secs(5);

fn checkout(bytes: &'static str, start: u64, size: u64) -> Checkout {
    let attr = Attr {
        node: NodeId([1; 16]),
        kind: Kind::File,
        size,
        mode: 0o644,
        mtime_ns: FileTime(0),
        ctime_ns: FileTime(0),
        version: Version(3),
        owner: "alice".parse().unwrap(),
        author: None,
        flag: None,
        right: Effective::default(),
    };
    let body = futures::stream::iter([Ok(Bytes::from(bytes))]).boxed();
    Checkout { attr, start, length: bytes.len() as u64, size, body }
}

async fn shown(response: Response) -> (u16, HeaderMap, Bytes) {
    let (parts, body) = response.into_parts();
    (parts.status.as_u16(), parts.headers, axum::body::to_bytes(body, 1000).await.unwrap())
}

#[tokio::test]
async fn the_whole_and_a_range() {
    let (status, headers, body) = shown(content(checkout("hello", 0, 5), RangeRequest::All, IDLE)).await;
    assert_eq!((status, &*body), (200, &b"hello"[..]));
    assert_eq!(
        (&headers[ETAG], &headers[CONTENT_LENGTH]),
        (&"\"3\"".parse().unwrap(), &"5".parse().unwrap())
    );
    assert_eq!(
        (&headers[ACCEPT_RANGES], &headers[CONTENT_TYPE]),
        (&"bytes".parse().unwrap(), &"application/octet-stream".parse().unwrap())
    );
    assert!(!headers.contains_key(CONTENT_RANGE));

    let range = RangeRequest::From(1, Some(3));
    let (status, headers, body) = shown(content(checkout("ell", 1, 5), range, IDLE)).await;
    assert_eq!((status, &*body), (206, &b"ell"[..]));
    assert_eq!(
        (&headers[CONTENT_RANGE], &headers[CONTENT_LENGTH]),
        (&"bytes 1-3/5".parse().unwrap(), &"3".parse().unwrap())
    );

    let (status, headers, _) =
        shown(content(checkout("hello", 0, 5), RangeRequest::From(0, None), IDLE)).await;
    assert_eq!((status, &headers[CONTENT_RANGE]), (206, &"bytes 0-4/5".parse().unwrap()));
}

#[tokio::test]
async fn an_empty_document_and_an_unsatisfiable_range() {
    let (status, headers, _) = shown(content(checkout("", 0, 0), RangeRequest::All, IDLE)).await;
    assert_eq!((status, &headers[CONTENT_LENGTH]), (200, &"0".parse().unwrap()));
    let (status, headers, _) = shown(unsatisfiable(5)).await;
    assert_eq!((status, &headers[CONTENT_RANGE]), (416, &"bytes */5".parse().unwrap()));
}

#[tokio::test]
async fn conditions() {
    let with = |name, value: &str| HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())]);
    assert!(conditional(&HeaderMap::new(), Version(3)).unwrap().is_none());
    let unchanged = conditional(&with(IF_NONE_MATCH, "\"3\""), Version(3)).unwrap().unwrap();
    let (status, headers, body) = shown(unchanged).await;
    assert_eq!((status, &headers[ETAG], body.len()), (304, &"\"3\"".parse().unwrap(), 0));
    assert!(conditional(&with(IF_NONE_MATCH, "\"2\""), Version(3)).unwrap().is_none());
    assert_eq!(conditional(&with(IF_MATCH, "\"2\""), Version(3)).unwrap_err().code, Code::VersionMoved);
}
