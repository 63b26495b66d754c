use super::*;
use sss_policy::{Effect, Grant};

const ENDED: Timestamp = NOW; // a right allows nothing from its end on

/// A grant of alice's until `LATER`.
fn set(right: Right, seq: u64, revoked: bool) -> Grant {
    let revoked = revoked.then_some(NOW);
    Grant { right, until: LATER, seq, revoked, since: NOW, by_maker: false, effect: Effect::Gives }
}

pub(super) async fn setting(rig: Rig) {
    let file = rig.file("a").await;
    rig.grant(file, "carol", Right::Checkin, LATER).await;
    rig.grant(file, "bob", Right::Both, ENDED).await;
    rig.grant(file, "carol", Right::Checkout, ENDED).await;
    let rows = rig.store.grants(file).await.unwrap();
    let told: Vec<_> = rows.iter().map(|row| (row.grantee.to_string(), row.right, row.until)).collect();
    assert_eq!(
        told,
        [("bob".into(), Right::Both, ENDED), ("carol".into(), Right::Checkout, ENDED)],
        "the newest for each, ended ones too"
    );
    assert!(rows[1].seq > rows[0].seq);
    refused!(rig.store.grants(NodeId::random()).await, StoreError::NotFound);
    let grant = NewGrant { grantee: grantee("bob"), right: Right::Both, until: LATER };
    refused!(
        rig.store.set_grant(&proof(NodeId::random(), Share), grant, audit("grant")).await,
        StoreError::NotFound
    );
}

pub(super) async fn all_replaces(rig: Rig) {
    let (file, other) = (rig.file("a").await, rig.file("b").await);
    rig.grant(file, "bob", Right::Checkout, LATER).await;
    rig.grant(other, "bob", Right::Checkout, LATER).await;
    rig.grant(file, "ALL", Right::Checkin, LATER).await;
    rig.grant(file, "0carol", Right::Both, LATER).await;
    let rows = rig.store.grants(file).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.grantee.to_string()).collect::<Vec<_>>(), ["ALL", "0carol"]);
    let level = rig.seen(file, "bob").await.facts.levels[0].clone();
    assert_eq!(level.own, Some(set(Right::Checkout, 1, true)));
    assert_eq!(level.all, Some(set(Right::Checkin, 3, false)));
    assert_eq!(rig.store.grants(other).await.unwrap().len(), 1, "on that document only");
    rig.grant(file, "bob", Right::Both, LATER).await;
    assert_eq!(rig.seen(file, "bob").await.facts.levels[0].own.unwrap().revoked, None);
}

pub(super) async fn revoking(rig: Rig) {
    let file = rig.file("a").await;
    rig.grant(file, "bob", Right::Both, LATER).await;
    rig.revoke(file, "bob").await.unwrap();
    refused!(rig.revoke(file, "bob").await, StoreError::NotFound);
    refused!(rig.revoke(file, "ALL").await, StoreError::NotFound);
    refused!(rig.revoke(NodeId::random(), "bob").await, StoreError::NotFound);
    assert_eq!(rig.store.grants(file).await.unwrap(), []);
    let own = rig.seen(file, "bob").await.facts.levels[0].own.unwrap();
    assert_eq!(own.revoked, Some(NOW), "that it had one stays known");
    assert_eq!(rig.seen(file, "carol").await.facts.levels[0].own, None);
}

pub(super) async fn facts_have_all_levels(rig: Rig) {
    let home = rig.home("alice").await;
    let folder = rig.folder(home, "d").await;
    let file = rig.make_as("carol", folder, "f", Kind::File).await.unwrap().id;
    rig.grant(home, "ALL", Right::Checkin, LATER).await;
    rig.grant(folder, "bob", Right::Both, LATER).await;
    rig.grant(file, "carol", Right::Both, LATER).await;
    let facts = rig.seen(file, "bob").await.facts;
    assert_eq!((facts.user.as_str(), facts.node), ("bob", file));
    let grant = |right, seq| Some(set(right, seq, false));
    let level = |owner, own, all| Level { owner: uid(owner), own, all };
    assert_eq!(
        facts.levels,
        [
            level("carol", None, None),
            level("alice", grant(Right::Both, 3), None),
            level("alice", None, grant(Right::Checkin, 2)),
        ]
    );
}

