//! What both sides show, and what is made of a refusal.

use super::*;

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
        assert_eq!(remote.attr(NodeRequest { node: NODE }).await.unwrap_err(), refused);
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
}
