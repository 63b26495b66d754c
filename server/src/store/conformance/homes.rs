//! Homes that are given up or handed over.

use std::collections::BTreeSet;

use super::*;

/// alice's home: `a` with two versions, `f/g/b`, `f/c`; bob's `guest` in `f`, mine for one grant's number.
async fn furnished(rig: &Rig) -> [NodeId; 6] {
    let home = rig.home("alice").await;
    let a = rig.file("a").await;
    rig.commit(a, version_with_pack(a, 0, 1, false).0).await.unwrap();
    rig.commit(a, version_with_pack(a, 1, 2, true).0).await.unwrap();
    let f = rig.folder(home, "f").await;
    let g = rig.folder(f, "g").await;
    let b = rig.make(g, "b", Kind::File).await;
    let c = rig.make(f, "c", Kind::File).await;
    let guest = rig.make_as("bob", f, "guest", Kind::File).await.unwrap().id;
    [a, f, g, b, c, guest]
}

async fn rows(rig: &Rig, action: &str) -> Vec<AuditEntry> {
    let rows = rig.store.audit_after(AuditSeq::NONE, 10_000).await.unwrap();
    rows.into_iter().filter(|row| row.action == action && row.user.is_none()).collect()
}

fn administrative(word: &str, detail: &str) -> AuditRow {
    AuditRow::administrative(NOW, word.parse().unwrap(), detail)
}

async fn grants(rig: &Rig, node: NodeId) -> Vec<String> {
    rig.store.grants(node).await.unwrap().iter().map(|grant| grant.grantee.to_string()).collect()
}

pub(super) async fn emptying(rig: Rig) {
    let nodes = furnished(&rig).await;
    let alice = uid("alice");
    refused!(rig.store.empty(&alice, 3, NOW).await, StoreError::Enabled(_));
    rig.store.shut(&alice, administrative("user-disable", "alice")).await.unwrap();
    let mut gone = Vec::new();
    loop {
        let batch = rig.store.empty(&alice, 3, LATER).await.unwrap();
        if batch.is_empty() {
            break;
        }
        let weight: usize = batch.iter().map(|deletion| 1 + deletion.versions.len()).sum();
        // The last one may be heavier than what was left; folders that became empty come along.
        assert!(weight <= 3 + 2 + 3, "{batch:?}");
        gone.extend(batch);
    }
    assert_eq!(gone.iter().map(|deletion| deletion.document).collect::<BTreeSet<_>>(), nodes.into());
    let place = |id: NodeId| gone.iter().position(|deletion| deletion.document == id).unwrap();
    let [a, f, g, b, c, guest] = nodes;
    assert!(place(b) < place(g) && place(g) < place(f) && place(c) < place(f) && place(guest) < place(f));
    for deletion in &gone {
        let logged = rig.store.deletion(deletion.document).await.unwrap().unwrap();
        assert_eq!((&logged, logged.time, &logged.user), (deletion, LATER, &alice));
        assert!(rig.store.node(deletion.document, &alice, NOW).await.unwrap().is_none());
    }
    assert_eq!(gone[place(a)].keys, [Leaf(1), Leaf(2)]);
    assert_eq!((gone[place(b)].path.as_str(), gone[place(guest)].home.as_str()), ("@alice/f/g/b", "alice"));
    assert_eq!(rig.store.erasures(10).await.unwrap(), [Leaf(1), Leaf(2)]);
    assert_eq!(rig.store.trash(10, NOW).await.unwrap().len(), 1);
    let rows = rows(&rig, "delete").await;
    let told: BTreeSet<_> = rows.iter().map(|row| row.path.as_str()).collect();
    let paths = ["@alice/a", "@alice/f", "@alice/f/g", "@alice/f/g/b", "@alice/f/c", "@alice/f/guest"];
    assert_eq!((told, rows.len()), (paths.into(), 6));
    assert!(rows.iter().all(|row| row.detail == "with user alice"));
    refused!(rig.store.empty(&uid("dave"), 3, NOW).await, StoreError::NotFound);
}

pub(super) async fn one_step_takes_what_is_asked_for(rig: Rig) {
    let home = rig.home("alice").await;
    for number in 0..20 {
        rig.make(home, &format!("d{number:02}"), Kind::File).await;
    }
    rig.store.shut(&uid("alice"), administrative("user-disable", "alice")).await.unwrap();
    for left in [13, 6] {
        assert_eq!(rig.store.empty(&uid("alice"), 7, NOW).await.unwrap().len(), 7);
        let seen = rig.store.children(home, None, 100, &uid("alice"), NOW).await.unwrap();
        assert_eq!(seen.len(), left);
    }
    assert_eq!(rig.store.empty(&uid("alice"), 0, NOW).await.unwrap().len(), 1, "it goes on in any case");
}

