//! Damage is found, never passed on.

use super::*;

on_both_stores! {
    a_flipped_byte_in_a_pack_is_found
    a_missing_or_short_pack_is_found
    orphans_are_swept a_pack_that_is_held_is_no_orphan
}

fn pack_files(world: &World) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![world.dir.path().join("packs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}

async fn a_flipped_byte_in_a_pack_is_found(world: World) {
    let content = bytes(200_000, 1);
    world.put(&alice(), "@alice/f", &content).await.unwrap();
    let [pack] = &pack_files(&world)[..] else { panic!("one pack") };
    let good = std::fs::read(pack).unwrap();
    let node = world.attr(&alice(), "@alice/f").await.unwrap().node;
    for at in [0, 5, 20, 47, 48, 70_000, 140_000, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(pack, &bad).unwrap();
        world.service.contents.forget(node);
        assert_eq!(code(world.get(&alice(), "@alice/f").await), Code::Integrity, "byte {at}");
    }
    std::fs::write(pack, &good).unwrap();
    world.service.contents.forget(node);
    assert!(world.get(&alice(), "@alice/f").await.unwrap() == content);
}

async fn a_missing_or_short_pack_is_found(world: World) {
    world.put(&alice(), "@alice/f", &bytes(200_000, 1)).await.unwrap();
    let [pack] = &pack_files(&world)[..] else { panic!("one pack") };
    let good = std::fs::read(pack).unwrap();
    let node = world.attr(&alice(), "@alice/f").await.unwrap().node;
    std::fs::write(pack, &good[..good.len() - 1]).unwrap();
    assert_eq!(code(world.get(&alice(), "@alice/f").await), Code::Integrity);
    std::fs::remove_file(pack).unwrap();
    world.service.contents.forget(node);
    assert_eq!(code(world.get(&alice(), "@alice/f").await), Code::Integrity);
}

async fn orphans_are_swept(world: World) {
    world.put(&alice(), "@alice/f", &bytes(200_000, 1)).await.unwrap();
    let orphan = sss_common::PackId::random();
    let mut writer = world.stores.blobs.begin(orphan).await.unwrap();
    writer.write(Bytes::from_static(b"left by a crash")).await.unwrap();
    writer.finish().await.unwrap();
    // Files are dated by the machine, so the test's clock is moved to a day behind the machine's.
    let machine = sss_common::SystemClock.now();
    world.clock.advance(machine.since(world.clock.now()));
    world.service.upkeep.sweep_orphans().await.unwrap();
    assert_eq!(pack_files(&world).len(), 2, "too young to be an orphan");
    world.wait(24 * 3600);
    world.service.upkeep.sweep_orphans().await.unwrap();
    assert_eq!(pack_files(&world).len(), 1);
    assert!(world.get(&alice(), "@alice/f").await.is_ok());
}

/// Deleted while a backup needs its pack: no row any more, and old enough to be taken for an orphan.
async fn a_pack_that_is_held_is_no_orphan(world: World) {
    world.put(&alice(), "@alice/f", &bytes(200_000, 1)).await.unwrap();
    let machine = sss_common::SystemClock.now();
    world.clock.advance(machine.since(world.clock.now()));
    world.wait(24 * 3600);
    let until = world.clock.now().after(Duration::from_secs(60));
    world.service.meta.hold("backup", until).await.unwrap();
    world.service.delete_document(&alice(), &"@alice/f".parse().unwrap(), Precondition::None).await.unwrap();
    world.service.upkeep.maintain().await.unwrap();
    world.service.upkeep.sweep_orphans().await.unwrap();
    assert_eq!(pack_files(&world).len(), 1, "the backup needs it");
    world.service.meta.release("backup").await.unwrap();
    world.service.upkeep.maintain().await.unwrap();
    assert_eq!(pack_files(&world).len(), 0);
}

#[tokio::test]
async fn damage_is_written_into_the_audit_log() {
    let store = Arc::new(MemoryStore::default());
    let meta = store.clone();
    let world = World::on(|_| meta).await;
    world.put(&alice(), "@alice/f", &bytes(200_000, 1)).await.unwrap();
    let [pack] = &pack_files(&world)[..] else { panic!("one pack") };
    std::fs::write(pack, b"").unwrap();
    assert_eq!(code(world.get(&alice(), "@alice/f").await), Code::Integrity);
    let written = async {
        while !store
            .audit_log()
            .iter()
            .any(|row| row.action == AuditAction::Integrity && row.path == "@alice/f")
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), written).await.unwrap();
}
