//! The HTTPS remote against a server that does what a test wants: sessions, repetition, deadlines, errors.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use futures::channel::mpsc;
use serde_json::json;
use sss_common::framing::{data_header, end_frame};
use sss_common::limits::READ_MAX;
use sss_common::wire::fs::*;
use sss_common::{Code, NodeId, SystemClock, Version};
use sss_fs_client::identity::Identity;
use sss_fs_client::remote::https::{Https, PAUSE};
use sss_fs_client::remote::{CheckinBody, Remote, RemoteError};
use support::{Authority, Reply, Server, attr};

const NODE: NodeId = NodeId([7; 16]);
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);

struct Setup {
    authority: Authority,
    dir: tempfile::TempDir,
    server: Server,
    remote: Arc<Https>,
}

async fn setup() -> Setup {
    setup_with(LONG).await
}

async fn setup_with(timeout: Duration) -> Setup {
    let authority = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    authority.enroll(dir.path());
    let server = Server::start(&authority).await;
    let remote = Arc::new(remote(&dir, &server.target(), timeout));
    Setup { authority, dir, server, remote }
}

fn remote(dir: &tempfile::TempDir, target: &str, timeout: Duration) -> Https {
    let identity = Identity::load(dir.path(), &SystemClock).unwrap();
    Https::new(&target.parse().unwrap(), &identity, timeout).unwrap()
}

fn code(error: RemoteError) -> Code {
    match error {
        RemoteError::Refused { code, .. } => code,
        RemoteError::Unreachable(why) => panic!("unreachable: {why}"),
    }
}

fn unreachable(error: RemoteError) -> String {
    match error {
        RemoteError::Unreachable(why) => why,
        RemoteError::Refused { code, detail } => panic!("refused: {code}: {detail}"),
    }
}

fn frames(content: &[u8]) -> Vec<Bytes> {
    let end = CheckinEnd { size: content.len() as u64, ..CheckinEnd::default() };
    let mut parts = Vec::new();
    for (index, chunk) in content.chunks(64 * 1024).enumerate() {
        let header = data_header(index as u64 * 64 * 1024, chunk.len()).unwrap();
        parts.push(Bytes::copy_from_slice(&header));
        parts.push(Bytes::copy_from_slice(chunk));
    }
    parts.push(end_frame(&serde_json::to_vec(&end).unwrap()).into());
    parts
}

// Sessions.

#[tokio::test]
async fn calls_log_in_once_and_together() {
    let Setup { server, remote, .. } = setup().await;
    let calls = (0..20).map(|_| remote.attr(NODE));
    for answer in futures::future::join_all(calls).await {
        assert_eq!(answer.unwrap().node, NODE);
    }
    assert_eq!(server.logins(), 1);
    assert_eq!(server.calls("/v1/fs/attr").len(), 20);
    assert!(server.calls("/v1/fs/attr").iter().all(|call| call.token.as_deref() == Some("token-0")));
}

#[tokio::test]
async fn a_session_that_ran_out_is_renewed_once_for_all() {
    let Setup { server, remote, .. } = setup().await;
    remote.log_in().await.unwrap();
    for ended in [Code::SessionExpired, Code::NotLoggedIn] {
        let before = server.logins();
        server.end_session(ended, "it ran out");
        for answer in futures::future::join_all((0..10).map(|_| remote.attr(NODE))).await {
            answer.unwrap();
        }
        assert_eq!(server.logins(), before + 1, "{ended}");
    }
}

#[tokio::test]
async fn a_refused_renewal_is_the_end_with_its_reason() {
    let Setup { server, remote, .. } = setup().await;
    remote.log_in().await.unwrap();
    server.end_session(Code::SessionExpired, "it ran out");
    server.next("/v1/login", [Reply::Problem(Code::LoginRefused, "the key did not match")]);
    match remote.attr(NODE).await.unwrap_err() {
        RemoteError::Refused { code: Code::SessionExpired, detail } => {
            assert!(detail.contains("the key did not match"), "{detail}");
        }
        other => panic!("{other:?}"),
    }
    // Not tried again at once.
    let calls = server.count();
    assert!(remote.attr(NODE).await.is_err());
    assert_eq!(server.count(), calls);
}

