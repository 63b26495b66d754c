//! What readers hold of replaced versions, and how long.

use super::*;

on_both_stores! {
    a_pinned_version_stays_and_goes_when_it_is_given_back
    who_is_gone_pins_nothing
    who_lost_the_right_pins_nothing
    a_right_that_was_renewed_keeps_what_is_open
}

/// bob has a version open that alice replaced a while ago.
struct Opened {
    node: NodeId,
    version: Version,
    content: Vec<u8>,
}

impl Opened {
    async fn by_bob(world: &World) -> Opened {
        let content = bytes(200_000, 1);
        world.put(&alice(), "@alice/f", &content).await.unwrap();
        world.grant(&alice(), "@alice/f", "bob", Right::Checkout, 10_000).await;
        let node = world.attr(&bob(), "@alice/f").await.unwrap().node;
        let open = OpenRequest { node, want: Right::Checkout, version: None };
        let version = world.service.fs_open(&bob(), open).await.unwrap().version;
        world.put(&alice(), "@alice/f", b"new").await.unwrap();
        world.wait(1000);
        world.service.upkeep.maintain().await.unwrap();
        let opened = Opened { node, version, content };
        assert!(opened.is_read(world).await, "whole, whoever checked in meanwhile");
        opened
    }

    async fn is_read(&self, world: &World) -> bool {
        world.read(&bob(), self.node, self.version).await.is_ok_and(|read| read == self.content)
    }
}

/// How many packs are kept.
async fn kept(world: &World) -> usize {
    world.service.upkeep.maintain().await.unwrap();
    world.stores.blobs.list().await.unwrap().len()
}

async fn a_pinned_version_stays_and_goes_when_it_is_given_back(world: World) {
    let Opened { node, version: pinned, .. } = Opened::by_bob(&world).await;
    assert_eq!(world.read(&bob(), node, Version(2)).await.unwrap(), b"new");
    assert_eq!(code(world.read(&alice(), node, pinned).await), Code::VersionGone, "alice does not hold it");
    let again = OpenRequest { node, want: Right::Checkout, version: Some(pinned) };
    assert_eq!(world.service.fs_open(&bob(), again).await.unwrap().size, 200_000);
    for _ in 0..2 {
        let pins = vec![Pin { node, version: pinned }];
        world.service.fs_close(&bob(), CloseRequest { pins }).await.unwrap();
    }
    world.service.upkeep.maintain().await.unwrap();
    assert_eq!(code(world.service.fs_open(&bob(), again).await), Code::VersionGone);
    assert_eq!(kept(&world).await, 0, "its pack is gone too");
}

async fn who_is_gone_pins_nothing(world: World) {
    Opened::by_bob(&world).await;
    assert_eq!(kept(&world).await, 1, "bob reads it");
    world.service.meta.set_disabled(&uid("bob"), true, by_administrator()).await.unwrap();
    assert_eq!(kept(&world).await, 0);
}

/// However the right ended: what bob has open keeps no key from being erased, and is not his when he gets another right.
async fn who_lost_the_right_pins_nothing(world: World) {
    let ends: [fn(&World) -> futures::future::BoxFuture<'_, ()>; 3] = [
        |world| Box::pin(async { world.revoke(&alice(), "@alice/f", "bob").await }),
        |world| Box::pin(async { world.wait(9_000) }),
        |world| Box::pin(async { world.grant(&alice(), "@alice/f", "bob", Right::Checkin, 10_000).await }),
    ];
    for end in ends {
        let opened = Opened::by_bob(&world).await;
        assert_eq!(kept(&world).await, 1, "bob reads it");
        end(&world).await;
        assert_eq!(kept(&world).await, 0);
        world.grant(&alice(), "@alice/f", "bob", Right::Checkout, 10_000).await;
        assert!(!opened.is_read(&world).await);
    }
}

async fn a_right_that_was_renewed_keeps_what_is_open(world: World) {
    let opened = Opened::by_bob(&world).await;
    world.grant(&alice(), "@alice/f", "bob", Right::Both, 10_000).await;
    world.service.upkeep.maintain().await.unwrap();
    assert!(opened.is_read(&world).await);
}
