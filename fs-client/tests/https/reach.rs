//! Broken connections, silence, and a server that is away.

use super::*;

#[tokio::test]
async fn what_can_be_repeated_is_repeated_once() {
    let Setup { server, remote, .. } = setup().await;
    server.next("/v1/fs/attr", [Reply::Break]);
    remote.attr(NodeRequest { node: NODE }).await.unwrap();
    assert_eq!(server.calls("/v1/fs/attr").len(), 2);

    server.next("/v1/fs/statfs", [Reply::Break, Reply::Break]);
    let why = unreachable(remote.statfs(Empty {}).await.unwrap_err());
    assert!(why.ends_with("broke: the server hung up"), "{why}");
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
                let request = CreateRequest {
                    parent,
                    name,
                    kind,
                    mode: 0o644,
                    flag: None,
                    target: None,
                    copy_of: None,
                };
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
    let why = unreachable(remote.attr(NodeRequest { node: NODE }).await.unwrap_err());
    assert!(why.contains("no answer") && why.contains("0.3 s"), "{why}");
    assert!(begun.elapsed() >= SHORT && begun.elapsed() < SHORT * 10);
    // Nor does the next call wait for the same silence.
    let calls = server.count();
    assert_eq!(unreachable(remote.statfs(Empty {}).await.unwrap_err()), why);
    assert_eq!(server.count(), calls);
}

#[tokio::test]
async fn calls_beyond_the_limit_wait_for_a_place() {
    let Setup { server, remote, .. } = setup_with(SHORT).await;
    remote.log_in().await.unwrap();
    server.next("/v1/fs/attr", (0..CONCURRENT_MAX * 2).map(|_| Reply::Hang));
    let calls = (0..CONCURRENT_MAX * 2).map(|_| remote.attr(NodeRequest { node: NODE }));
    for answer in futures::future::join_all(calls).await {
        unreachable(answer.unwrap_err());
    }
    assert!(server.state.connections.load(Ordering::SeqCst) <= CONCURRENT_MAX + 1);
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
    let first = unreachable(remote.attr(NodeRequest { node: NODE }).await.unwrap_err());
    assert!(first.contains("cannot be reached") && first.contains("refused"), "{first}");
    let begun = Instant::now();
    for _ in 0..100 {
        assert_eq!(unreachable(remote.attr(NodeRequest { node: NODE }).await.unwrap_err()), first);
    }
    assert!(begun.elapsed() < CIRCUIT_PAUSE, "at once");

    let back = Server::with(&authority, &["127.0.0.1"], &[], &authority, &address.to_string()).await;
    let found = async {
        while remote.attr(NodeRequest { node: NODE }).await.is_err() {
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
        remote.attr(NodeRequest { node: NODE }).await.unwrap();
    }
    assert_eq!(server.state.connections.load(Ordering::SeqCst), 1);
}