pub(super) async fn below_shows_the_way(rig: Rig) {
    let home = rig.home("alice").await;
    let a = rig.folder(home, "a").await;
    let b = rig.folder(a, "b").await;
    let beside = rig.folder(home, "beside").await;
    let file = rig.make(b, "f", Kind::File).await;
    assert_eq!(rig.below(a, "bob").await, Below::Nothing);
    rig.grant(file, "bob", Right::Checkout, LATER).await;
    for folder in [home, a, b] {
        assert_eq!(rig.below(folder, "bob").await, Below::Live);
        assert_eq!(rig.below(folder, "carol").await, Below::Nothing);
    }
    assert_eq!(rig.below(beside, "bob").await, Below::Nothing);
    assert_eq!(rig.below(file, "bob").await, Below::Nothing, "nothing lies below a file");
    rig.grant(file, "bob", Right::Checkout, ENDED).await;
    assert_eq!(rig.below(a, "bob").await, Below::Had);
    rig.revoke(file, "bob").await.unwrap();
    assert_eq!(rig.below(home, "bob").await, Below::Had);
    rig.grant(b, "ALL", Right::Checkin, LATER).await;
    assert_eq!((rig.below(a, "bob").await, rig.below(a, "carol").await), (Below::Live, Below::Live));
    rig.revoke(b, "ALL").await.unwrap();
    assert_eq!((rig.below(a, "bob").await, rig.below(a, "carol").await), (Below::Had, Below::Had));
    assert_eq!(rig.below(b, "carol").await, Below::Nothing, "a grant on the folder itself is not below it");
    rig.make_as("carol", b, "hers", Kind::File).await.unwrap();
    assert_eq!(rig.below(home, "carol").await, Below::Live, "who owns something finds the way to it");
}

/// What lies below is told of for a day after a right to it ended, by itself or by revocation.
pub(super) async fn below_fades(rig: Rig) {
    let home = rig.home("alice").await;
    let (revoked, ended) = (rig.folder(home, "revoked").await, rig.folder(home, "ended").await);
    let (a, b) = (rig.make(revoked, "a", Kind::File).await, rig.make(ended, "b", Kind::File).await);
    rig.grant(a, "bob", Right::Both, LATER).await;
    rig.revoke(a, "bob").await.unwrap();
    rig.grant(b, "bob", Right::Both, LATER).await;
    let below = async |folder, now| {
        let seen = rig.store.node(folder, &uid("bob"), now).await.unwrap().unwrap();
        seen.facts.below
    };
    let day = sss_policy::FADES;
    for (folder, end) in [(revoked, NOW), (ended, LATER)] {
        assert_eq!(below(folder, Timestamp(end.after(day).0 - 1)).await, Below::Had);
        assert_eq!(below(folder, end.after(day)).await, Below::Nothing);
    }
    assert_eq!(below(home, Timestamp(LATER.after(day).0 - 1)).await, Below::Had);
}

/// Where the levels give a live right, nothing depends on what lies below.
pub(super) async fn below_is_asked_when_needed(rig: Rig) {
    let home = rig.home("alice").await;
    let a = rig.folder(home, "a").await;
    let b = rig.folder(a, "b").await;
    rig.grant(b, "bob", Right::Checkout, LATER).await;
    assert_eq!(rig.below(a, "bob").await, Below::Live);
    assert_eq!(rig.below(a, "alice").await, Below::Nothing);
    rig.grant(home, "bob", Right::Checkout, LATER).await;
    assert_eq!(rig.below(a, "bob").await, Below::Nothing);
    rig.grant(home, "bob", Right::Checkout, ENDED).await;
    assert_eq!(rig.below(a, "bob").await, Below::Live);
}