#[tokio::test]
async fn the_first_logins_refusal_comes_in_the_servers_words() {
    let Setup { server, remote, .. } = setup().await;
    server.next("/v1/challenge", [Reply::Problem(Code::LoginRefused, "no such user, or not this key")]);
    let refused = remote.log_in().await.unwrap_err();
    assert_eq!(refused.to_string(), "no such user, or not this key");
    assert_eq!(code(refused), Code::LoginRefused);
}

#[tokio::test]
async fn a_replaced_or_revoked_session_is_never_renewed() {
    for ended in [Code::SessionReplaced, Code::SessionRevoked] {
        let Setup { server, remote, .. } = setup().await;
        remote.log_in().await.unwrap();
        server.end_session(ended, "by node client2");
        let refused = remote.attr(NODE).await.unwrap_err();
        assert_eq!(refused.to_string(), "by node client2");
        let calls = server.count();
        for _ in 0..3 {
            assert_eq!(remote.statfs().await.unwrap_err(), refused, "the same at once");
        }
        assert_eq!(server.count(), calls, "without a request");
        assert_eq!(server.logins(), 1);
    }
}

#[tokio::test]
async fn a_call_that_crosses_a_renewal_is_sent_again() {
    let Setup { server, remote, .. } = setup().await;
    remote.log_in().await.unwrap();
    // The server calls the old token replaced once the new login has taken its place.
    server.end_session(Code::SessionExpired, "it ran out");
    server.next("/v1/fs/statfs", [Reply::Problem(Code::SessionExpired, "it ran out")]);
    server.next("/v1/fs/attr", [Reply::Problem(Code::SessionExpired, "it ran out")]);
    let (a, b) = tokio::join!(remote.attr(NODE), remote.statfs());
    a.unwrap();
    b.unwrap();
}

#[tokio::test]
async fn logout_ends_the_session_and_asks_nothing_without_one() {
    let Setup { server, remote, .. } = setup().await;
    remote.logout().await.unwrap();
    assert_eq!(server.count(), 0);
    remote.log_in().await.unwrap();
    remote.logout().await.unwrap();
    assert_eq!(server.calls("/v1/logout").len(), 1);
    remote.log_in().await.unwrap();
    server.end_session(Code::SessionExpired, "it ran out");
    remote.logout().await.unwrap();
}

// Broken connections, silence, and a server that is away.

#[tokio::test]
async fn what_can_be_repeated_is_repeated_once() {
    let Setup { server, remote, .. } = setup().await;
    server.next("/v1/fs/attr", [Reply::Break]);
    remote.attr(NODE).await.unwrap();
    assert_eq!(server.calls("/v1/fs/attr").len(), 2);

    server.next("/v1/fs/statfs", [Reply::Break, Reply::Break]);
    let why = unreachable(remote.statfs().await.unwrap_err());
    assert!(why.contains("broke"), "{why}");
    assert_eq!(server.calls("/v1/fs/statfs").len(), 2);
}

#[tokio::test]
async fn what_cannot_be_repeated_is_not() {
    let Setup { server, remote, .. } = setup().await;
    for path in ["/v1/fs/create", "/v1/fs/rename", "/v1/fs/remove", "/v1/fs/close"] {
        server.next(path, [Reply::DoAndBreak]);
        let (parent, name) = (NODE, "a".parse().unwrap());
        let error = match path {
            "/v1/fs/create" => {
                let kind = Kind::File;
                let request = CreateRequest { parent, name, kind, mode: 0o644, flag: None, target: None };
                remote.create(request).await.unwrap_err()
            }
            "/v1/fs/rename" => {
                let new_name = "b".parse().unwrap();
                let request = RenameRequest { parent, name, new_parent: NODE, new_name, no_replace: false };
                remote.rename(request).await.unwrap_err()
            }
            "/v1/fs/remove" => {
                remote.remove(RemoveRequest { parent, name, folder: false }).await.unwrap_err()
            }
            _ => remote.close(CloseRequest::default()).await.unwrap_err(),
        };
        unreachable(error);
        assert_eq!(server.calls(path).len(), 1, "{path}");
    }
}

