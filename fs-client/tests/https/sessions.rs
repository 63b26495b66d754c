//! Logins, renewals, and ends for good.

use super::*;

#[tokio::test]
async fn calls_log_in_once_and_together() {
    let Setup { server, remote, .. } = setup().await;
    let calls = (0..20).map(|_| remote.attr(NodeRequest { node: NODE }));
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
        for answer in
            futures::future::join_all((0..10).map(|_| remote.attr(NodeRequest { node: NODE }))).await
        {
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
    match remote.attr(NodeRequest { node: NODE }).await.unwrap_err() {
        RemoteError::Refused { code: Code::SessionExpired, detail, .. } => {
            assert!(detail.contains("the key did not match"), "{detail}");
        }
        other => panic!("{other:?}"),
    }
    // Not tried again at once.
    let calls = server.count();
    assert!(remote.attr(NodeRequest { node: NODE }).await.is_err());
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
async fn a_replaced_session_is_never_renewed() {
    let Setup { server, remote, .. } = setup().await;
    remote.log_in().await.unwrap();
    server.end_session(Code::SessionReplaced, "by node client2");
    let refused = remote.attr(NodeRequest { node: NODE }).await.unwrap_err();
    assert_eq!(refused.to_string(), "by node client2");
    let calls = server.count();
    for _ in 0..3 {
        assert_eq!(remote.statfs(Empty {}).await.unwrap_err(), refused, "the same at once");
    }
    assert_eq!(server.count(), calls, "without a request");
    assert_eq!(server.logins(), 1);
}

#[tokio::test]
async fn a_revoked_session_is_tried_again_after_a_pause() {
    let Setup { server, remote, .. } = setup().await;
    remote.log_in().await.unwrap();
    server.end_session(Code::SessionRevoked, "user alice was disabled");
    server.next("/v1/login", [Reply::Problem(Code::SessionRevoked, "user alice is disabled")]);
    let refused = remote.attr(NodeRequest { node: NODE }).await.unwrap_err();
    assert_eq!(refused.to_string(), "user alice is disabled");
    let calls = server.count();
    for _ in 0..3 {
        assert_eq!(remote.statfs(Empty {}).await.unwrap_err(), refused, "the same at once");
    }
    assert_eq!(server.count(), calls, "without a request");
    // Enabled again.
    let works = async {
        while remote.attr(NodeRequest { node: NODE }).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), works).await.unwrap();
}

#[tokio::test]
async fn a_call_that_crosses_a_renewal_is_sent_again() {
    let Setup { server, remote, .. } = setup().await;
    remote.log_in().await.unwrap();
    // The server calls the old token replaced once the new login has taken its place.
    server.end_session(Code::SessionExpired, "it ran out");
    server.next("/v1/fs/statfs", [Reply::Problem(Code::SessionExpired, "it ran out")]);
    server.next("/v1/fs/attr", [Reply::Problem(Code::SessionExpired, "it ran out")]);
    let (a, b) = tokio::join!(remote.attr(NodeRequest { node: NODE }), remote.statfs(Empty {}));
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

/// A server of the same authority and host name, with another key, that passes on what the real one says.
#[tokio::test]
async fn a_challenge_of_another_server_is_never_signed() {
    let Setup { server, remote, authority, .. } = setup().await;
    let real = Server::start(&authority).await;
    server.next("/v1/challenge", [Reply::Json(real.state.give_challenge())]);
    let refused = unreachable(remote.log_in().await.unwrap_err());
    assert!(refused.contains("challenge of another server"), "{refused}");
    assert_eq!(server.calls("/v1/login").len(), 0, "no signature left this machine");
    assert_eq!(real.logins(), 0);
}

#[tokio::test]
async fn a_challenge_that_names_no_server_is_never_signed() {
    for alter in [
        |_: &str| String::new(),
        |_: &str| "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        |own: &str| format!("{own}\n"),
        |own: &str| format!("x\nchallenge: {own}"),
    ] {
        let Setup { server, remote, .. } = setup().await;
        let mut answer = server.state.give_challenge();
        answer["challenge"] = alter(answer["challenge"].as_str().unwrap()).into();
        server.next("/v1/challenge", [Reply::Json(answer.clone())]);
        let refused = unreachable(remote.log_in().await.unwrap_err());
        assert!(refused.contains("its challenge names no server"), "{refused}");
        assert_eq!(server.calls("/v1/login").len(), 0, "{answer}");
    }
}
