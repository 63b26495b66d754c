//! Each kind of damage is found, and told of the versions that have it and of no others.

use super::*;

const BLOCK: usize = 65_552;

/// Small and large, signed and not, changed and as they were made.
async fn filled() -> World {
    let world = World::new().await;
    world.put("small", Flag::Confidentiality, b"a small document").await;
    world.put("signed", Flag::Integrity, b"a small signed document").await;
    world.put("large", Flag::Confidentiality, &bytes(200_000, 1)).await;
    world.put("tall", Flag::Integrity, &bytes(300_000, 2)).await;
    world.put("empty", Flag::Integrity, b"").await;
    world
}

#[tokio::test]
async fn a_clean_store_has_no_damage() {
    let world = filled().await;
    // Versions that share packs; shorter and longer ones, with a hole; a link, and what was never checked in.
    world.change("tall", 70_000, &bytes(1000, 3), 300_000).await;
    world.change("tall", 10, b"x", 130_000).await;
    world.change("tall", 400_000, b"behind a hole", 400_013).await;
    world.change("large", 0, &bytes(65_536, 4), 200_000).await;
    let home = world
        .service
        .fs_home(&world.alice, sss_common::wire::fs::HomeRequest { uid: "alice".parse().unwrap() });
    let parent = home.await.unwrap().node;
    for (name, kind, target) in [
        ("link", sss_common::Kind::Symlink, Some("to/there".to_owned())),
        ("unborn", sss_common::Kind::File, None),
    ] {
        let (name, mode) = (name.parse().unwrap(), 0o644);
        let request = sss_common::wire::fs::CreateRequest {
            parent,
            name,
            kind,
            mode,
            flag: None,
            target,
            copy_of: None,
        };
        world.service.fs_create(&world.alice, request).await.unwrap();
    }
    let orphan = world.dir.path().join("packs/00").join("0".repeat(32));
    std::fs::write(orphan, b"of an upload under way").unwrap();

    let keyring = std::fs::read(world.dir.path().join("keyring")).unwrap();
    let totals = world.meta.totals().await.unwrap();
    let watch = Lines::default();
    let seen = Scrub::of(world.beside(), Rate::unlimited()).await.unwrap().run(&watch).await.unwrap();
    assert_eq!(*watch.lines.lock(), [""; 0]);
    let expected = Scrubbed {
        documents: 7,
        versions: totals.versions,
        packs: totals.packs,
        bytes: totals.bytes,
        orphans: 1,
        ..Scrubbed::default()
    };
    assert_eq!(seen, expected);
    assert_eq!((totals.versions, totals.packs), (10, 9), "five as they were made, four changes, a link");
    let walked = [(Walk::Versions, 10, 10), (Walk::Packs, totals.bytes, totals.bytes)];
    assert_eq!(*watch.advanced.lock(), walked, "each pack was read once, to its end");
    assert_eq!(world.audited(), []);
    assert!(std::fs::read(world.dir.path().join("keyring")).unwrap() == keyring);
}

#[tokio::test]
async fn a_store_without_documents_has_no_damage() {
    let world = World::new().await;
    assert_eq!(world.scrub().await, (vec![], Scrubbed::default()));
}

#[tokio::test]
async fn a_flipped_bit_in_any_record_is_found() {
    let world = filled().await;
    for name in ["small", "signed", "large", "tall", "empty"] {
        let filter = format!("node = (SELECT id FROM nodes WHERE name = '{name}')");
        for at in [0, 10, 40, -1] {
            world.flip("versions", "record", at, &filter);
            let expected = format!("@alice/{name}, version 1: its record does not verify");
            assert_eq!(world.damage().await, [expected], "byte {at}");
            world.flip("versions", "record", at, &filter);
        }
    }
    assert_eq!(world.scrub().await.0, [""; 0], "flipped back");
}

#[tokio::test]
async fn damage_is_in_the_audit_log_once_for_each_version() {
    let world = filled().await;
    world.flip("versions", "record", 50, "node = (SELECT id FROM nodes WHERE name = 'small')");
    let [pack, ..] = &world.pack_files().await[..] else { panic!("two packs") };
    // Two blocks of one version, and its record besides.
    flip_file(pack, 100);
    flip_file(pack, BLOCK + 100);
    world.scrub().await;
    let mut rows = world.audited();
    rows.sort();
    let [(None, large, blocks), (None, small, record)] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((large.as_str(), small.as_str()), ("@alice/large", "@alice/small"));
    assert_eq!(without_ids(blocks), "version 1: block 0 of pack X does not verify, nor do 1 more");
    assert_eq!(record, "version 1: its record does not verify");
}

