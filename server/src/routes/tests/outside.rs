//! What goes around the handlers, on a small router of its own.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use http::header::{ALLOW, AUTHORIZATION, CONTENT_LENGTH, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use proptest::prelude::*;
use sss_common::wire::calls::SetXattrRequest;
use sss_common::wire::documents::GrantRequest;
use sss_common::wire::session::LoginRequest;
use sss_common::{DocPath, Problem};
use tokio::sync::Notify;
use tower::ServiceExt;
use tracing::instrument::WithSubscriber;

use super::super::extract::{Json, WholeBody, bearer, document_path, parse_json};
use super::super::stream::{Upload, download};
use super::super::*;

const SOON: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(50);

fn short() -> Running {
    Running { limits: Limits { request: SHORT, idle: SHORT, ..Limits::default() }, ..Running::default() }
}

fn request(method: &str, path: &str, body: impl Into<Body>) -> Request {
    Request::builder().method(method).uri(path).body(body.into()).unwrap()
}

async fn problem(response: Response) -> (StatusCode, HeaderMap, Problem) {
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, 10_000).await.unwrap();
    assert_eq!(parts.headers["content-type"], "application/problem+json");
    (parts.status, parts.headers, serde_json::from_slice(&bytes).unwrap())
}

fn never() -> Body {
    Body::from_stream(stream::pending::<io::Result<Bytes>>())
}

#[test]
fn the_table_has_no_two_handlers_for_one_url() {
    let _ = with_common_layers(table(&Running::default()));
}

#[tokio::test]
async fn unknown_urls_and_wrong_methods_are_problems_with_ids() {
    let app: Router = with_common_layers(Router::new().route("/here", get(async || "here")));
    let (status, headers, nowhere) =
        problem(app.clone().oneshot(request("GET", "/no", "")).await.unwrap()).await;
    assert_eq!((status, nowhere.code), (StatusCode::NOT_FOUND, Code::NotFound));
    assert_eq!(headers["x-request-id"], nowhere.request_id.as_str());
    assert!(nowhere.request_id.len() == 16 && nowhere.request_id.bytes().all(|b| b.is_ascii_hexdigit()));

    let (status, headers, wrong) =
        problem(app.clone().oneshot(request("PUT", "/here", "")).await.unwrap()).await;
    assert_eq!((status, wrong.code), (StatusCode::METHOD_NOT_ALLOWED, Code::MethodNotAllowed));
    assert_eq!(headers[ALLOW], "GET,HEAD");
    assert_ne!(wrong.request_id, nowhere.request_id);

    let fine = app.oneshot(request("GET", "/here", "")).await.unwrap();
    assert_eq!(fine.status(), StatusCode::OK);
    assert!(fine.headers().contains_key("x-request-id"));
}

#[tokio::test]
async fn a_handler_that_takes_too_long_or_panics_is_a_problem() {
    let running = short();
    let slow = async || std::future::pending::<()>().await;
    let broken = async || -> () { panic!("a test's panic") };
    let app: Router = with_common_layers(
        Router::new()
            .route("/ask/slow", with_lifetime(&running, Lifetime::Ask, get(slow)))
            .route("/act/slow", with_lifetime(&running, Lifetime::Act, get(slow)))
            .route("/ask/broken", with_lifetime(&running, Lifetime::Ask, get(broken)))
            .route("/act/broken", with_lifetime(&running, Lifetime::Act, get(broken)))
            .route("/load/broken", with_lifetime(&running, Lifetime::Load, get(broken))),
    );
    for path in ["/ask/slow", "/act/slow"] {
        let (status, headers, problem) =
            problem(app.clone().oneshot(request("GET", path, "")).await.unwrap()).await;
        assert_eq!((status, problem.code), (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable), "{path}");
        assert_eq!(headers[RETRY_AFTER], "1");
    }
    for path in ["/ask/broken", "/act/broken", "/load/broken"] {
        let (_, _, problem) = problem(app.clone().oneshot(request("GET", path, "")).await.unwrap()).await;
        assert_eq!(problem.code, Code::Internal, "{path}");
        assert!(!problem.detail.contains("test"), "{}", problem.detail);
    }
}