#[tokio::test]
async fn silence_ends_at_the_deadline_and_is_not_repeated() {
    let Setup { server, remote, .. } = setup_with(SHORT).await;
    remote.log_in().await.unwrap();
    server.next("/v1/fs/attr", [Reply::Hang, Reply::Hang]);
    let begun = Instant::now();
    let why = unreachable(remote.attr(NODE).await.unwrap_err());
    assert!(why.contains("no answer") && why.contains("0.3 s"), "{why}");
    assert!(begun.elapsed() >= SHORT && begun.elapsed() < SHORT * 10);
}

#[tokio::test]
async fn a_server_that_is_away_fails_fast_and_is_found_again() {
    let Setup { authority, dir, mut server, .. } = setup().await;
    let address = server.address;
    server.stop();
    // The listener is gone when its task is.
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let remote = remote(&dir, &format!("alice@{address}"), LONG);
    let first = unreachable(remote.attr(NODE).await.unwrap_err());
    assert!(first.contains("cannot be reached") && first.contains("refused"), "{first}");
    let begun = Instant::now();
    for _ in 0..100 {
        assert_eq!(unreachable(remote.attr(NODE).await.unwrap_err()), first);
    }
    assert!(begun.elapsed() < PAUSE, "at once");

    let back = Server::with(&authority, &["127.0.0.1"], &[], &authority, &address.to_string()).await;
    let found = async {
        while remote.attr(NODE).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONG, found).await.unwrap();
    assert!(back.logins() >= 1);
}

#[tokio::test]
async fn connections_are_kept() {
    let Setup { server, remote, .. } = setup().await;
    for _ in 0..20 {
        remote.attr(NODE).await.unwrap();
    }
    assert_eq!(server.state.connections.load(Ordering::SeqCst), 1);
}

// Answers.

#[tokio::test]
async fn every_problem_arrives_with_its_code_and_words() {
    let Setup { server, remote, .. } = setup().await;
    let of_sessions = [Code::NotLoggedIn, Code::SessionExpired, Code::SessionReplaced, Code::SessionRevoked];
    for &code in Code::EVERY.iter().filter(|code| !of_sessions.contains(code)) {
        server.next("/v1/fs/attr", [Reply::Problem(code, "in words")]);
        let expected = RemoteError::Refused { code, detail: "in words".into() };
        assert_eq!(remote.attr(NODE).await.unwrap_err(), expected);
    }
}

#[tokio::test]
async fn what_no_3s_server_says_is_told_apart() {
    let Setup { server, remote, .. } = setup().await;
    let large = Bytes::from(vec![b' '; 8 * 1024 * 1024 + 1]);
    for (status, kind, body) in [
        (200, "text/html", Bytes::from("<html>")),
        (200, "application/json", Bytes::from("{\"no\": \"attr\"}")),
        (200, "application/json", large),
        (404, "text/html", Bytes::from("nginx")),
        (302, "text/html", Bytes::new()),
        (500, "application/problem+json", Bytes::from("{}")),
        (500, "application/problem+json", Bytes::from(vec![b' '; 64 * 1024 + 1])),
    ] {
        server.next("/v1/fs/attr", [Reply::Raw(status, kind, body)]);
        let why = unreachable(remote.attr(NODE).await.unwrap_err());
        assert!(why.contains("does not answer like a 3S server"), "{why}");
    }
    let newer = json!({"code": "brand_new", "detail": "something"}).to_string();
    server.next("/v1/fs/attr", [Reply::Raw(400, "application/problem+json", newer.into())]);
    let why = unreachable(remote.attr(NODE).await.unwrap_err());
    assert!(why.contains("brand_new") && why.contains("something"), "{why}");
}

