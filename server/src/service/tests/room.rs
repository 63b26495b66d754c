//! A disk with less room than the server keeps free: nothing more comes in, and what makes room or ends rights goes on.

use super::*;

on_both_stores! {
    a_full_disk_refuses_what_takes_room_and_changes_nothing
    a_full_disk_keeps_nobody_from_reading_deleting_and_revoking
    room_that_comes_back_is_used
}

/// A world with something in it whose disk has become full.
async fn full(world: &mut World) -> NodeId {
    world.put(&alice(), "@alice/f", b"before").await.unwrap();
    world.grant(&alice(), "@alice/f", "bob", Right::Both, 1000).await;
    let node = world.attr(&alice(), "@alice/f").await.unwrap().node;
    world.restart(Settings { min_free: u64::MAX, ..Settings::default() }).await;
    node
}

async fn a_full_disk_refuses_what_takes_room_and_changes_nothing(mut world: World) {
    let node = full(&mut world).await;
    let packs = world.stores.blobs.list().await.unwrap().len();
    assert_eq!(code(world.put(&alice(), "@alice/f", &bytes(200_000, 1)).await), Code::DiskFull);
    assert_eq!(code(world.put(&alice(), "@alice/new", b"small").await), Code::DiskFull);
    assert_eq!(code(world.checkin(&bob(), node, Version(1), &[(0, b"B")], 6).await), Code::DiskFull);
    for kind in [Kind::File, Kind::Folder] {
        assert_eq!(code(world.create(&alice(), "@alice/made", kind).await), Code::DiskFull, "{kind:?}");
    }
    let xattr = SetXattrRequest {
        node,
        xattr: Xattr { name: "user.note".into(), value: "eA==".into() },
        mode: Default::default(),
    };
    assert_eq!(code(world.service.fs_setxattr(&alice(), xattr).await), Code::DiskFull);

    assert_eq!(world.get(&alice(), "@alice/f").await.unwrap(), b"before");
    assert_eq!(world.attr(&alice(), "@alice/f").await.unwrap().version, Version(1));
    for name in ["@alice/new", "@alice/made"] {
        assert_eq!(code(world.attr(&alice(), name).await), Code::NotFound, "{name}");
    }
    assert_eq!(world.stores.blobs.list().await.unwrap().len(), packs, "no pack was left");
    assert_eq!(world.service.fs_statfs(&alice(), Empty {}).await.unwrap().available, 0);
}

async fn a_full_disk_keeps_nobody_from_reading_deleting_and_revoking(mut world: World) {
    full(&mut world).await;
    assert_eq!(world.get(&bob(), "@alice/f").await.unwrap(), b"before");
    world.revoke(&alice(), "@alice/f", "bob").await;
    assert_eq!(code(world.get(&bob(), "@alice/f").await), Code::NoRight);
    world.rename(&alice(), "@alice/f", "@alice/g").await.unwrap();
    let path = "@alice/g".parse().unwrap();
    world.service.delete_document(&alice(), &path, Precondition::None).await.unwrap();
    assert_eq!(code(world.get(&alice(), "@alice/g").await), Code::NotFound);
}

async fn room_that_comes_back_is_used(mut world: World) {
    full(&mut world).await;
    assert_eq!(code(world.put(&alice(), "@alice/f", b"after").await), Code::DiskFull);
    world.restart(Settings { min_free: 0, ..Settings::default() }).await;
    assert_eq!(world.put(&alice(), "@alice/f", b"after").await.unwrap(), Version(2));
}