/// A user's own later grant goes before ALL's, also once it has run out.
pub(super) async fn a_later_own_grant_shadows_all(rig: Rig) {
    let home = rig.home("alice").await;
    let file = rig.file("a").await;
    rig.grant(file, "ALL", Right::Both, LATER).await;
    assert_eq!(rig.below(home, "bob").await, Below::Live);
    rig.grant(file, "bob", Right::Checkout, ENDED).await;
    assert_eq!((rig.below(home, "bob").await, rig.below(home, "carol").await), (Below::Had, Below::Live));
    assert_eq!(rig.store.shared_homes(&uid("bob"), NOW).await.unwrap(), []);
    rig.revoke(file, "bob").await.unwrap();
    assert_eq!(rig.below(home, "bob").await, Below::Live, "a revoked one rules nothing");
    rig.grant(file, "ALL", Right::Both, LATER).await;
    assert_eq!(rig.below(home, "bob").await, Below::Live);
}

pub(super) async fn listings_have_the_same_facts(rig: Rig) {
    let home = rig.home("alice").await;
    let shared = rig.folder(home, "shared").await;
    let mixed = rig.folder(home, "mixed").await;
    rig.folder(home, "private").await;
    let file = rig.make(mixed, "f", Kind::File).await;
    rig.make_as("bob", mixed, "his", Kind::File).await.unwrap();
    rig.make_as("carol", mixed, "hers", Kind::Folder).await.unwrap();
    rig.grant(shared, "ALL", Right::Both, LATER).await;
    rig.grant(shared, "bob", Right::Checkout, ENDED).await;
    rig.grant(file, "carol", Right::Both, ENDED).await;
    for folder in [home, shared, mixed] {
        for user in ["alice", "bob", "carol"] {
            let listed = rig.store.children(folder, None, 99, &uid(user), NOW).await.unwrap();
            for seen in listed {
                assert_eq!(seen, rig.seen(seen.node.id, user).await);
            }
        }
    }
    let listed = rig.store.children(home, None, 99, &uid("bob"), NOW).await.unwrap();
    let below: Vec<_> = listed.iter().map(|seen| seen.facts.below).collect();
    assert_eq!(below, [Below::Live, Below::Nothing, Below::Nothing]);
}

/// What a guest made leads to it, as long as it is his own; a folder of his is nobody's way to what others put there.
pub(super) async fn guests_own(rig: Rig) {
    let home = rig.home("alice").await;
    let folder = rig.folder(home, "d").await;
    let his = rig.make_as("bob", folder, "his", Kind::File).await.unwrap().id;
    let inner = rig.make_as("carol", folder, "hers", Kind::Folder).await.unwrap().id;
    assert_eq!(rig.below(folder, "bob").await, Below::Live);
    assert_eq!(rig.below(folder, "carol").await, Below::Nothing, "folders are not kept");
    let facts = rig.seen(his, "bob").await.facts;
    assert!((facts.saved, facts.folder) == (true, false) && !rig.seen(his, "alice").await.facts.saved);
    let facts = rig.seen(inner, "carol").await.facts;
    assert_eq!((facts.saved, facts.folder), (false, true));
    let by_alice = Commit { author: uid("alice"), ..version(0, 1) };
    rig.commit(his, by_alice).await.unwrap();
    assert!(!rig.seen(his, "bob").await.facts.saved, "alice saved it since");
    assert_eq!(rig.below(folder, "bob").await, Below::Nothing);
    assert_eq!(rig.store.shared_homes(&uid("bob"), NOW).await.unwrap(), []);
}