#[tokio::test]
async fn ranges_are_read_whole_and_only_as_asked() {
    let Setup { server, remote, .. } = setup().await;
    let content: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();
    *server.state.content.lock().unwrap() = content.clone();
    let pin = Pin { node: NODE, version: Version(3) };
    assert_eq!(remote.read(pin, 0, 2_000_000).await.unwrap(), content[..2_000_000]);
    assert_eq!(remote.read(pin, 2_999_990, 100).await.unwrap(), content[2_999_990..]);
    assert_eq!(remote.read(pin, 3_000_000, 1).await.unwrap(), Bytes::new());
    let calls = server.count();
    assert_eq!(remote.read(pin, 0, 0).await.unwrap(), Bytes::new());
    assert_eq!(code(remote.read(pin, 0, READ_MAX + 1).await.unwrap_err()), Code::TooLarge);
    assert_eq!(server.count(), calls);

    let path = format!("/v1/fs/read/{NODE}/3");
    assert_eq!(server.calls(&path)[0].range.as_deref(), Some("bytes=0-1999999"));
    server.next(&path, [Reply::Break]);
    assert_eq!(remote.read(pin, 0, 10).await.unwrap(), content[..10]);
    server.next(&path, [Reply::Raw(200, "application/octet-stream", Bytes::from("all of it"))]);
    assert!(unreachable(remote.read(pin, 0, 10).await.unwrap_err()).contains("not the range"));
    server.next(&path, [Reply::Problem(Code::Integrity, "a block does not verify")]);
    assert_eq!(code(remote.read(pin, 0, 10).await.unwrap_err()), Code::Integrity);
}

// Check-ins.

#[tokio::test]
async fn a_whole_body_arrives_and_is_repeated_with_the_same_id() {
    let Setup { server, remote, .. } = setup().await;
    let content = vec![5; 300_000];
    let path = format!("/v1/fs/checkin/{NODE}");
    server.next(&path, [Reply::DoAndBreak]);
    let done = remote.checkin(NODE, Version(0), CheckinBody::Whole(frames(&content))).await.unwrap();
    assert_eq!((done.version, done.size), (Version(1), 300_000), "not taken for a conflict");
    assert_eq!(*server.state.content.lock().unwrap(), content);
    let calls = server.calls(&path);
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].query, calls[1].query);

    // Another call has another id, and small ones arrive too.
    let done = remote.checkin(NODE, Version(1), CheckinBody::Whole(frames(b"small"))).await.unwrap();
    assert_eq!(done.version, Version(2));
    assert_ne!(server.calls(&path)[2].query, calls[0].query);
    let moved = remote.checkin(NODE, Version(1), CheckinBody::Whole(frames(b"late"))).await.unwrap_err();
    assert_eq!(code(moved), Code::VersionMoved);
}

#[tokio::test]
async fn a_whole_body_survives_a_session_that_ran_out() {
    let Setup { server, remote, .. } = setup().await;
    remote.log_in().await.unwrap();
    server.end_session(Code::SessionExpired, "it ran out");
    let done = remote.checkin(NODE, Version(0), CheckinBody::Whole(frames(b"hello"))).await.unwrap();
    assert_eq!(done.version, Version(1));
    assert_eq!(server.logins(), 2);
}

fn streamed() -> (mpsc::UnboundedSender<std::io::Result<Bytes>>, CheckinBody) {
    let (sender, receiver) = mpsc::unbounded();
    (sender, CheckinBody::Stream(receiver.boxed()))
}

#[tokio::test]
async fn a_stream_arrives_as_it_is_written_however_slowly() {
    let Setup { server, remote, .. } = setup_with(SHORT).await;
    remote.log_in().await.unwrap();
    let content = vec![9; 200_000];
    let (sender, body) = streamed();
    let writer = async {
        for part in frames(&content) {
            sender.unbounded_send(Ok(part)).unwrap();
            // The program that writes pauses for longer than the network may.
            tokio::time::sleep(SHORT / 2).await;
        }
        tokio::time::sleep(SHORT * 2).await;
        drop(sender);
    };
    let (done, ()) = tokio::join!(remote.checkin(NODE, Version(0), body), writer);
    assert_eq!(done.unwrap().size, 200_000);
    assert_eq!(*server.state.content.lock().unwrap(), content);
}

#[tokio::test]
async fn a_stream_that_is_given_up_commits_nothing() {
    let Setup { server, remote, .. } = setup().await;
    let (sender, body) = streamed();
    let mut parts = frames(&vec![9; 200_000]);
    parts.truncate(3);
    parts.into_iter().for_each(|part| sender.unbounded_send(Ok(part)).unwrap());
    sender.unbounded_send(Err(std::io::Error::other("the draft changed"))).unwrap();
    let why = unreachable(remote.checkin(NODE, Version(0), body).await.unwrap_err());
    assert!(why.contains("given up") && why.contains("the draft changed"), "{why}");
    assert_eq!(*server.state.version.lock().unwrap(), 0);
}