pub(super) async fn shutting(rig: Rig) {
    let (home, f) = (rig.home("alice").await, rig.folder(rig.home("alice").await, "f").await);
    rig.grant(home, "bob", Right::Both, LATER).await;
    rig.grant(f, "bob", Right::Both, LATER).await;
    let before = rig.store.reordered().await.unwrap();
    rig.store.shut(&uid("alice"), administrative("user-disable", "alice")).await.unwrap();
    assert!(rig.store.reordered().await.unwrap() > before);
    assert!(rig.store.user(&uid("alice")).await.unwrap().unwrap().disabled);
    assert!(grants(&rig, home).await.is_empty(), "nobody makes anything in the home any more");
    assert_eq!(grants(&rig, f).await, ["bob"], "what is below goes with its folder");
    refused!(
        rig.store.shut(&uid("dave"), administrative("user-disable", "dave")).await,
        StoreError::NotFound
    );
}

pub(super) async fn withdrawing(rig: Rig) {
    let carols = rig.make_as("carol", rig.home("carol").await, "box", Kind::Folder).await.unwrap().id;
    rig.grant(carols, "bob", Right::Both, LATER).await;
    let mine = rig.make_as("bob", carols, "mine", Kind::File).await.unwrap().id;
    let other = rig.make_as("bob", carols, "other", Kind::File).await.unwrap().id;
    let by_maker = NewGrant { grantee: grantee("alice"), right: Right::Checkout, until: LATER };
    rig.store.set_grant(&share_as_maker(&rig, mine).await, by_maker, audit("grant")).await.unwrap();
    rig.grant(mine, "ALL", Right::Checkout, LATER).await;
    let by_maker = NewGrant { grantee: grantee("alice"), right: Right::Checkout, until: LATER };
    rig.store.set_grant(&share_as_maker(&rig, mine).await, by_maker, audit("grant")).await.unwrap();
    let bob = uid("bob");
    refused!(rig.store.withdraw(&bob, 10, NOW).await, StoreError::Enabled(_));
    rig.store.shut(&bob, administrative("user-disable", "bob")).await.unwrap();
    refused!(rig.store.remove_user(&bob, administrative("user-remove", "bob")).await, StoreError::NotEmpty);
    let mut steps = 0;
    while rig.store.withdraw(&bob, 1, NOW).await.unwrap() > 0 {
        steps += 1;
    }
    assert_eq!(steps, 2, "two documents, one of them with the only grant");
    for id in [mine, other] {
        assert_eq!(rig.seen(id, "carol").await.node.owner, uid("carol"));
    }
    assert!(grants(&rig, carols).await.is_empty());
    assert_eq!(
        grants(&rig, mine).await,
        ["ALL"],
        "what he granted went, what the home's owner granted stays"
    );
    refused!(rig.store.withdraw(&uid("dave"), 1, NOW).await, StoreError::NotFound);
}

/// As bob, who made it and has a live right there.
async fn share_as_maker(rig: &Rig, node: NodeId) -> Allowed<Share> {
    decide(&rig.seen(node, "bob").await.facts, Share, NOW).unwrap()
}

pub(super) async fn removing_users(rig: Rig) {
    furnished(&rig).await;
    let (alice, home) = (uid("alice"), rig.home("alice").await);
    let row = || administrative("user-remove", "alice");
    refused!(rig.store.remove_user(&alice, row()).await, StoreError::Enabled(_));
    rig.store.shut(&alice, administrative("user-disable", "alice")).await.unwrap();
    refused!(rig.store.remove_user(&alice, row()).await, StoreError::NotEmpty);
    assert!(rows(&rig, "user-remove").await.is_empty());
    while !rig.store.empty(&alice, 100, NOW).await.unwrap().is_empty() {}
    assert_eq!(rig.store.removed(&alice).await.unwrap(), None);
    rig.store.remove_user(&alice, row()).await.unwrap();
    assert_eq!(rows(&rig, "user-remove").await.len(), 1);
    assert_eq!(rig.store.user(&alice).await.unwrap(), None);
    assert_eq!(rig.store.users().await.unwrap().len(), 2);
    assert!(rig.store.node(home, &uid("bob"), NOW).await.unwrap().is_none());
    assert!(rig.store.home(&alice, &uid("bob"), NOW).await.unwrap().is_none());
    assert_eq!(rig.store.removed(&alice).await.unwrap(), Some(NOW));
    refused!(rig.store.add_user(new_user("alice"), audit("user-add")).await, StoreError::Exists);
    refused!(rig.store.remove_user(&alice, row()).await, StoreError::NotFound);
    refused!(rig.store.shut(&alice, administrative("user-disable", "alice")).await, StoreError::NotFound);
}