#[tokio::test]
async fn a_flipped_bit_in_a_pack_is_found_in_the_versions_that_read_it() {
    let world = World::new().await;
    world.put("large", Flag::Confidentiality, &bytes(200_000, 1)).await;
    world.change("large", 65_536, &bytes(131_072, 4), 200_000).await;
    let [first, second] = &world.pack_files().await[..] else { panic!("two packs") };
    let version = |version: u64, what: &str| format!("@alice/large, version {version}: {what}");
    let block = |number: u64| format!("block {number} of pack X does not verify");
    let header = "the header of pack X does not verify";
    for (file, at, expected) in [
        (first, 0, vec![version(1, header), version(2, header)]),
        (first, 47, vec![version(1, header), version(2, header)]),
        (first, 48, vec![version(1, &block(0)), version(2, &block(0))]),
        (first, 48 + BLOCK, vec![version(1, &block(1))]),
        (first, 48 + 2 * BLOCK - 1, vec![version(1, &block(1))]),
        (first, 48 + 3 * BLOCK, vec![version(1, &block(3)), version(2, &block(3))]),
        (second, 48, vec![version(2, &block(0))]),
    ] {
        flip_file(file, at);
        assert_eq!(world.damage().await, expected, "byte {at}");
        flip_file(file, at);
    }
    let last = std::fs::metadata(first).unwrap().len() as usize - 1;
    flip_file(first, last);
    assert_eq!(world.damage().await, [version(1, &block(3)), version(2, &block(3))]);
}

#[tokio::test]
async fn a_bad_block_that_no_version_reads_any_more_is_only_counted() {
    let world = World::keeping(Duration::ZERO).await;
    world.put("large", Flag::Confidentiality, &bytes(200_000, 1)).await;
    world.change("large", 65_536, &bytes(131_072, 4), 200_000).await;
    world.service.upkeep.maintain().await.unwrap();
    let [first, _] = &world.pack_files().await[..] else { panic!("two packs") };
    flip_file(first, 48 + BLOCK);
    let (lines, seen) = world.scrub().await;
    assert_eq!((lines.len(), seen.unread, seen.versions), (0, 1, 1));
}

#[tokio::test]
async fn a_pack_that_is_cut_longer_gone_or_anothers_is_found() {
    let world = World::new().await;
    world.put("one", Flag::Confidentiality, &bytes(200_000, 1)).await;
    world.put("two", Flag::Integrity, &bytes(200_000, 2)).await;
    let [one, two] = &world.pack_files().await[..] else { panic!("two packs") };
    let good = std::fs::read(one).unwrap();
    let found = |what: &str| vec![format!("@alice/one, version 1: {what}")];
    for (length, what) in [
        (good.len() - 1, "pack X is cut short"),
        (48 + BLOCK, "pack X is cut short"),
        (0, "pack X is cut short"),
        (good.len() + 1, "pack X is longer than its row says"),
    ] {
        let mut bad = good.clone();
        bad.resize(length, 0);
        std::fs::write(one, bad).unwrap();
        assert_eq!(world.damage().await, found(what), "{length} bytes");
    }
    std::fs::remove_file(one).unwrap();
    assert_eq!(world.damage().await, found("pack X is missing"));

    std::fs::copy(two, one).unwrap();
    std::fs::write(two, good).unwrap();
    let swapped =
        ["one", "two"].map(|n| format!("@alice/{n}, version 1: the header of pack X does not verify"));
    assert_eq!(world.damage().await, swapped);
}

#[tokio::test]
async fn a_pack_in_its_row_is_checked_as_others_are() {
    let world = World::new().await;
    world.put("small", Flag::Confidentiality, b"a small document").await;
    let found = |what: &str| vec![format!("@alice/small, version 1: {what}")];
    for (at, what) in [
        (0, "the header of pack X does not verify"),
        (50, "block 0 of pack X does not verify"),
        (-1, "block 0 of pack X does not verify"),
    ] {
        world.flip("packs", "inline", at, "true");
        assert_eq!(world.damage().await, found(what), "byte {at}");
        world.flip("packs", "inline", at, "true");
    }
    world.sql("UPDATE packs SET inline = substr(inline, 1, 60)");
    assert_eq!(world.damage().await, found("the length of pack X is not what its row says"));
    world.sql("UPDATE packs SET length = 60");
    assert_eq!(world.damage().await, found("block 0 of pack X does not verify"));
}

