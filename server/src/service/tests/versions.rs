//! Versions: whole, durable, one after another.

use super::*;
use sss_common::Flag;
use sss_common::limits::BLOCK_SIZE;
use sss_common::record::{RecordHash, VersionRecord, block_hash, merkle_root};

on_both_stores! {
    a_put_makes_the_next_version
    preconditions
    any_size_comes_back
    changed_ranges_go_over_the_base
    a_grown_document_has_zeroes_where_nothing_was_written
    shrinking_forgets_what_was_behind
    a_stale_base_is_refused_and_changes_nothing
    a_broken_upload_leaves_no_version
    an_upload_must_keep_to_the_frames
    a_repeated_check_in_is_answered_once
    integrity_versions_are_signed_over_their_content
    a_flag_changes_with_a_new_version
    many_small_check_ins_are_brought_together
    a_put_can_change_the_flag
    a_document_has_a_largest_size
    an_integrity_document_has_a_largest_size
    deleted_means_gone
}

async fn a_put_makes_the_next_version(world: World) {
    for version in 1..4 {
        assert_eq!(world.put(&alice(), "@alice/f", b"text").await.unwrap(), Version(version));
    }
    assert_eq!(world.attr(&alice(), "@alice/f").await.unwrap().author, Some(uid("alice")));
}

async fn preconditions(world: World) {
    let put = |only_if| {
        let service = world.service.clone();
        async move {
            let path = "@alice/f".parse().unwrap();
            service.put_document(&alice(), &path, None, only_if, whole(b"x")).await
        }
    };
    assert_eq!(code(put(Precondition::Version(Version(1))).await), Code::VersionMoved);
    assert!(put(Precondition::Absent).await.unwrap().1, "created");
    assert_eq!(code(put(Precondition::Absent).await), Code::VersionMoved);
    assert!(!put(Precondition::Version(Version(1))).await.unwrap().1);
    assert_eq!(code(put(Precondition::Version(Version(1))).await), Code::VersionMoved);
    let path = "@alice/f".parse().unwrap();
    let stale = Precondition::Version(Version(1));
    assert_eq!(code(world.service.delete_document(&alice(), &path, stale).await), Code::VersionMoved);
    world.service.delete_document(&alice(), &path, Precondition::Version(Version(2))).await.unwrap();
}

async fn any_size_comes_back(world: World) {
    for size in [0, 1, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, 3 * BLOCK_SIZE, 5_000_001] {
        let content = bytes(size, 7);
        world.put(&alice(), "@alice/f", &content).await.unwrap();
        assert!(world.get(&alice(), "@alice/f").await.unwrap() == content, "{size}");
        for (range, expected) in [
            (RangeRequest::From(1, Some(2)), content.get(1..3.min(size)).unwrap_or_default()),
            (RangeRequest::Last(70_000), &content[size.saturating_sub(70_000)..]),
            (
                RangeRequest::From(65_530, Some(65_545)),
                content.get(65_530..65_546.min(size)).unwrap_or_default(),
            ),
        ] {
            match world.service.get_document(&alice(), &"@alice/f".parse().unwrap(), range).await {
                Ok(checkout) => {
                    assert_eq!(collect(checkout.body).await.unwrap(), expected, "{size} {range:?}")
                }
                Err(failure) => {
                    assert!(failure.code == Code::BadRange && expected.is_empty(), "{size} {range:?}")
                }
            }
        }
    }
}