/// Drops the request's future while its handler waits; tells whether the handler went on.
async fn goes_on_without_its_peer(path: &str) -> bool {
    let running = Running::default();
    let (waiting, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (done, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
    /// Says when a handler is gone, whether it ended or was dropped.
    struct End(Arc<Notify>);
    impl Drop for End {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let handler = {
        let (waiting, go_on, done, ended) = (waiting.clone(), go_on.clone(), done.clone(), ended.clone());
        async move || {
            let _end = End(ended);
            waiting.notify_one();
            go_on.notified().await;
            done.store(true, Ordering::SeqCst);
        }
    };
    let app: Router = Router::new()
        .route("/ask", with_lifetime(&running, Lifetime::Ask, post(handler.clone())))
        .route("/act", with_lifetime(&running, Lifetime::Act, post(handler.clone())))
        .route("/load", with_lifetime(&running, Lifetime::Load, post(handler)));
    let answer = tokio::spawn(app.oneshot(request("POST", path, "")));
    waiting.notified().await;
    answer.abort();
    let _ = answer.await;
    go_on.notify_one();
    tokio::time::timeout(SOON, ended.notified()).await.unwrap();
    done.load(Ordering::SeqCst)
}

#[tokio::test]
async fn changes_are_finished_when_the_peer_leaves_and_questions_are_dropped() {
    assert!(goes_on_without_its_peer("/act").await);
    assert!(goes_on_without_its_peer("/load").await);
    assert!(!goes_on_without_its_peer("/ask").await);
}

#[tokio::test]
async fn json_bodies_have_limits_and_reasons() {
    let code = async |body: Body| {
        WholeBody::from_request(request("POST", "/", body), &())
            .await
            .map(|body| body.0.len())
            .map_err(|f| f.code)
    };
    assert!(code(vec![b' '; JSON_MAX].into()).await.is_ok());
    assert_eq!(code(vec![b' '; JSON_MAX + 1].into()).await.unwrap_err(), Code::TooLarge);
    let broken = stream::iter([Ok(Bytes::from("{")), Err(io::Error::other("gone"))]);
    assert_eq!(code(Body::from_stream(broken)).await.unwrap_err(), Code::BadRequest);

    let running = short();
    let read = async |Json(_): Json<serde_json::Value>| "read";
    let app: Router =
        with_common_layers(Router::new().route("/", with_lifetime(&running, Lifetime::Act, post(read))));
    let (status, _, late) = problem(app.clone().oneshot(request("POST", "/", never())).await.unwrap()).await;
    assert_eq!((status, late.code), (StatusCode::REQUEST_TIMEOUT, Code::RequestTimeout));
    let (_, _, malformed) = problem(app.clone().oneshot(request("POST", "/", "{")).await.unwrap()).await;
    assert_eq!(malformed.code, Code::BadRequest);
    assert_eq!(app.oneshot(request("POST", "/", "")).await.unwrap().status(), StatusCode::OK);
}

#[test]
fn json_that_does_not_fit_says_where_and_quotes_nothing() {
    let refused = |text: &str| parse_json::<LoginRequest>(text.as_bytes(), Code::BadGrant).unwrap_err();
    assert_eq!(refused("{").code, Code::BadRequest);
    let missing = refused(r#"{"uid":"alice"}"#);
    assert_eq!(missing.code, Code::BadGrant);
    assert!(missing.detail.contains("`statement`"), "{}", missing.detail);
    for text in [r#"{"uid":"s3cret/"}"#, r#"{"uid":"a","statement":["s3cret"]}"#, r#""s3cret""#, "s3cret"] {
        let detail = refused(text).detail;
        assert!(detail.contains("line 1") && !detail.contains("s3cret"), "{detail}");
    }
}

#[test]
fn times_and_bytes_that_do_not_parse_are_refused_in_our_words() {
    let time = r#"{"grantee":"bob","right":"both","until":"s3cret"}"#;
    let refused = parse_json::<GrantRequest>(time.as_bytes(), Code::BadGrant).unwrap_err();
    assert_eq!(refused.code, Code::BadGrant);
    assert_eq!(refused.detail, "`until` is a time like 2026-11-22T15:04:05Z");
    let bytes = r#"{"node":"00000000000000000000000000000000","xattr":{"name":"user.a","value":"s3cret!"}}"#;
    let refused = parse_json::<SetXattrRequest>(bytes.as_bytes(), Code::BadRequest).unwrap_err();
    assert_eq!(refused.code, Code::BadRequest);
    assert_eq!(refused.detail, "an attribute's value is base64");
}

#[test]
fn tokens() {
    let token = |values: &[&str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        bearer(&headers).map(str::to_owned).map_err(|failure| failure.code)
    };
    assert_eq!(token(&["Bearer abc"]), Ok("abc".into()));
    assert_eq!(token(&["bearer  abc "]), Ok("abc".into()));
    for none in [&[][..], &["Bearer"], &["Bearer "], &["Basic abc"], &["abc"], &["Bearer a", "Bearer b"]] {
        assert_eq!(token(none), Err(Code::NotLoggedIn), "{none:?}");
    }
}

#[test]
fn document_paths() {
    let code = |path: &str| document_path(path).map(|path| path.to_string()).map_err(|failure| failure.code);
    for (encoded, path) in [
        ("@alice/report.pdf", "@alice/report.pdf"),
        ("%40alice/a%20b", "@alice/a b"),
        ("@alice/%C3%BC+%25", "@alice/ü+%"),
        ("@alice//a/", "@alice/a"),
        ("@alice", "@alice"),
    ] {
        assert_eq!(code(encoded), Ok(path.into()), "{encoded}");
    }
    let long = format!("@alice/{}", "a".repeat(256));
    let deep = format!("@alice{}", "/d".repeat(129));
    for (encoded, expected) in [
        ("alice/a", Code::BadName),
        ("", Code::BadName),
        ("@alice/a%2Fb", Code::BadName),
        ("@alice%2Fa", Code::BadName),
        ("@alice/%2e%2E/x", Code::BadName),
        ("@alice/a%00", Code::BadName),
        ("@alice/%ff", Code::BadName),
        ("@alice/@bob", Code::BadName),
        ("@ALL/x", Code::BadName),
        ("@alice/100%", Code::BadRequest),
        ("@alice/%zz", Code::BadRequest),
        ("@alice/%é", Code::BadRequest),
        (&long, Code::NameTooLong),
        (&deep, Code::NameTooLong),
    ] {
        assert_eq!(code(encoded), Err(expected), "{encoded}");
    }
}

proptest! {
    #[test]
    fn what_is_encoded_name_by_name_comes_back(names in proptest::collection::vec("[^/\0@][^/\0]{0,20}", 0..5)) {
        prop_assume!(names.iter().all(|name| name != "." && name != ".." && name.len() <= 255));
        let encode = |name: &String| {
            percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string()
        };
        let encoded = names.iter().map(encode).fold("@alice".to_owned(), |path, name| path + "/" + &name);
        let path: DocPath = document_path(&encoded).map_err(|f| TestCaseError::fail(f.detail))?;
        prop_assert_eq!(path.names.iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>(), names);
    }

    #[test]
    fn no_path_panics_or_climbs(encoded in "[@a-z%0-9./]{0,40}") {
        if let Ok(path) = document_path(&encoded) {
            prop_assert!(path.names.iter().all(|name| name.as_str() != ".." && !name.as_str().contains('/')));
        }
    }
}

/// What the service would get, and what the answer would be if it then failed.
async fn uploaded(request: Request, limit: u64) -> Result<Vec<u8>, Code> {
    let (mut chunks, report) = Upload::new(request, SHORT).stream(limit).map_err(|f| f.code)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        match chunk {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(_) => {
                assert!(chunks.next().await.is_none(), "nothing comes behind an error");
                let failed: Result<(), Failure> = Err(Failure::new(Code::Internal, "reading failed"));
                return Err(report.explain(failed).unwrap_err().code);
            }
        }
    }
    Ok(bytes)
}

#[tokio::test]
async fn uploads() {
    let chunks = |chunks: Vec<io::Result<Bytes>>| Body::from_stream(stream::iter(chunks));
    let put = |body: Body| request("PUT", "/", body);
    assert_eq!(uploaded(put("hello".into()), 5).await, Ok(b"hello".to_vec()));
    assert_eq!(uploaded(put("hello".into()), 4).await, Err(Code::TooLarge));
    let mut announced = put(never());
    announced.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("6"));
    assert_eq!(uploaded(announced, 5).await, Err(Code::TooLarge), "refused without reading");
    assert_eq!(uploaded(put(never()), 5).await, Err(Code::RequestTimeout));
    let broken = chunks(vec![Ok("he".into()), Err(io::Error::other("gone"))]);
    assert_eq!(uploaded(put(broken), 5).await, Err(Code::BadRequest));
    assert_eq!(
        uploaded(put(chunks(vec![Ok("he".into()), Ok("llo".into())])), 5).await,
        Ok(b"hello".to_vec())
    );
}

#[tokio::test]
async fn a_failure_of_the_services_own_is_not_put_on_the_upload() {
    let (mut chunks, report) = Upload::new(request("PUT", "/", "x"), SHORT).stream(5).unwrap();
    assert!(chunks.next().await.unwrap().is_ok());
    let failed: Result<(), Failure> = Err(Failure::new(Code::Quota, "full"));
    assert_eq!(report.explain(failed).unwrap_err().code, Code::Quota);
}

#[tokio::test]
async fn a_download_that_fails_or_stalls_breaks_rather_than_ends() {
    let failing = stream::iter([Ok(Bytes::from("a")), Err(io::Error::other("bad block"))]).boxed();
    assert!(axum::body::to_bytes(download(failing, SOON), 100).await.is_err());
    let stalling = stream::once(async { Ok(Bytes::from("a")) }).chain(stream::pending()).boxed();
    assert!(axum::body::to_bytes(download(stalling, SHORT), 100).await.is_err());
    let fine = stream::iter([Ok(Bytes::from("a")), Ok(Bytes::from("b"))]).boxed();
    assert_eq!(axum::body::to_bytes(download(fine, SHORT), 100).await.unwrap(), "ab");
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_names_the_request_and_no_secret() {
    let refuse = async |Json(_): Json<LoginRequest>| {
        let mut failure = Failure::new(Code::LoginRefused, "the login was refused");
        failure.cause = Some("wrong signature".into());
        failure.into_response()
    };
    let app: Router = with_common_layers(Router::new().route("/v1/login/{name}", post(refuse)));
    let body = r#"{"uid":"alice","statement":"S-STATEMENT","signature":"S-SIGNATURE"}"#;
    let mut login = request("POST", "/v1/login/S-PATH?q=S-QUERY", body);
    login.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("Bearer S-TOKEN"));
    let machine = Machine {
        name: "client1".parse().unwrap(),
        certificate: Fingerprint([7; 32]),
        serves: Serves::Anyone,
        server: ServerKey::of(b"server"),
    };
    login.extensions_mut().insert(machine);

    let captured = Captured::default();
    let writer = captured.clone();
    let log = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    let response = app.oneshot(login).with_subscriber(log).await.unwrap();
    let (_, _, problem) = problem(response).await;

    let log = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    for word in
        [&*problem.request_id, "POST", "/v1/login/{name}", "client1", "login_refused", "wrong signature"]
    {
        assert!(log.contains(word), "{word} is missing: {log}");
    }
    assert!(!log.contains("S-"), "{log}");
    assert!(!problem.detail.contains("signature"));
}