#[tokio::test]
async fn rows_that_were_changed_are_found() {
    let world = filled().await;
    let rows = |name: &str| format!("(SELECT id FROM nodes WHERE name = '{name}')");
    let version = |version: u64, what: &str| format!("@alice/large, version {version}: {what}");
    for (statement, expected) in [
        (
            format!("UPDATE versions SET version = 7 WHERE node = {}", rows("large")),
            vec![version(1, "its row is missing"), version(7, "its record does not verify")],
        ),
        (
            format!("DELETE FROM versions WHERE node = {}", rows("large")),
            vec![version(1, "its row is missing")],
        ),
        (
            format!("UPDATE nodes SET size = 7 WHERE id = {}", rows("large")),
            vec![version(1, "its record says 200000 bytes, its row 7")],
        ),
        (
            format!("UPDATE versions SET leaf = 99999 WHERE node = {}", rows("large")),
            vec![version(1, "its key is gone")],
        ),
        (
            format!("UPDATE versions SET leaf = leaf - 1 WHERE node = {}", rows("large")),
            vec![version(1, "its record does not verify")],
        ),
        (
            format!("DELETE FROM packs WHERE document = {}", rows("large")),
            vec![version(1, "pack X has no row")],
        ),
        (
            format!("DELETE FROM version_packs WHERE node = {}", rows("large")),
            vec![version(1, "pack X does not count as used by it")],
        ),
        (
            format!("UPDATE packs SET blocks = 3 WHERE document = {}", rows("large")),
            vec![version(1, "it reads more of pack X than its row says there is")],
        ),
        (
            format!("UPDATE packs SET blocks = 9223372036854775807 WHERE document = {}", rows("large")),
            vec![version(1, "the length of pack X is not what its row says")],
        ),
        (
            format!(
                "UPDATE packs SET length = length + 65552, blocks = 5 WHERE document = {}",
                rows("large")
            ),
            vec![version(1, "pack X is cut short")],
        ),
        (
            format!("UPDATE packs SET leaf = 99999 WHERE document = {}", rows("large")),
            // Behind the last leaf, so it is passed over as a later check-in's.
            vec![],
        ),
        (
            format!("UPDATE packs SET leaf = 0 WHERE document = {}", rows("large")),
            vec![version(1, "block 0 of pack X does not verify, nor do 3 more")],
        ),
        (
            format!("UPDATE packs SET document = {} WHERE document = {}", rows("small"), rows("large")),
            vec![version(1, "the header of pack X does not verify")],
        ),
    ] {
        let copy = world.copy();
        assert_eq!(sql(copy.path(), &statement), 1, "{statement}");
        assert_eq!(damage(copy.path()).await, expected, "{statement}");
    }
}

#[tokio::test]
async fn a_flipped_bit_in_the_key_tree_is_found() {
    let world = filled().await;
    world.flip("key_nodes", "sealed", 70, "level = 5");
    let damage = world.damage().await;
    assert_eq!(damage.len(), 5, "all five have their keys in this node: {damage:?}");
    for line in damage {
        assert!(line.ends_with("version 1: a node of the key tree does not verify"), "{line}");
    }
    world.flip("key_nodes", "sealed", 70, "level = 5");
    world.sql("DELETE FROM key_nodes WHERE level = 5");
    assert_eq!(world.damage().await.len(), 5);

    let world = filled().await;
    world.flip("key_nodes", "sealed", 70, "level = 0");
    let refused = Scrub::of(world.beside(), Rate::unlimited()).await.err().unwrap().to_string();
    assert!(refused.contains("does not open this store's key tree"), "{refused}");
    assert_eq!(refused.lines().count(), 2);
}

/// More bad blocks than are remembered: then every version of the pack is damaged.
#[tokio::test]
async fn a_pack_with_very_many_bad_blocks_takes_all_its_versions() {
    let world = World::new().await;
    let blocks = packs::BAD_MAX + 10;
    world.put("huge", Flag::Confidentiality, &bytes(blocks * 65_536, 1)).await;
    // The second version reads only the last block of the first one's pack.
    let most = (blocks - 1) * 65_536;
    world.change("huge", 0, &bytes(most, 2), (blocks * 65_536) as u64).await;
    let [first, _] = &world.pack_files().await[..] else { panic!("two packs") };
    let mut bad = std::fs::read(first).unwrap();
    for block in 0..blocks {
        bad[48 + block * BLOCK] ^= 1;
    }
    std::fs::write(first, bad).unwrap();
    let nor = packs::BAD_MAX - 1;
    let expected = [
        format!("@alice/huge, version 1: block 0 of pack X does not verify, nor do {nor} more"),
        "@alice/huge, version 2: more than 256 blocks of pack X do not verify".to_owned(),
    ];
    assert_eq!(world.damage().await, expected);
}