#[tokio::test]
async fn a_server_that_takes_nothing_more_is_given_up() {
    let Setup { server, remote, .. } = setup_with(SHORT).await;
    remote.log_in().await.unwrap();
    let path = format!("/v1/fs/checkin/{NODE}");
    for body in [
        CheckinBody::Stream(futures::stream::repeat_with(|| Ok(Bytes::from(vec![0; 1 << 20]))).boxed()),
        CheckinBody::Whole(frames(b"small")),
    ] {
        server.next(&path, [Reply::Hang]);
        let begun = Instant::now();
        let why = unreachable(remote.checkin(NODE, Version(0), body).await.unwrap_err());
        assert!(why.contains("no answer"), "{why}");
        assert!(begun.elapsed() < LONG);
        // Past the pause of the circuit.
        tokio::time::sleep(PAUSE).await;
    }
}

#[tokio::test]
async fn a_stream_into_a_session_that_ran_out_leaves_a_new_one() {
    let Setup { server, remote, .. } = setup().await;
    remote.log_in().await.unwrap();
    server.end_session(Code::SessionExpired, "it ran out");
    let (sender, body) = streamed();
    frames(b"hello").into_iter().for_each(|part| sender.unbounded_send(Ok(part)).unwrap());
    drop(sender);
    let why = unreachable(remote.checkin(NODE, Version(0), body).await.unwrap_err());
    assert!(why.contains("renewed"), "{why}");
    assert_eq!(server.logins(), 2);
    remote.checkin(NODE, Version(0), CheckinBody::Whole(frames(b"hello"))).await.unwrap();
    assert_eq!(server.logins(), 2);
}

#[tokio::test]
async fn an_early_refusal_is_heard_while_the_body_is_on_its_way() {
    let Setup { server, remote, .. } = setup().await;
    server.next(&format!("/v1/fs/checkin/{NODE}"), [Reply::Early(Code::NoRight)]);
    let (sender, body) = streamed();
    sender.unbounded_send(Ok(frames(b"hello").remove(0))).unwrap();
    // The sender stays open: nothing but the answer can end this.
    let refused = tokio::time::timeout(LONG, remote.checkin(NODE, Version(0), body)).await.unwrap();
    assert_eq!(code(refused.unwrap_err()), Code::NoRight);
    drop(sender);
}

// Events.

fn events(server: &Server) -> mpsc::UnboundedSender<Bytes> {
    let (sender, receiver) = mpsc::unbounded();
    server.next("/v1/fs/events", [Reply::Pieces("application/x-ndjson", receiver)]);
    sender
}

