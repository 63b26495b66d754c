//! Bytes pass, either way, for as long as right and session last and not one block longer.

use super::*;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

on_both_stores! {
    a_download_that_paused_hands_out_nothing_behind_its_end
    what_was_read_before_the_answer_is_asked_for_too
    a_read_through_a_pin_ends_with_the_right
    an_upload_that_stands_still_ends
    a_new_document_that_stands_still_ends
    what_ends_for_others_ends_nothing
}

const PATH: &str = "@alice/f";

/// How what bob does on alice's document comes to its end.
#[derive(Clone, Copy, Debug)]
enum End {
    Revoked,
    GrantOver,
    LoggedOut,
    SessionOver,
    Disabled,
}

const ENDS: [(End, Code); 5] = [
    (End::Revoked, Code::NoRight),
    (End::GrantOver, Code::GrantEnded),
    (End::LoggedOut, Code::SessionExpired),
    (End::SessionOver, Code::SessionExpired),
    (End::Disabled, Code::SessionRevoked),
];

impl End {
    async fn come(self, world: &World, who: &Caller) {
        match self {
            End::Revoked => world.revoke(&alice(), PATH, "bob").await,
            End::GrantOver => world.wait(50),
            End::LoggedOut => world.service.logins.logout(who).await.unwrap(),
            End::SessionOver => world.clock.advance(world.settings.session_ttl),
            End::Disabled => {
                world.service.meta.set_disabled(&who.uid, true, by_administrator()).await.unwrap();
                // A session is believed for a moment.
                while world.service.logins.still_live(who).await.is_ok() {
                    tokio::task::yield_now().await;
                }
            }
        }
    }
}

/// bob, logged in anew, with a grant that ends after 50 s or outlasts his session.
async fn granted(world: &World, end: End, right: Right) -> Caller {
    world.service.meta.set_disabled(&uid("bob"), false, by_administrator()).await.unwrap();
    let token = sessions::login_as(world, &peer("client1"), "bob").await;
    let longer = 2 * world.settings.session_ttl.as_secs();
    world.grant(&alice(), PATH, "bob", right, if matches!(end, End::GrantOver) { 50 } else { longer }).await;
    world.service.logins.authenticate(&peer("client1"), &token).await.unwrap()
}

/// Takes one block, lets the end come, and hears why there is no second one.
async fn cut_after_a_block(world: &World, who: &Caller, end: End, mut body: ByteStream) -> Code {
    assert!(!body.next().await.unwrap().unwrap().is_empty());
    end.come(world, who).await;
    let Err(error) = body.next().await.unwrap() else { panic!("a block was handed out after: {end:?}") };
    assert!(body.next().await.is_none(), "nothing follows: {end:?}");
    error.into_inner().unwrap().downcast::<StreamFailed>().unwrap().0.code
}

async fn a_download_that_paused_hands_out_nothing_behind_its_end(world: World) {
    world.put(&alice(), PATH, &bytes(4 << 20, 3)).await.unwrap();
    for (end, why) in ENDS {
        let bob = granted(&world, end, Right::Checkout).await;
        let checkout = world.service.get_document(&bob, &PATH.parse().unwrap(), RangeRequest::All).await;
        assert_eq!(cut_after_a_block(&world, &bob, end, checkout.unwrap().body).await, why, "{end:?}");
    }
}

/// Not even the first block, which was read before the answer began.
async fn what_was_read_before_the_answer_is_asked_for_too(world: World) {
    world.put(&alice(), PATH, &bytes(1000, 3)).await.unwrap();
    let bob = granted(&world, End::Revoked, Right::Checkout).await;
    let checkout = world.service.get_document(&bob, &PATH.parse().unwrap(), RangeRequest::All).await.unwrap();
    End::Revoked.come(&world, &bob).await;
    assert_eq!(code(collect(checkout.body).await), Code::NoRight);
}

async fn a_read_through_a_pin_ends_with_the_right(world: World) {
    world.put(&alice(), PATH, &bytes(4 << 20, 3)).await.unwrap();
    for (end, why) in ENDS {
        let bob = granted(&world, end, Right::Checkout).await;
        let node = world.attr(&alice(), PATH).await.unwrap().node;
        let open = OpenRequest { node, want: Right::Checkout, version: None };
        let version = world.service.fs_open(&bob, open).await.unwrap().version;
        world.put(&alice(), PATH, &bytes(4 << 20, 4)).await.unwrap();
        let (_, body) = world.service.fs_read(&bob, node, version, 0, 4 << 20).await.unwrap();
        assert_eq!(cut_after_a_block(&world, &bob, end, body).await, why, "{end:?}");
    }
}