pub(super) async fn transferring(rig: Rig) {
    let [a, f, g, b, c, guest] = furnished(&rig).await;
    let (alice, bob) = (uid("alice"), uid("bob"));
    let (from, to) = (rig.home("alice").await, rig.home("bob").await);
    rig.grant(from, "carol", Right::Checkout, LATER).await;
    rig.grant(f, "bob", Right::Both, LATER).await;
    rig.grant(c, "carol", Right::Both, LATER).await;
    let maker = NewGrant { grantee: grantee("carol"), right: Right::Checkout, until: LATER };
    rig.store.set_grant(&share_as_maker(&rig, guest).await, maker, audit("grant")).await.unwrap();
    let carols = rig.make_as("carol", f, "carols", Kind::File).await.unwrap().id;
    let (before, seq) = (rig.store.reordered().await.unwrap(), rig.store.grants(c).await.unwrap());
    let records =
        (rig.store.version(a, Version(1)).await.unwrap(), rig.store.version(a, Version(2)).await.unwrap());

    let row = administrative("user-transfer", "alice to bob");
    let (folder, moved) = rig.store.transfer(&alice, &bob, None, row).await.unwrap();
    assert_eq!((folder.name.as_ref().unwrap().as_str(), folder.parent, moved), ("alice", Some(to), 7));
    assert!(rig.store.reordered().await.unwrap() > before);
    assert_eq!(rig.seen(folder.id, "bob").await.node, folder);
    assert_eq!(
        (folder.home.as_str(), folder.owner.as_str(), folder.kind, folder.mode),
        ("bob", "bob", Kind::Folder, 0o700)
    );
    for (id, path) in [
        (a, "@bob/alice/a"),
        (f, "@bob/alice/f"),
        (g, "@bob/alice/f/g"),
        (b, "@bob/alice/f/g/b"),
        (c, "@bob/alice/f/c"),
        (guest, "@bob/alice/f/guest"),
    ] {
        let seen = rig.seen(id, "bob").await;
        assert_eq!((seen.path.as_str(), &seen.node.home, &seen.node.owner), (path, &bob, &bob));
        refused!(decide(&rig.seen(id, "alice").await.facts, Own, NOW), Refusal::Hidden);
        decide(&seen.facts, Own, NOW).unwrap();
    }
    assert_eq!(rig.seen(carols, "bob").await.node.owner, uid("carol"), "another guest's stays that guest's");
    let after =
        (rig.store.version(a, Version(1)).await.unwrap(), rig.store.version(a, Version(2)).await.unwrap());
    assert_eq!(after, records, "history as it was");
    assert_eq!(rig.seen(a, "bob").await.node.author, Some(alice.clone()));
    // Grants to others stay as they are; those to the new owner go.
    assert_eq!(grants(&rig, folder.id).await, ["carol"]);
    assert!(grants(&rig, f).await.is_empty() && grants(&rig, from).await.is_empty());
    assert_eq!(rig.store.grants(c).await.unwrap(), seq);
    let carol = rig.seen(guest, "carol").await.facts;
    assert!(carol.levels[0].own.is_some_and(|grant| !grant.by_maker), "the maker is the home's owner now");
    decide(&carol, sss_policy::Checkout, NOW).unwrap();
    assert_eq!(rig.store.shared_homes(&uid("carol"), NOW).await.unwrap(), [uid("bob")]);
    // The first one's home is there and empty.
    assert!(rig.store.children(from, None, 10, &alice, NOW).await.unwrap().is_empty());
    let rows = rows(&rig, "user-transfer").await;
    assert_eq!(
        (rows.len(), rows[0].path.as_str(), rows[0].detail.as_str()),
        (1, "@bob/alice", "alice to bob")
    );
    assert_eq!(rows[0].document.as_deref(), Some(&folder.id.0[..]));
}

pub(super) async fn transferring_where_it_cannot_be(rig: Rig) {
    let (alice, bob) = (uid("alice"), uid("bob"));
    let a = rig.file("a").await;
    let row = || administrative("user-transfer", "alice to bob");
    refused!(rig.store.transfer(&alice, &alice, None, row()).await, StoreError::Loop);
    refused!(rig.store.transfer(&alice, &uid("dave"), None, row()).await, StoreError::NotFound);
    refused!(rig.store.transfer(&uid("dave"), &alice, None, row()).await, StoreError::NotFound);
    rig.make_as("bob", rig.home("bob").await, "taken", Kind::File).await.unwrap();
    rig.make_as("bob", rig.home("bob").await, "alice", Kind::File).await.unwrap();
    refused!(rig.store.transfer(&alice, &bob, Some(&name("taken")), row()).await, StoreError::Exists);
    assert!(rows(&rig, "user-transfer").await.is_empty());
    assert_eq!(rig.seen(a, "alice").await.path, "@alice/a", "nothing moved");
    let (folder, _) = rig.store.transfer(&alice, &bob, None, row()).await.unwrap();
    assert_eq!(folder.name, Some(name("alice (2)")), "a free name is found");
    let (folder, moved) = rig.store.transfer(&alice, &bob, Some(&name("more")), row()).await.unwrap();
    assert_eq!((folder.name, moved), (Some(name("more")), 0));
    // As deep as can be: one more folder around it is too much.
    let mut deep = rig.home("alice").await;
    for number in 0..sss_common::limits::DEPTH_MAX {
        deep = rig.folder(deep, &format!("{number}")).await;
    }
    refused!(rig.store.transfer(&alice, &bob, None, row()).await, StoreError::TooDeep);
}
