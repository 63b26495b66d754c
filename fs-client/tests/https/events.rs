//! The event stream.

use super::*;

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
    assert_eq!(stream.next().await, Some(Event::SessionReplaced { by_node: "client2".parse().unwrap() }));
    let calls = server.count();
    let refused = remote.attr(NodeRequest { node: NODE }).await.unwrap_err();
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
    remote.attr(NodeRequest { node: NODE }).await.unwrap();
    sender.unbounded_send("{\"event\":\"session_replaced\",\"by_node\":\"client1\"}\n".into()).unwrap();
    assert_eq!(stream.next().await, None, "the stream of the old session ends");
    remote.attr(NodeRequest { node: NODE }).await.unwrap();
}
