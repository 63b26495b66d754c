//! Blocks in more pieces than a check-in may bring: what lies between them is sent as well.

use sss_common::Code;
use sss_common::limits::RANGES_MAX;
use sss_common::wire::fs::{NodeRequest, RevokeRequest, SetGrantRequest};
use sss_common::{NodeId, Right, When};

use super::*;

/// Every other byte of the first block and of the third.
const PIECES: usize = 2 * RANGES_MAX;

fn scatter(document: &Document, model: &mut Vec<u8>) {
    for i in 0..PIECES {
        for at in [2 * i, 2 * BLOCK_SIZE + 2 * i] {
            document.write(at as u64, &Bytes::from_static(b"x")).unwrap();
            model.resize(model.len().max(at + 1), 0);
            model[at] = b'x';
        }
    }
}

#[test]
fn any_pattern_of_small_writes_is_checked_in() {
    let world = World::new(1 << 30);
    world.runtime.block_on(async {
        // A base that ends nowhere, behind, between and inside the blocks that are written.
        for (name, base) in [("new", 0), ("long", 200_000), ("short", 1_001), ("two", 2 * BLOCK_SIZE + 1_001)]
        {
            let document = world.document(name).await;
            let mut model = vec![7; base];
            if base > 0 {
                document.write(0, &model.clone().into()).unwrap();
                document.checkin().await.unwrap();
            }
            scatter(&document, &mut model);
            document.checkin().await.unwrap();
            assert!(world.content(name) == model, "{name}");
            document.write(3, &Bytes::from_static(b"y")).unwrap();
            model[3] = b'y';
            document.checkin().await.unwrap();
            assert!(world.content(name) == model, "{name}: saved again");
        }
    });
}

#[test]
fn what_was_cut_off_before_does_not_come_back_between_the_pieces() {
    let world = World::new(1 << 30);
    world.runtime.block_on(async {
        let document = world.document("f").await;
        document.write(0, &vec![7; 200_000].into()).unwrap();
        document.checkin().await.unwrap();
        document.truncate(1_000).unwrap();
        let mut model = vec![7; 1_000];
        scatter(&document, &mut model);
        document.checkin().await.unwrap();
        assert!(world.content("f") == model);
    });
}

/// Bob's view of a document of Alice's on which he has `right`.
async fn shared_with_bob(world: &World, name: &str, right: Right) -> (Arc<Document>, NodeId) {
    let owner = world.document(name).await;
    owner.write(0, &vec![7; 200_000].into()).unwrap();
    owner.checkin().await.unwrap();
    let node = owner.attr().node;
    give(world, node, right).await;
    let bob: Arc<dyn Remote> = world.server.login("bob", "client2");
    let attr = bob.attr(NodeRequest { node }).await.unwrap();
    let shared = Arc::new(Shared {
        closer: Closer::new(bob.clone(), world.shared.runtime.clone()),
        pool: world.shared.pool.clone(),
        runtime: world.shared.runtime.clone(),
        held: Arc::default(),
        clock: Arc::new(SystemClock),
        remote: bob,
    });
    (Document::new(shared, attr, false, Instant::now()), node)
}

async fn give(world: &World, node: NodeId, right: Right) {
    let grantee: sss_common::Grantee = "bob".parse().unwrap();
    let remote = &world.shared.remote;
    let _ = remote.revoke(RevokeRequest { node, grantee: grantee.clone() }).await;
    let when = Some(When::Seconds(60));
    remote.grant(SetGrantRequest { node, grantee, right, when }).await.unwrap();
}

#[test]
fn who_may_not_read_what_lies_between_hears_so_at_the_write_and_can_save_the_rest() {
    let world = World::new(1 << 30);
    world.runtime.block_on(async {
        let (document, _) = shared_with_bob(&world, "f", Right::Checkin).await;
        let mut model = vec![7; 200_000];
        for i in 0..RANGES_MAX {
            document.write(2 * i as u64, &Bytes::from_static(b"x")).unwrap();
            model[2 * i] = b'x';
        }
        let one_more = document.write(60_000, &Bytes::from_static(b"x"));
        assert_eq!(one_more, Err(Error::Crowded));
        // What joins pieces is no piece more, and another block has its own.
        document.write(1, &Bytes::from_static(b"y")).unwrap();
        document.write(65_536, &Bytes::from_static(b"y")).unwrap();
        (model[1], model[65_536]) = (b'y', b'y');
        document.checkin().await.unwrap();
        assert!(world.content("f") == model);
    });
}

#[test]
fn who_may_not_read_any_more_keeps_a_copy_of_what_he_wrote() {
    let world = World::new(1 << 30);
    world.runtime.block_on(async {
        let (document, node) = shared_with_bob(&world, "f", Right::Both).await;
        scatter(&document, &mut Vec::new());
        give(&world, node, Right::Checkin).await;
        document.must_ask();
        let refused = document.checkin().await.unwrap_err();
        let no_right =
            |error: &Error| matches!(error, Error::Remote(RemoteError::Refused { code, .. }) if *code == Code::NoRight);
        assert!(no_right(&refused), "{refused:?}");
        assert!(document.is_dirty());

        let copy = world.create("copy").await.node;
        give(&world, copy, Right::Checkin).await;
        document.copy_to(copy).await.unwrap();
        let mut written = Vec::new();
        for i in 0..PIECES {
            for at in [2 * i, 2 * BLOCK_SIZE + 2 * i] {
                written.resize(written.len().max(at + 1), 0);
                written[at] = b'x';
            }
        }
        written.resize(200_000, 0);
        assert!(world.content("copy") == written);
    });
}