#[tokio::test]
async fn events_arrive_line_by_line_and_unknown_ones_are_passed_over() {
    let Setup { server, remote, .. } = setup().await;
    let sender = events(&server);
    let mut stream = remote.events().await.unwrap();
    sender.unbounded_send("{\"event\":\"alive\",\"every_ms\":10000}\n{\"event\":\"rights_".into()).unwrap();
    assert_eq!(stream.next().await, Some(Event::Alive { every_ms: 10_000 }));
    sender
        .unbounded_send("changed\"}\n{\"event\":\"brand_new\"}\n{\"event\":\"rights_changed\"}\n".into())
        .unwrap();
    assert_eq!(stream.next().await, Some(Event::RightsChanged));
    assert_eq!(stream.next().await, Some(Event::RightsChanged));
    drop(sender);
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn a_silent_event_stream_ends() {
    let Setup { server, remote, .. } = setup().await;
    let sender = events(&server);
    let mut stream = remote.events().await.unwrap();
    sender.unbounded_send("{\"event\":\"alive\",\"every_ms\":20}\n".into()).unwrap();
    assert!(stream.next().await.is_some());
    assert_eq!(tokio::time::timeout(LONG, stream.next()).await.unwrap(), None);
    drop(sender);
}

#[tokio::test]
async fn an_endless_line_ends_the_stream() {
    let Setup { server, remote, .. } = setup().await;
    let sender = events(&server);
    let mut stream = remote.events().await.unwrap();
    sender.unbounded_send(Bytes::from(vec![b'x'; 64 * 1024 + 1])).unwrap();
    assert_eq!(tokio::time::timeout(LONG, stream.next()).await.unwrap(), None);
}

#[tokio::test]
async fn a_replaced_session_is_known_by_its_event() {
    let Setup { server, remote, .. } = setup().await;
    let sender = events(&server);
    let mut stream = remote.events().await.unwrap();
    sender.unbounded_send("{\"event\":\"session_replaced\",\"by_node\":\"client2\"}\n".into()).unwrap();
    assert_eq!(stream.next().await, Some(Event::SessionReplaced { by_node: "client2".into() }));
    let calls = server.count();
    let refused = remote.attr(NODE).await.unwrap_err();
    assert!(refused.to_string().contains("client2"), "{refused}");
    assert_eq!(code(refused), Code::SessionReplaced);
    assert_eq!(server.count(), calls, "without a request");
}

#[tokio::test]
async fn the_own_renewal_is_no_replacement() {
    let Setup { server, remote, .. } = setup().await;
    let sender = events(&server);
    let mut stream = remote.events().await.unwrap();
    server.end_session(Code::SessionExpired, "it ran out");
    remote.attr(NODE).await.unwrap();
    sender.unbounded_send("{\"event\":\"session_replaced\",\"by_node\":\"client1\"}\n".into()).unwrap();
    assert_eq!(stream.next().await, None, "the stream of the old session ends");
    remote.attr(NODE).await.unwrap();
}

// Certificates.

#[tokio::test]
async fn a_revoked_certificate_is_named_and_never_tried_again() {
    let authority = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    let issued = authority.enroll(dir.path());
    let server = Server::with(&authority, &["127.0.0.1"], &[&issued], &authority, "127.0.0.1:0").await;
    // Often, because the server's alert races with the first request.
    for _ in 0..10 {
        let remote = remote(&dir, &server.target(), LONG);
        let refused = remote.log_in().await.unwrap_err();
        assert!(refused.to_string().contains("refused this node's certificate: revoked"), "{refused}");
        assert_eq!(code(refused.clone()), Code::SessionRevoked);
        let connections = server.state.connections.load(Ordering::SeqCst);
        assert_eq!(remote.attr(NODE).await.unwrap_err(), refused);
        assert_eq!(server.state.connections.load(Ordering::SeqCst), connections);
    }
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_by_either_side() {
    let (authority, other) = (Authority::new(), Authority::new());
    let dir = tempfile::tempdir().unwrap();
    authority.enroll(dir.path());
    // The server does not know the node's authority.
    let server = Server::with(&authority, &["127.0.0.1"], &[], &other, "127.0.0.1:0").await;
    let refused = remote(&dir, &server.target(), LONG).log_in().await.unwrap_err();
    assert!(refused.to_string().contains("not from an authority that it knows"), "{refused}");
    assert_eq!(code(refused), Code::SessionExpired);
    // The node does not know the server's.
    let server = Server::with(&other, &["127.0.0.1"], &[], &authority, "127.0.0.1:0").await;
    let why = unreachable(remote(&dir, &server.target(), LONG).log_in().await.unwrap_err());
    assert!(why.contains("not from the authority in this identity's ca.crt"), "{why}");
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn the_server_must_be_the_one_that_was_named() {
    let authority = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    authority.enroll(dir.path());
    let server = Server::with(&authority, &["files.example.org"], &[], &authority, "127.0.0.1:0").await;
    let why = unreachable(remote(&dir, &server.target(), LONG).log_in().await.unwrap_err());
    assert!(why.contains("is not for `127.0.0.1`"), "{why}");
}

#[tokio::test]
async fn ipv6_addresses_work() {
    let authority = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    authority.enroll(dir.path());
    let server = Server::with(&authority, &["::1"], &[], &authority, "[::1]:0").await;
    remote(&dir, &server.target(), LONG).log_in().await.unwrap();
}

#[tokio::test]
async fn a_port_without_tls_is_told_apart() {
    let authority = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    authority.enroll(dir.path());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answering = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await;
        }
    });
    let why = unreachable(remote(&dir, &format!("alice@{address}"), LONG).log_in().await.unwrap_err());
    assert!(why.contains("does not speak TLS"), "{why}");
    answering.abort();
}

#[tokio::test]
async fn the_hybrid_key_exchange_goes_first() {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    assert_eq!(provider.kx_groups[0].name(), rustls::NamedGroup::X25519MLKEM768);
    let _ = attr(0, 0);
}