pub(super) async fn guests_grants_are_known_as_such(rig: Rig) {
    let home = rig.home("alice").await;
    let folder = rig.folder(home, "d").await;
    let his = rig.make_as("bob", folder, "his", Kind::File).await.unwrap().id;
    rig.grant(folder, "bob", Right::Checkin, LATER).await;
    let share =
        |grantee: &str| NewGrant { grantee: self::grantee(grantee), right: Right::Both, until: LATER };
    rig.store.set_grant(&proof_as("bob", his, Share), share("carol"), audit("grant")).await.unwrap();
    rig.revoke(folder, "bob").await.unwrap();
    rig.grant(his, "dora", Right::Both, LATER).await;
    let facts = async |user| rig.seen(his, user).await.facts;
    let carols = facts("carol").await;
    assert!(
        carols.levels[0].own.unwrap().by_maker && carols.maker_until.is_none(),
        "bob has no right of alice's"
    );
    assert!(!facts("dora").await.levels[0].own.unwrap().by_maker);
    rig.grant(folder, "bob", Right::Checkin, LATER).await;
    assert_eq!(facts("carol").await.maker_until, Some(LATER));
    let listed = rig.store.children(folder, None, 9, &uid("carol"), NOW).await.unwrap();
    assert_eq!(listed[0].facts, facts("carol").await);
    rig.revoke(folder, "bob").await.unwrap();
    assert_eq!(facts("carol").await.maker_until, None);
    rig.grant(his, "carol", Right::Both, LATER).await;
    assert!(!facts("carol").await.levels[0].own.unwrap().by_maker, "alice's took its place");
}

/// A right that was revoked, or ended, between the proof and the change: nothing comes of it, whatever the change.
pub(super) async fn stale_proofs_change_nothing(rig: Rig) {
    let home = rig.home("alice").await;
    let (folder, other) = (rig.folder(home, "d").await, rig.folder(home, "other").await);
    for word in ["revoked", "ended"] {
        let his = rig.make_as("bob", folder, &format!("{word}-his"), Kind::File).await.unwrap().id;
        let hers = rig.make(folder, &format!("{word}-hers"), Kind::File).await;
        match word {
            "revoked" => {
                rig.grant(folder, "bob", Right::Both, LATER).await;
                rig.revoke(folder, "bob").await.unwrap();
            }
            _ => rig.grant(folder, "bob", Right::Both, ENDED).await,
        }
        let before = rig.seen(hers, "alice").await;
        let (store, checkin) = (&rig.store, proof_as("bob", hers, Checkin));
        let named = |text: &str| name(&format!("{word}-{text}"));
        let into = |to| proof_as("bob", to, Checkin);
        let new = new_node("new", Kind::File);
        let made = into(folder).made(new.id);
        let create = Some(Creation { folder: into(folder), node: new.clone() });
        let rename = |into, replacing| Rename {
            parent: folder,
            name: named("his"),
            into,
            new_name: named("hers"),
            replacing,
            now_ns: FileTime(8),
        };
        let grant = NewGrant { grantee: grantee("carol"), right: Right::Both, until: LATER };
        let set = SetAttr { mode: None, mtime_ns: Some(FileTime(3)), now: NOW };
        let chmod = SetAttr { mode: Some(0o600), mtime_ns: None, now: NOW };
        let (own, share) = (proof_as("bob", his, Own), proof_as("bob", his, Share));
        let remove = Remove { parent: folder, name: named("hers"), version: None, now_ns: FileTime(9) };
        let consumes = Some((proof_as("bob", hers, Own), Version(0)));
        macro_rules! each_is_refused {
            ($($change:expr;)*) => { $(refused!($change.await, StoreError::Refused(_));)* };
        }
        each_is_refused! {
            store.create(&into(folder), new.clone(), audit("create"));
            store.commit(&checkin, version(0, 1), audit("checkin"));
            store.commit(&made, Commit { create, ..version(0, 1) }, audit("checkin"));
            store.commit(&proof(his, Checkin), Commit { consumes, ..version(0, 2) }, audit("checkin"));
            store.set_attr(&checkin, set);
            store.set_attr(&own, chmod);
            store.set_flag(&own, Flag::Integrity, audit("flag"));
            store.set_xattr(&checkin, "user.a", b"v", XattrMode::Any, NOW);
            store.remove_xattr(&checkin, "user.a", NOW);
            store.set_grant(&share, grant, audit("grant"));
            store.revoke_grant(&share, &grantee("carol"), audit("revoke"));
            store.rename(&own, rename(into(other), None), audit("rename"));
            store.rename(&proof(his, Own), rename(into(other), None), audit("rename"));
            store.rename(
                &proof(his, Own),
                rename(proof(folder, Checkin), Some(proof_as("bob", hers, Delete))),
                audit("rename")
            );
            store.remove(&proof_as("bob", hers, Delete), remove, audit("delete"));
        }
        assert_eq!(rig.seen(hers, "alice").await, before);
    }
}