/// An upload's other end: bytes go in, and it tells when the server has taken all of them and waits for more.
struct Feed {
    chunks: mpsc::Sender<Bytes>,
    waiting: oneshot::Receiver<()>,
}

fn fed() -> (Feed, ByteStream) {
    let (chunks, mut taken) = mpsc::channel(1);
    let (tell, waiting) = oneshot::channel();
    let mut tell = Some(tell);
    let body = futures::stream::poll_fn(move |context| {
        let chunk = taken.poll_recv(context);
        if chunk.is_pending() && taken.is_empty() && tell.is_some() && taken.sender_strong_count() > 0 {
            let _ = tell.take().unwrap().send(());
        }
        chunk.map(|chunk| chunk.map(Ok))
    });
    (Feed { chunks, waiting }, body.boxed())
}

/// One of the ways in, under way: the task, and its other end.
fn upload(world: &World, who: &Caller, way: &str, version: Version) -> (JoinHandle<Outcome<()>>, Feed) {
    let (service, who, way) = (world.service.clone(), who.clone(), way.to_owned());
    let (feed, body) = fed();
    let task = tokio::spawn(async move {
        let node = service.rights.seen_path(&who, &PATH.parse().unwrap()).await?.node.id;
        match way.as_str() {
            "checkin" => service.fs_checkin(&who, node, version, None, body).await.map(drop),
            path => {
                let path = path.parse().unwrap();
                service.put_document(&who, &path, None, Precondition::None, body).await.map(drop)
            }
        }
    });
    (task, feed)
}

async fn an_upload_that_stands_still_ends(world: World) {
    for (end, why) in ENDS {
        for way in ["checkin", "@alice/f"] {
            world.put(&alice(), PATH, b"as it was").await.unwrap();
            let bob = granted(&world, end, Right::Both).await;
            let before = world.attr(&alice(), PATH).await.unwrap();
            let (task, feed) = upload(&world, &bob, way, before.version);
            // 200 KiB of a frame of 256 KiB; for PUT it is content.
            let mut start = data_header(0, 256 << 10).unwrap().to_vec();
            start.resize(200 << 10, 7);
            feed.chunks.send(start.into()).await.unwrap();
            feed.waiting.await.unwrap();
            end.come(&world, &bob).await;
            let outcome = timeout(Duration::from_secs(20), task).await;
            let outcome = outcome.unwrap_or_else(|_| panic!("{way} goes on after: {end:?}")).unwrap();
            assert_eq!(code(outcome), why, "{way}, {end:?}");
            assert!(feed.chunks.is_closed(), "nobody takes more: {way}, {end:?}");
            assert_eq!(world.attr(&alice(), PATH).await.unwrap().version, before.version);
        }
    }
    assert!(world.stores.blobs.list().await.unwrap().is_empty(), "no pack stays behind");
}

/// A new document in a folder is under the folder's right.
async fn a_new_document_that_stands_still_ends(world: World) {
    world.mkdir(&alice(), PATH).await;
    for (end, why) in ENDS {
        let bob = granted(&world, end, Right::Both).await;
        let (task, feed) = upload(&world, &bob, "@alice/f/new", Version::NONE);
        feed.waiting.await.unwrap();
        end.come(&world, &bob).await;
        let outcome = timeout(Duration::from_secs(20), task).await;
        let outcome = outcome.unwrap_or_else(|_| panic!("it goes on after: {end:?}")).unwrap();
        assert_eq!(code(outcome), why, "{end:?}");
        assert_eq!(code(world.attr(&alice(), "@alice/f/new").await), Code::NotFound);
    }
}

async fn what_ends_for_others_ends_nothing(world: World) {
    let content = bytes(1 << 20, 3);
    world.put(&alice(), PATH, &content).await.unwrap();
    let bob = granted(&world, End::Revoked, Right::Both).await;
    let mut down =
        world.service.get_document(&bob, &PATH.parse().unwrap(), RangeRequest::All).await.unwrap().body;
    let first = down.next().await.unwrap().unwrap();
    let (up, feed) = upload(&world, &bob, PATH, Version::NONE);
    feed.waiting.await.unwrap();
    world.grant(&alice(), PATH, "carol", Right::Both, 50).await;
    world.revoke(&alice(), PATH, "carol").await;
    world.service.logins.logout(&carol()).await.unwrap();
    world.grant(&alice(), PATH, "bob", Right::Both, 50).await;
    world.wait(49);
    feed.chunks.send(Bytes::from_static(b"new")).await.unwrap();
    drop(feed.chunks);
    assert_eq!([first.to_vec(), collect(down).await.unwrap()].concat(), content);
    up.await.unwrap().unwrap();
    assert_eq!(world.get(&alice(), PATH).await.unwrap(), b"new");
}
