//! What the server says, and what no 3S server says.

use super::*;

#[tokio::test]
async fn every_problem_arrives_with_its_code_and_words() {
    let Setup { server, remote, .. } = setup().await;
    let of_sessions = [Code::NotLoggedIn, Code::SessionExpired, Code::SessionReplaced, Code::SessionRevoked];
    for &code in Code::EVERY.iter().filter(|code| !of_sessions.contains(code)) {
        server.next("/v1/fs/attr", [Reply::Problem(code, "in words")]);
        let expected = RemoteError::Refused {
            code,
            detail: "in words".into(),
            request_id: Some("0123456789abcdef".into()),
        };
        assert_eq!(remote.attr(NodeRequest { node: NODE }).await.unwrap_err(), expected);
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
        let why = unreachable(remote.attr(NodeRequest { node: NODE }).await.unwrap_err());
        assert!(why.contains("does not answer like a 3S server"), "{why}");
    }
    let newer = json!({"code": "brand_new", "detail": "something"}).to_string();
    server.next("/v1/fs/attr", [Reply::Raw(400, "application/problem+json", newer.into())]);
    let why = unreachable(remote.attr(NodeRequest { node: NODE }).await.unwrap_err());
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