pub(super) async fn a_disabled_users_proofs_change_nothing(rig: Rig) {
    let file = rig.file("a").await;
    rig.store.set_disabled(&uid("alice"), true, audit("user-disable")).await.unwrap();
    refused!(rig.commit(file, version(0, 1)).await, StoreError::Disabled(_));
    rig.store.set_disabled(&uid("alice"), false, audit("user-enable")).await.unwrap();
    rig.commit(file, version(0, 1)).await.unwrap();
}

/// What is made on the way to a document is the home's owner's.
pub(super) async fn folders_of_the_home(rig: Rig) {
    let home = rig.home("alice").await;
    rig.grant(home, "bob", Right::Checkin, LATER).await;
    let new = NewNode { of_home: true, ..new_node("d", Kind::Folder) };
    let made = rig.store.create(&proof_as("bob", home, Checkin), new, audit("create")).await.unwrap();
    assert_eq!(made.owner, uid("alice"));
}

pub(super) async fn guests_take_nothing_of_others_along(rig: Rig) {
    let home = rig.home("alice").await;
    let (from, to) = (rig.folder(home, "from").await, rig.folder(home, "to").await);
    let his = rig.make_as("bob", from, "his", Kind::Folder).await.unwrap().id;
    let deeper = rig.make_as("bob", his, "deeper", Kind::Folder).await.unwrap().id;
    let hers = rig.make_as("carol", deeper, "hers", Kind::File).await.unwrap().id;
    rig.grant(home, "bob", Right::Both, LATER).await;
    let rename = async |by: &str, from: NodeId, to: NodeId| {
        let into = proof_as(by, to, Checkin);
        let (name, new_name) = (name("his"), name("his"));
        let rename = Rename { parent: from, name, into, new_name, replacing: None, now_ns: FileTime(8) };
        rig.store.rename(&proof_as(by, his, Own), rename, audit("rename")).await
    };
    refused!(rename("bob", from, to).await, StoreError::Refused(_));
    rename("alice", from, to).await.unwrap();
    rig.remove(hers, deeper, "hers").await.unwrap();
    rename("bob", to, from).await.unwrap();
}