async fn changed_ranges_go_over_the_base(world: World) {
    let mut expected = bytes(300_000, 1);
    world.put(&alice(), "@alice/f", &expected).await.unwrap();
    let attr = world.attr(&alice(), "@alice/f").await.unwrap();
    let patch = bytes(70_000, 9);
    let ranges: [(u64, &[u8]); 3] = [(10, b"abc"), (100, b"def"), (130_000, &patch)];
    let attr = world.checkin(&alice(), attr.node, attr.version, &ranges, 300_000).await.unwrap();
    for (at, bytes) in ranges {
        expected[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
    }
    assert_eq!(attr.version, Version(2));
    assert!(world.get(&alice(), "@alice/f").await.unwrap() == expected);
}

async fn a_grown_document_has_zeroes_where_nothing_was_written(world: World) {
    world.put(&alice(), "@alice/f", b"begin").await.unwrap();
    let attr = world.attr(&alice(), "@alice/f").await.unwrap();
    let attr = world.checkin(&alice(), attr.node, attr.version, &[(200_000, b"end")], 200_003).await.unwrap();
    let mut expected = b"begin".to_vec();
    expected.resize(200_000, 0);
    expected.extend_from_slice(b"end");
    assert!(world.get(&alice(), "@alice/f").await.unwrap() == expected);
    world.checkin(&alice(), attr.node, attr.version, &[], 1_000_000).await.unwrap();
    expected.resize(1_000_000, 0);
    assert!(world.get(&alice(), "@alice/f").await.unwrap() == expected);
}

async fn shrinking_forgets_what_was_behind(world: World) {
    world.put(&alice(), "@alice/f", &[b'x'; 100_000]).await.unwrap();
    let mut attr = world.attr(&alice(), "@alice/f").await.unwrap();
    for size in [70_000, 70_010, 20, 40, 0, 100_000] {
        attr = world.checkin(&alice(), attr.node, attr.version, &[], size).await.unwrap();
    }
    assert!(world.get(&alice(), "@alice/f").await.unwrap() == vec![0; 100_000]);

    world.put(&alice(), "@alice/g", &[b'x'; 60_000]).await.unwrap();
    let attr = world.attr(&alice(), "@alice/g").await.unwrap();
    let attr = world.checkin(&alice(), attr.node, attr.version, &[(0, b"new")], 10).await.unwrap();
    world.checkin(&alice(), attr.node, attr.version, &[], 20).await.unwrap();
    assert_eq!(world.get(&alice(), "@alice/g").await.unwrap(), b"newxxxxxxx\0\0\0\0\0\0\0\0\0\0");
}

async fn a_stale_base_is_refused_and_changes_nothing(world: World) {
    world.put(&alice(), "@alice/f", b"one").await.unwrap();
    let attr = world.attr(&alice(), "@alice/f").await.unwrap();
    world.put(&alice(), "@alice/f", b"two").await.unwrap();
    let late = world.checkin(&alice(), attr.node, attr.version, &[(0, b"three")], 5).await;
    assert_eq!(code(late), Code::VersionMoved);
    assert_eq!(world.get(&alice(), "@alice/f").await.unwrap(), b"two");
}

async fn a_broken_upload_leaves_no_version(world: World) {
    world.put(&alice(), "@alice/f", b"one").await.unwrap();
    let attr = world.attr(&alice(), "@alice/f").await.unwrap();
    let mut body = Vec::new();
    for n in 0..4 {
        body.extend_from_slice(&data_header(n << 20, 1 << 20).unwrap());
        body.extend_from_slice(&bytes(1 << 20, 1));
    }
    let cut = world.service.fs_checkin(&alice(), attr.node, attr.version, None, whole(&body)).await;
    assert_eq!(code(cut), Code::BadRequest);
    let broken = whole(&body).chain(futures::stream::iter([Err(std::io::Error::other("line cut"))])).boxed();
    let cut = world.service.fs_checkin(&alice(), attr.node, attr.version, None, broken).await;
    assert_eq!(code(cut), Code::BadRequest);
    assert_eq!(world.get(&alice(), "@alice/f").await.unwrap(), b"one");
    assert_eq!(world.stores.blobs.list().await.unwrap().len(), 0);
    let entries = |folder: std::path::PathBuf| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let shelves = entries(world.dir.path().join("packs")).map(|shelf| shelf.path());
    let files = shelves.filter(|shelf| shelf.is_dir()).flat_map(entries).count();
    assert_eq!(files, 0, "nor what had been written of it");
    let never = whole(&body).chain(futures::stream::iter([Err(std::io::Error::other("line cut"))])).boxed();
    let path = "@alice/never".parse().unwrap();
    let put = world.service.put_document(&alice(), &path, None, Precondition::Absent, never).await;
    assert_eq!(code(put), Code::BadRequest);
    assert_eq!(code(world.get(&alice(), "@alice/never").await), Code::NotFound);
}

async fn an_upload_must_keep_to_the_frames(world: World) {
    world.put(&alice(), "@alice/f", &bytes(200_000, 1)).await.unwrap();
    let attr = world.attr(&alice(), "@alice/f").await.unwrap();
    let twice_in_part: [(u64, &[u8]); 3] = [(0, b"a"), (70_000, b"b"), (5, b"c")];
    for (ranges, size) in [(&twice_in_part[..], 200_000), (&[(200_000, &b"x"[..])][..], 200_000)] {
        let refused = world.checkin(&alice(), attr.node, attr.version, ranges, size).await;
        assert_eq!(code(refused), Code::BadRequest);
    }
    let scattered = |count: u64| (0..count).map(|n| (n * 3, &b"x"[..])).collect::<Vec<_>>();
    let refused = world.checkin(&alice(), attr.node, attr.version, &scattered(1025), 200_000).await;
    assert_eq!(code(refused), Code::BadRequest);
    let attr = world.checkin(&alice(), attr.node, attr.version, &scattered(1024), 200_000).await.unwrap();
    let block = bytes(BLOCK_SIZE, 5);
    let whole_again: [(u64, &[u8]); 3] = [(0, b"a"), (70_000, b"b"), (0, &block)];
    world.checkin(&alice(), attr.node, attr.version, &whole_again, 200_000).await.unwrap();
    assert!(world.get(&alice(), "@alice/f").await.unwrap()[..BLOCK_SIZE] == block);
}

async fn a_repeated_check_in_is_answered_once(world: World) {
    let node = world.create(&alice(), "@alice/f", Kind::File).await.unwrap().attr.node;
    let id = Some(CheckinId([7; 16]));
    let send = |who: Caller| {
        let service = world.service.clone();
        async move { service.fs_checkin(&who, node, Version(0), id, framed(&[(0, b"x")], 1)).await }
    };
    let first = send(alice()).await.unwrap();
    assert_eq!(send(alice()).await.unwrap(), first);
    assert_eq!(world.attr(&alice(), "@alice/f").await.unwrap().version, Version(1));
    world.grant(&alice(), "@alice/f", "bob", Right::Both, 100).await;
    assert_eq!(code(send(bob()).await), Code::VersionMoved, "an id is its session's own");
}

async fn integrity_versions_are_signed_over_their_content(world: World) {
    let path = "@alice/f".parse().unwrap();
    let mut content = bytes(200_000, 1);
    let flag = Some(Flag::Integrity);
    world.service.put_document(&alice(), &path, flag, Precondition::None, whole(&content)).await.unwrap();
    let mut attr = world.attr(&alice(), "@alice/f").await.unwrap();
    let mut previous = RecordHash::NONE;
    for (ranges, size) in [
        (None, 200_000),
        (Some((70_000u64, &b"hello"[..])), 200_000),
        (Some((200_000, &b"more"[..])), 200_004),
        (Some((300_000, &b"far"[..])), 300_003),
        (Some((0, &b""[..])), 150_000),
        (Some((0, &b""[..])), 400_000),
    ] {
        if let Some((at, bytes)) = ranges {
            let list: &[(u64, &[u8])] = if bytes.is_empty() { &[] } else { &[(at, bytes)] };
            attr = world.checkin(&alice(), attr.node, attr.version, list, size as u64).await.unwrap();
            content.resize(size, 0);
            content[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
        }
        assert!(world.get(&alice(), "@alice/f").await.unwrap() == content, "{size}");
        let request = RecordRequest { node: attr.node, version: None };
        let response = world.service.fs_record(&alice(), request).await.unwrap();
        let record = VersionRecord::decode(&response.record.0).unwrap();
        let signature = response.signature.unwrap().0;
        use rsa::pkcs8::DecodePublicKey as _;
        let key = rsa::RsaPublicKey::from_public_key_pem(&response.server_key).unwrap();
        assert!(record.is_signed_by(&key, &signature));
        let leaves: Vec<_> = content.chunks(BLOCK_SIZE).map(block_hash).collect();
        assert_eq!((record.root, record.size), (merkle_root(&leaves), size as u64));
        assert_eq!((record.version, record.previous), (attr.version, previous));
        previous = record.hash();
    }
}

async fn a_flag_changes_with_a_new_version(world: World) {
    world.put(&alice(), "@alice/f", &bytes(100_000, 1)).await.unwrap();
    world.grant(&alice(), "@alice/f", "bob", Right::Both, 100).await;
    let attr = world.attr(&alice(), "@alice/f").await.unwrap();
    let request = |flag| SetFlagRequest { node: attr.node, flag };
    assert_eq!(code(world.service.fs_setflag(&bob(), request(Flag::Integrity)).await), Code::NoRight);
    for (flag, version) in [(Flag::Integrity, 2), (Flag::Integrity, 2), (Flag::Confidentiality, 3)] {
        let attr = world.service.fs_setflag(&alice(), request(flag)).await.unwrap();
        assert_eq!((attr.flag, attr.version), (Some(flag), Version(version)));
        let record = RecordRequest { node: attr.node, version: None };
        let signed = world.service.fs_record(&alice(), record).await.unwrap().signature.is_some();
        assert_eq!(signed, flag == Flag::Integrity);
        assert!(world.get(&alice(), "@alice/f").await.unwrap() == bytes(100_000, 1));
    }
    let folder = world.mkdir(&alice(), "@alice/signed").await;
    let request = SetFlagRequest { node: folder, flag: Flag::Integrity };
    world.service.fs_setflag(&alice(), request).await.unwrap();
    world.put(&alice(), "@alice/signed/sub/f", b"x").await.unwrap();
    assert_eq!(world.attr(&alice(), "@alice/signed/sub/f").await.unwrap().flag, Some(Flag::Integrity));
}

async fn many_small_check_ins_are_brought_together(world: World) {
    let blocks = 300;
    let mut expected = vec![0; blocks * BLOCK_SIZE + 5];
    world.put(&alice(), "@alice/f", &expected).await.unwrap();
    let mut attr = world.attr(&alice(), "@alice/f").await.unwrap();
    let mut most = 0;
    for n in 0..blocks {
        let at = (n * 7 % blocks) * BLOCK_SIZE + n;
        let ranges: [(u64, &[u8]); 1] = [(at as u64, &[1 + (n % 250) as u8])];
        expected[at] = ranges[0].1[0];
        attr =
            world.checkin(&alice(), attr.node, attr.version, &ranges, expected.len() as u64).await.unwrap();
        let seen = world.service.rights.seen_path(&alice(), &"@alice/f".parse().unwrap()).await.unwrap();
        let allowed = world.service.rights.allow(&alice(), &seen, sss_policy::Checkout).unwrap();
        let content = world.service.contents.content(&alice(), &allowed, &seen, attr.version).await.unwrap();
        most = most.max(content.body.layout.packs().len());
    }
    assert_eq!(most, content::PACKS_MAX + 1, "and then one");
    assert!(world.get(&alice(), "@alice/f").await.unwrap() == expected);
}

async fn a_put_can_change_the_flag(world: World) {
    let path: DocPath = "@alice/f".parse().unwrap();
    let put = |who: Caller, flag| {
        let (service, path) = (world.service.clone(), path.clone());
        async move { service.put_document(&who, &path, Some(flag), Precondition::None, whole(b"text")).await }
    };
    put(alice(), Flag::Confidentiality).await.unwrap();
    world.grant(&alice(), "@alice/f", "bob", Right::Both, 100).await;
    assert_eq!(code(put(bob(), Flag::Integrity).await), Code::NoRight, "the flag is the owner's");
    assert_eq!(put(alice(), Flag::Integrity).await.unwrap().0.version, Version(2));
    assert_eq!(put(bob(), Flag::Integrity).await.unwrap().0.version, Version(3));
    let attr = world.attr(&alice(), "@alice/f").await.unwrap();
    assert_eq!(attr.flag, Some(Flag::Integrity));
    let record = RecordRequest { node: attr.node, version: None };
    assert!(world.service.fs_record(&alice(), record).await.unwrap().signature.is_some());
}

async fn a_document_has_a_largest_size(world: World) {
    let most = world.settings.document_max;
    let node = world.create(&alice(), "@alice/f", Kind::File).await.unwrap().attr.node;
    assert_eq!(code(world.checkin(&alice(), node, Version(0), &[], most + 1).await), Code::TooLarge);
    let attr = world.checkin(&alice(), node, Version(0), &[(most - 1, b"x")], most).await.unwrap();
    assert_eq!(attr.size, most);
    let range = RangeRequest::Last(2);
    let end = world.service.get_document(&alice(), &"@alice/f".parse().unwrap(), range).await.unwrap();
    assert_eq!(collect(end.body).await.unwrap(), b"\0x");
}

async fn an_integrity_document_has_a_largest_size(world: World) {
    let over = sss_common::limits::INTEGRITY_MAX + 1;
    let node = world.create(&alice(), "@alice/large", Kind::File).await.unwrap().attr.node;
    world.checkin(&alice(), node, Version(0), &[], over).await.unwrap();
    let request = SetFlagRequest { node, flag: Flag::Integrity };
    assert_eq!(code(world.service.fs_setflag(&alice(), request).await), Code::TooLarge);
    let signed = world.create(&alice(), "@alice/signed", Kind::File).await.unwrap().attr.node;
    let request = SetFlagRequest { node: signed, flag: Flag::Integrity };
    world.service.fs_setflag(&alice(), request).await.unwrap();
    assert_eq!(code(world.checkin(&alice(), signed, Version(0), &[], over).await), Code::TooLarge);
    assert_eq!(code(world.rename(&alice(), "@alice/large", "@alice/signed").await), Code::TooLarge);
    let holes = 100 << 20;
    world.checkin(&alice(), signed, Version(0), &[], holes).await.unwrap();
    let record = RecordRequest { node: signed, version: None };
    let response = world.service.fs_record(&alice(), record).await.unwrap();
    let leaves = vec![block_hash(&[0; BLOCK_SIZE]); holes as usize / BLOCK_SIZE];
    assert_eq!(VersionRecord::decode(&response.record.0).unwrap().root, merkle_root(&leaves));
}

async fn deleted_means_gone(world: World) {
    world.put(&alice(), "@alice/f", &bytes(300_000, 1)).await.unwrap();
    world.grant(&alice(), "@alice/f", "bob", Right::Both, 100).await;
    let node = world.attr(&alice(), "@alice/f").await.unwrap().node;
    let open = OpenRequest { node, want: Right::Checkout, version: None };
    world.service.fs_open(&bob(), open).await.unwrap();
    let path = "@alice/f".parse().unwrap();
    assert_eq!(code(world.service.delete_document(&bob(), &path, Precondition::None).await), Code::NoRight);
    world.service.delete_document(&alice(), &path, Precondition::None).await.unwrap();
    assert_eq!(code(world.read(&bob(), node, Version(1)).await), Code::NotFound);
    assert_eq!(code(world.get(&alice(), "@alice/f").await), Code::NotFound);
    world.service.upkeep.maintain().await.unwrap();
    assert_eq!(world.stores.blobs.list().await.unwrap().len(), 0);
    world.put(&alice(), "@alice/f", b"another").await.unwrap();
    assert_eq!(
        code(world.get(&bob(), "@alice/f").await),
        Code::NotFound,
        "a new document has none of the old one's grants"
    );
}
