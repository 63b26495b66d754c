use super::*;

pub(super) async fn documents_in_pages(rig: Rig) {
    assert_eq!(rig.store.documents(None, 9).await.unwrap(), [], "homes are no documents");
    let home = rig.home("alice").await;
    let folder = rig.folder(home, "folder").await;
    let mut places = Vec::new();
    for number in 0..5 {
        let name = format!("f{number}");
        places.push((rig.make(folder, &name, Kind::File).await, folder, name));
    }
    places.push((rig.make(home, "link", Kind::Symlink).await, home, "link".into()));
    places.sort();
    let all: Vec<NodeId> = places.iter().map(|(id, ..)| *id).collect();
    assert_eq!(rig.store.documents(None, 9).await.unwrap(), all);
    assert_eq!(rig.store.documents(None, 4).await.unwrap(), all[..4]);
    assert_eq!(rig.store.documents(Some(all[3]), 4).await.unwrap(), all[4..]);
    assert_eq!(rig.store.documents(Some(all[5]), 4).await.unwrap(), []);
    let (gone, parent, name) = &places[4];
    rig.remove(*gone, *parent, name).await.unwrap();
    assert_eq!(rig.store.documents(Some(all[3]), 4).await.unwrap(), all[5..], "one that went is passed over");
    assert_eq!(rig.store.documents(Some(*gone), 4).await.unwrap(), all[5..], "a page may have ended with it");
}

pub(super) async fn versions_with_their_packs(rig: Rig) {
    let (file, empty) = (rig.file("a").await, rig.file("b").await);
    let (first, one) = version_with_pack(file, 0, 1, false);
    rig.commit(file, first).await.unwrap();
    let (mut second, two) = version_with_pack(file, 1, 2, true);
    second.uses.push(one);
    rig.commit(file, second).await.unwrap();
    rig.commit(file, version(2, 3)).await.unwrap();

    let mut both = vec![one, two];
    both.sort();
    let kept = |version, uses: &[PackId]| Kept { version: Version(version), uses: uses.to_vec() };
    let all = vec![kept(1, &[one]), kept(2, &both), kept(3, &[])];
    let expected = Versions { current: Version(3), size: 30, kept: all.clone() };
    assert_eq!(rig.store.versions_of(file).await.unwrap(), Some(expected));
    let nothing = Versions { current: Version::NONE, size: 0, kept: vec![] };
    assert_eq!(rig.store.versions_of(empty).await.unwrap(), Some(nothing));
    assert_eq!(rig.store.versions_of(NodeId::random()).await.unwrap(), None);

    rig.store.drop_versions(&[(file, Version(1))]).await.unwrap();
    assert_eq!(rig.store.versions_of(file).await.unwrap().unwrap().kept, all[1..]);
}

pub(super) async fn packs_in_the_order_of_their_leaves(rig: Rig) {
    let (a, b, c) = (rig.file("a").await, rig.file("b").await, rig.file("c").await);
    let mut packs = Vec::new();
    for (file, leaf) in [(a, 300), (b, 2), (c, 40)] {
        let (commit, pack) = version_with_pack(file, 0, leaf, leaf == 2);
        rig.commit(file, commit).await.unwrap();
        packs.push((Leaf(leaf), pack));
    }
    packs.sort();
    assert_eq!(rig.store.packs_after(None, 9).await.unwrap(), packs);
    assert_eq!(rig.store.packs_after(None, 1).await.unwrap(), packs[..1]);
    assert_eq!(rig.store.packs_after(Some(packs[0]), 9).await.unwrap(), packs[1..]);
    assert_eq!(rig.store.packs_after(Some(packs[2]), 9).await.unwrap(), []);
    let before = PackId([0; 16]);
    assert_eq!(
        rig.store.packs_after(Some((Leaf(40), before)), 9).await.unwrap(),
        packs[1..],
        "behind, by id too"
    );

    let shared = packs[0].1;
    assert_eq!(rig.store.pack_blocks(shared).await.unwrap(), Some(1));
    assert_eq!(rig.store.pack_blocks(before).await.unwrap(), None);
    rig.commit(a, Commit { uses: vec![shared], ..version(1, 301) }).await.unwrap();
    let mut users = vec![(a, Version(2)), (b, Version(1))];
    users.sort();
    assert_eq!(rig.store.users_of(shared).await.unwrap(), users);
    assert_eq!(rig.store.users_of(before).await.unwrap(), []);
}

pub(super) async fn totals_follow(rig: Rig) {
    assert_eq!(rig.store.totals().await.unwrap(), Totals::default());
    let file = rig.file("a").await;
    let (first, _) = version_with_pack(file, 0, 1, false);
    rig.commit(file, first).await.unwrap();
    let (second, _) = version_with_pack(file, 1, 2, true);
    rig.commit(file, second).await.unwrap();
    assert_eq!(rig.store.totals().await.unwrap(), Totals { versions: 2, packs: 2, bytes: 12 });
    rig.store.drop_versions(&[(file, Version(1))]).await.unwrap();
    assert_eq!(rig.store.totals().await.unwrap(), Totals { versions: 1, packs: 1, bytes: 6 });
}