pub(super) async fn shared_homes(rig: Rig) {
    let file = rig.file("a").await;
    let his = rig.make_as("bob", rig.home("bob").await, "b", Kind::File).await.unwrap().id;
    let homes = async |user: &str| {
        let homes = rig.store.shared_homes(&uid(user), NOW).await.unwrap();
        homes.into_iter().map(|uid| uid.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(homes("carol").await, [""; 0]);
    rig.grant(file, "carol", Right::Checkin, LATER).await;
    rig.grant(his, "ALL", Right::Checkin, LATER).await;
    assert_eq!(homes("carol").await, ["alice", "bob"]);
    assert_eq!(homes("bob").await, [""; 0], "not one's own");
    assert_eq!(homes("alice").await, ["bob"]);
    rig.grant(file, "carol", Right::Checkin, ENDED).await;
    rig.revoke(his, "ALL").await.unwrap();
    assert_eq!(homes("carol").await, [""; 0]);
    let home = rig.home("bob").await;
    rig.make_as("carol", home, "hers", Kind::File).await.unwrap();
    assert_eq!(homes("carol").await, ["bob"], "owning something there is enough");
}

pub(super) async fn grants_go_with_the_node(rig: Rig) {
    let home = rig.home("alice").await;
    let file = rig.file("a").await;
    rig.grant(file, "bob", Right::Both, LATER).await;
    rig.store.set_xattr(&proof(file, Own), "user.x", b"1", XattrMode::Any, NOW).await.unwrap();
    rig.remove(file, home, "a").await.unwrap();
    assert_eq!(rig.below(home, "bob").await, Below::Nothing);
    assert_eq!(rig.store.shared_homes(&uid("bob"), NOW).await.unwrap(), []);
    let again = NewNode { id: file, ..new_node("a", Kind::File) };
    rig.store.create(&proof(home, Checkin), again, audit("create")).await.unwrap();
    assert_eq!(rig.store.grants(file).await.unwrap(), []);
    assert_eq!(rig.store.xattrs(file).await.unwrap(), []);
}

/// A copy has the document's grants as limits, and gives nobody anything by itself.
pub(super) async fn copies_are_limited(rig: Rig) {
    let home = rig.home("alice").await;
    let folder = rig.folder(home, "d").await;
    let file = rig.make(folder, "a", Kind::File).await;
    rig.grant(file, "carol", Right::Checkin, LATER).await;
    rig.grant(file, "bob", Right::Both, LATER).await;
    rig.revoke(file, "bob").await.unwrap();
    let copy = async |name: &str, limited| {
        let new = NewNode { limited, ..new_node(name, Kind::File) };
        rig.store.create(&proof(folder, Checkin), new, audit("create")).await.unwrap().id
    };
    let own = async |node, user| rig.seen(node, user).await.facts.levels[0].own;
    let all = async |node| rig.seen(node, "bob").await.facts.levels[0].all.map(|grant| grant.effect);

    let limited = copy("limited", Limited::As(file)).await;
    let limit = Grant { effect: Effect::Limits, until: Timestamp::MAX, ..set(Right::Checkin, 1, false) };
    assert_eq!((own(limited, "carol").await, own(limited, "bob").await), (Some(limit), None));
    assert_eq!(all(limited).await, None);
    assert_eq!(rig.store.grants(limited).await.unwrap(), [], "it is not shared");
    refused!(rig.revoke(limited, "carol").await, StoreError::NotFound);
    let again = copy("again", Limited::As(limited)).await;
    assert_eq!(own(again, "carol").await, Some(limit), "a copy's copy");
    rig.grant(limited, "carol", Right::Both, LATER).await;
    assert_eq!(own(limited, "carol").await.map(|grant| grant.effect), Some(Effect::Gives));

    let bobs = rig.make_as("bob", rig.home("bob").await, "b", Kind::File).await.unwrap().id;
    let moved = rig.file("moved").await;
    for limits in [Limited::ToOwners, Limited::As(NodeId::random()), Limited::As(bobs), Limited::As(moved)] {
        let barred = copy(&format!("{limits:?}")[..6], limits).await;
        assert_eq!(all(barred).await, Some(Effect::Bars));
        assert_eq!(rig.store.audience(barred, NOW).await.unwrap(), Audience::of([grantee("alice")]));
        let name = rig.seen(barred, "alice").await.node.name.unwrap();
        rig.remove(barred, folder, name.as_str()).await.unwrap();
    }
    let new = NewNode { limited: Limited::As(file), ..new_node("a~", Kind::File) };
    rig.rename(file, (folder, "a"), (folder, "a~")).await.unwrap();
    let swap = Swap {
        folder: proof(folder, Checkin),
        name: name("a"),
        copy: new,
        commit: None,
        version: Version::NONE,
    };
    let (_, backup) = rig.store.swap(&proof(file, Own), swap, audit("restore-name")).await.unwrap();
    assert_eq!(own(backup.id, "carol").await, Some(limit));
}
