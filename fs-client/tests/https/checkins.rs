//! Bodies, whole and streamed.

use super::*;

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
        tokio::time::sleep(CIRCUIT_PAUSE).await;
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
