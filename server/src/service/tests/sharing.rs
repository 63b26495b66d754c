//! Who may what, until when.

use super::*;

on_both_stores! {
    a_removal_or_a_move_is_told_to_whom_it_concerns
    what_a_lost_right_tells_fades_after_a_day
    grants_are_listed_to_whom_they_concern
    a_stranger_learns_nothing
    a_grant_lasts_until_its_end
    the_worked_examples_of_the_contract
    revoking_and_replacing
    a_folders_grant_reaches_down
    who_creates_owns_and_the_landlord_rules
    a_guests_folder_is_no_trap
    what_a_guest_shares_ends_with_his_own_right
    a_grant_begins_where_it_begins
    check_in_only_writes_without_reading
    an_ended_right_ends_a_stream
    impossible_grants_are_refused
    homes_are_listed_when_something_in_them_is_shared
}

async fn a_stranger_learns_nothing(world: World) {
    world.put(&alice(), "@alice/a/f", b"secret").await.unwrap();
    for path in ["@alice/a/f", "@alice/a", "@alice/nothing", "@alice", "@nobody/f"] {
        let told = world.get(&bob(), path).await.unwrap_err();
        assert_eq!((told.code, told.detail.as_str()), (Code::NotFound, "no such document"), "{path}");
    }
    assert_eq!(code(world.put(&bob(), "@alice/a/f", b"x").await), Code::NotFound);
    assert_eq!(code(world.put(&bob(), "@alice/new", b"x").await), Code::NotFound);
}

async fn a_grant_lasts_until_its_end(world: World) {
    world.put(&alice(), "@alice/f", b"text").await.unwrap();
    world.grant(&alice(), "@alice/f", "bob", Right::Checkout, 50).await;
    assert_eq!(world.get(&bob(), "@alice/f").await.unwrap(), b"text");
    assert_eq!(code(world.put(&bob(), "@alice/f", b"x").await), Code::NoRight);
    assert_eq!(code(world.get(&carol(), "@alice/f").await), Code::NotFound);
    world.wait(49);
    assert!(world.get(&bob(), "@alice/f").await.is_ok());
    assert_eq!(world.attr(&bob(), "@alice/f").await.unwrap().right.ends_in_ms, Some(1000));
    world.wait(1);
    let refusal = world.get(&bob(), "@alice/f").await.unwrap_err();
    assert_eq!(refusal.code, Code::GrantEnded);
    assert!(refusal.detail.contains("the grant ended at"), "{}", refusal.detail);
    let shown = world.attr(&bob(), "@alice/f").await.unwrap();
    assert_eq!(
        (shown.size, shown.mtime_ns, shown.right.as_str()),
        (0, sss_common::FileTime(0), "none"),
        "who has no right sees no more"
    );
}

async fn the_worked_examples_of_the_contract(world: World) {
    world.put(&alice(), "@alice/f", b"text").await.unwrap();
    world.grant(&alice(), "@alice/f", "bob", Right::Checkout, 100).await;
    world.grant(&alice(), "@alice/f", "ALL", Right::Checkin, 50).await;
    assert_eq!(world.attr(&bob(), "@alice/f").await.unwrap().right.as_str(), "checkin");
    world.wait(50);
    assert_eq!(world.attr(&bob(), "@alice/f").await.unwrap().right.as_str(), "none");

    world.put(&alice(), "@alice/g", b"text").await.unwrap();
    world.grant(&alice(), "@alice/g", "ALL", Right::Both, 100).await;
    world.grant(&alice(), "@alice/g", "bob", Right::Checkout, 50).await;
    assert_eq!(world.attr(&bob(), "@alice/g").await.unwrap().right.as_str(), "checkout");
    assert_eq!(world.attr(&carol(), "@alice/g").await.unwrap().right.as_str(), "both");
    world.wait(50);
    assert_eq!(world.attr(&bob(), "@alice/g").await.unwrap().right.as_str(), "none");
    assert_eq!(world.attr(&carol(), "@alice/g").await.unwrap().right.as_str(), "both");
}

async fn revoking_and_replacing(world: World) {
    world.put(&alice(), "@alice/f", b"text").await.unwrap();
    world.grant(&alice(), "@alice/f", "bob", Right::Both, 100).await;
    world.grant(&alice(), "@alice/f", "bob", Right::Checkout, 100).await;
    assert_eq!(
        world.attr(&bob(), "@alice/f").await.unwrap().right.as_str(),
        "checkout",
        "the latest is the rule"
    );
    world.revoke(&alice(), "@alice/f", "bob").await;
    assert_eq!(code(world.get(&bob(), "@alice/f").await), Code::NoRight, "had a grant: refused, not hidden");
    let path = "@alice/f".parse().unwrap();
    assert_eq!(
        code(world.service.sharing.delete_grant(&alice(), &path, &Grantee::User(uid("bob"))).await),
        Code::NotFound
    );
    assert_eq!(code(world.service.sharing.delete_grant(&bob(), &path, &Grantee::All).await), Code::NoRight);
}

async fn a_folders_grant_reaches_down(world: World) {
    world.put(&alice(), "@alice/a/b/f", b"text").await.unwrap();
    world.put(&alice(), "@alice/a/g", b"text").await.unwrap();
    world.grant(&alice(), "@alice/a/b", "bob", Right::Both, 100).await;
    assert_eq!(world.get(&bob(), "@alice/a/b/f").await.unwrap(), b"text");
    assert_eq!(code(world.get(&bob(), "@alice/a/g").await), Code::NotFound);
    assert_eq!(
        world.attr(&bob(), "@alice/a").await.unwrap().right.as_str(),
        "none",
        "only a way to what is shared"
    );
    world.grant(&alice(), "@alice/a/b/f", "bob", Right::Checkout, 10).await;
    assert_eq!(
        code(world.put(&bob(), "@alice/a/b/f", b"x").await),
        Code::NoRight,
        "the nearest level decides"
    );
    world.wait(10);
    assert!(
        world.put(&bob(), "@alice/a/b/f", b"x").await.is_ok(),
        "once it has ended, the folder's is nearest"
    );
}

async fn who_creates_owns_and_the_landlord_rules(world: World) {
    world.mkdir(&alice(), "@alice/shared").await;
    world.grant(&alice(), "@alice/shared", "bob", Right::Both, 100).await;
    world.put(&bob(), "@alice/shared/bobs", b"by bob").await.unwrap();
    let attr = world.attr(&alice(), "@alice/shared/bobs").await.unwrap();
    assert_eq!(
        (attr.owner, attr.right.as_str()),
        (uid("bob"), "owner"),
        "the landlord has an owner's rights"
    );
    world.put(&alice(), "@alice/shared/bobs", b"by alice").await.unwrap();
    let attr = world.attr(&bob(), "@alice/shared/bobs").await.unwrap();
    assert_eq!((attr.owner, attr.author), (uid("bob"), Some(uid("alice"))), "a check-in changes no owner");
    world.put(&bob(), "@alice/shared/kept", b"by bob").await.unwrap();
    world.wait(100);
    assert_eq!(code(world.get(&bob(), "@alice/shared/bobs").await), Code::GrantEnded, "alice saved it last");
    assert_eq!(world.get(&bob(), "@alice/shared/kept").await.unwrap(), b"by bob", "what he saved last");
    assert_eq!(code(world.put(&bob(), "@alice/shared/kept", b"again").await), Code::GrantEnded);
    assert_eq!(code(world.put(&bob(), "@alice/shared/more", b"x").await), Code::GrantEnded);
    world.delete(&bob(), "@alice/shared/kept").await.unwrap();
    assert_eq!(code(world.delete(&bob(), "@alice/shared/bobs").await), Code::NoRight);
}

/// The attack: a drop box for three seconds, a folder made in it, and then what others put there.
async fn a_guests_folder_is_no_trap(world: World) {
    world.mkdir(&alice(), "@alice/inbox").await;
    world.grant(&alice(), "@alice/inbox", "bob", Right::Checkin, 3).await;
    world.mkdir(&bob(), "@alice/inbox/2026").await;
    world.wait(3);
    world.grant(&alice(), "@alice/inbox", "carol", Right::Checkin, 1000).await;
    world.put(&carol(), "@alice/inbox/2026/offer", b"carol's").await.unwrap();
    world.put(&alice(), "@alice/inbox/2026/note", b"alice's").await.unwrap();
    for path in ["@alice/inbox/2026/offer", "@alice/inbox/2026/note"] {
        assert!(world.get(&bob(), path).await.is_err(), "{path}");
        assert!(world.delete(&bob(), path).await.is_err(), "{path}");
        assert!(world.share(&bob(), path, "ALL").await.is_err(), "{path}");
    }
    assert!(world.share(&bob(), "@alice/inbox/2026", "ALL").await.is_err());
    // Nor is the first who posts in a month its owner.
    world.put(&carol(), "@alice/inbox/2027/05/first", b"x").await.unwrap();
    for folder in ["@alice/inbox/2027", "@alice/inbox/2027/05"] {
        assert_eq!(world.attr(&alice(), folder).await.unwrap().owner, uid("alice"), "{folder}");
    }
    world.put(&alice(), "@alice/inbox/2027/05/second", b"x").await.unwrap();
    assert_eq!(code(world.get(&carol(), "@alice/inbox/2027/05/second").await), Code::NoRight);
}

async fn what_a_guest_shares_ends_with_his_own_right(world: World) {
    world.mkdir(&alice(), "@alice/d").await;
    world.grant(&alice(), "@alice/d", "bob", Right::Both, 100).await;
    world.put(&bob(), "@alice/d/f", b"bob's").await.unwrap();
    world.share(&bob(), "@alice/d/f", "carol").await.unwrap();
    world.share(&bob(), "@alice/d/f", "bob").await.unwrap();
    assert_eq!(code(world.share(&bob(), "@alice/d", "carol").await), Code::NoRight);
    assert_eq!(world.get(&carol(), "@alice/d/f").await.unwrap(), b"bob's");
    world.revoke(&alice(), "@alice/d", "bob").await;
    assert_eq!(code(world.get(&carol(), "@alice/d/f").await), Code::NoRight);
    assert_eq!(
        code(world.put(&bob(), "@alice/d/f", b"more").await),
        Code::NoRight,
        "nor keeps he himself a right"
    );
}

/// What was replaced before a grant is no part of what is shared.
async fn a_grant_begins_where_it_begins(world: World) {
    world.put(&alice(), "@alice/f", b"with a name").await.unwrap();
    world.wait(1);
    world.put(&alice(), "@alice/f", b"redacted").await.unwrap();
    let node = world.attr(&alice(), "@alice/f").await.unwrap().node;
    let open = |want, version| OpenRequest { node, want, version: Some(Version(version)) };
    let record = |version| RecordRequest { node, version: Some(Version(version)) };
    world.wait(1);
    world.grant(&alice(), "@alice/f", "bob", Right::Both, 1000).await;
    world.grant(&alice(), "@alice/f", "carol", Right::Checkin, 1000).await;
    let (bob, carol) = (bob(), carol());
    for want in [Right::Checkout, Right::Checkin, Right::Both] {
        assert_eq!(code(world.service.fs_open(&bob, open(want, 1)).await), Code::VersionGone, "{want}");
    }
    assert_eq!(code(world.service.fs_record(&bob, record(1)).await), Code::VersionGone);
    world.wait(1);
    world.put(&alice(), "@alice/f", b"later").await.unwrap();
    world.service.fs_open(&bob, open(Right::Checkout, 2)).await.unwrap();
    world.service.fs_record(&bob, record(2)).await.unwrap();
    assert_eq!(code(world.service.fs_open(&carol, open(Right::Checkin, 2)).await), Code::VersionGone);
    world.service.fs_open(&carol, open(Right::Checkin, 3)).await.unwrap();
    world.service.fs_open(&alice(), open(Right::Checkout, 1)).await.unwrap();
}

async fn check_in_only_writes_without_reading(world: World) {
    world.put(&alice(), "@alice/f", &bytes(100_000, 1)).await.unwrap();
    world.grant(&alice(), "@alice/f", "bob", Right::Checkin, 100).await;
    assert_eq!(code(world.get(&bob(), "@alice/f").await), Code::NoRight);
    let attr = world.attr(&bob(), "@alice/f").await.unwrap();
    let open = |want| OpenRequest { node: attr.node, want, version: None };
    assert_eq!(code(world.service.fs_open(&bob(), open(Right::Both)).await), Code::NoRight);
    world.service.fs_open(&bob(), open(Right::Checkin)).await.unwrap();
    world.checkin(&bob(), attr.node, attr.version, &[(70_000, b"hello")], attr.size).await.unwrap();
    let mut expected = bytes(100_000, 1);
    expected[70_000..70_005].copy_from_slice(b"hello");
    assert_eq!(world.get(&alice(), "@alice/f").await.unwrap(), expected);
}

async fn an_ended_right_ends_a_stream(world: World) {
    let large = bytes(12 << 20, 3);
    world.put(&alice(), "@alice/f", &large).await.unwrap();
    for end in ["expiry", "revocation"] {
        world.grant(&alice(), "@alice/f", "bob", Right::Checkout, 50).await;
        let path = "@alice/f".parse().unwrap();
        let mut body = world.service.get_document(&bob(), &path, RangeRequest::All).await.unwrap().body;
        let first = body.next().await.unwrap().unwrap();
        assert_eq!(first, large[..first.len()]);
        match end {
            "expiry" => world.wait(50),
            _ => world.revoke(&alice(), "@alice/f", "bob").await,
        }
        let rest = collect(body).await.unwrap_err();
        assert!(matches!(rest.code, Code::GrantEnded | Code::NoRight), "{end}: {rest:?}");
    }
}

async fn impossible_grants_are_refused(world: World) {
    let node = world.home(&alice()).await;
    let set = |grantee: &str, when| {
        let request = SetGrantRequest { node, grantee: grantee.parse().unwrap(), right: Right::Both, when };
        let service = world.service.clone();
        async move { service.fs_grant(&alice(), request).await }
    };
    let longest = world.settings.max_ttl.as_secs();
    assert!(set("bob", Some(When::Seconds(longest))).await.is_ok());
    let refusal = set("bob", Some(When::Seconds(longest + 1))).await.unwrap_err();
    assert_eq!(refusal.code, Code::BadGrant);
    assert!(refusal.detail.contains("366 days"), "{}", refusal.detail);
    assert_eq!(code(set("nobody", None).await), Code::BadGrant);
    assert!(set("bob", Some(When::Until(Timestamp(0)))).await.is_ok(), "an old value can be written back");
    assert_eq!(code(world.get(&bob(), "@alice/x").await), Code::NotFound);
    let stored = set("ALL", None).await.unwrap();
    assert_eq!(stored.until, START.after(world.settings.default_ttl));
}

async fn homes_are_listed_when_something_in_them_is_shared(world: World) {
    world.put(&alice(), "@alice/a/f", b"text").await.unwrap();
    world.put(&alice(), "@alice/other", b"text").await.unwrap();
    let homes = |who: Caller| {
        let service = world.service.clone();
        async move { service.fs_homes(&who, Empty {}).await.unwrap().uids }
    };
    assert!(homes(bob()).await.is_empty());
    world.grant(&alice(), "@alice/a/f", "bob", Right::Checkout, 100).await;
    assert_eq!(homes(bob()).await, [uid("alice")]);
    let home = world.attr(&bob(), "@alice").await.unwrap().node;
    let bob = bob();
    let list = || world.service.fs_list(&bob, ListRequest { folder: home, after: None, limit: 10 });
    let shown: Vec<_> = list().await.unwrap().entries.iter().map(|entry| entry.name.to_string()).collect();
    assert_eq!(shown, ["a"]);
    world.wait(100);
    assert!(homes(bob.clone()).await.is_empty());
    assert!(list().await.unwrap().entries.is_empty());
}

async fn what_a_lost_right_tells_fades_after_a_day(world: World) {
    world.put(&alice(), "@alice/revoked", b"x").await.unwrap();
    world.put(&alice(), "@alice/ended", b"x").await.unwrap();
    world.grant(&alice(), "@alice/revoked", "bob", Right::Both, 3600).await;
    world.grant(&alice(), "@alice/ended", "bob", Right::Both, 3600).await;
    let node = async |path| world.attr(&alice(), path).await.unwrap().node;
    let (revoked, ended) = (node("@alice/revoked").await, node("@alice/ended").await);
    world.revoke(&alice(), "@alice/revoked", "bob").await;
    let attr = async |node| world.service.fs_attr(&bob(), NodeRequest { node }).await;
    let open = async |node| {
        let request = OpenRequest { node, want: Right::Checkout, version: None };
        code(world.service.fs_open(&bob(), request).await)
    };
    world.wait(24 * 3600 - 1);
    assert!(attr(revoked).await.is_ok() && attr(ended).await.is_ok());
    assert_eq!((open(revoked).await, open(ended).await), (Code::NoRight, Code::GrantEnded));
    world.wait(1);
    assert_eq!((code(attr(revoked).await), open(revoked).await), (Code::NotFound, Code::NotFound));
    assert!(attr(ended).await.is_ok());
    world.wait(3600);
    assert_eq!((code(attr(ended).await), open(ended).await), (Code::NotFound, Code::NotFound));
    assert_eq!(code(world.attr(&bob(), "@alice").await), Code::NotFound, "nor is there a home");
}

async fn grants_are_listed_to_whom_they_concern(world: World) {
    world.put(&alice(), "@alice/f", b"x").await.unwrap();
    world.grant(&alice(), "@alice/f", "ALL", Right::Checkin, 100).await;
    world.grant(&alice(), "@alice/f", "bob", Right::Checkout, 50).await;
    let seen = async |who: &Caller| {
        let list = world.service.sharing.get_grants(who, &"@alice/f".parse().unwrap()).await.unwrap();
        list.grants.into_iter().map(|grant| grant.grantee.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(seen(&alice()).await, ["ALL", "bob"]);
    assert_eq!(seen(&bob()).await, ["bob"], "ALL's is not for him");
    assert_eq!(seen(&carol()).await, ["ALL"]);
    world.wait(50);
    assert_eq!(seen(&bob()).await, ["bob"], "also once it has run out");
    world.wait(50);
    assert_eq!(seen(&carol()).await, [""; 0]);
    assert_eq!(seen(&alice()).await, ["ALL", "bob"]);
}

async fn a_removal_or_a_move_is_told_to_whom_it_concerns(world: World) {
    for path in ["@alice/private", "@alice/mine", "@alice/shared/f", "@alice/shared/g", "@alice/shared/h"] {
        world.put(&alice(), path, b"x").await.unwrap();
    }
    world.grant(&alice(), "@alice/shared", "bob", Right::Checkout, 3600).await;
    let mut hears = Vec::new();
    for who in [alice(), bob(), carol()] {
        let mut events = world.service.fs_events(&who).await.unwrap();
        assert!(matches!(events.next().await, Some(Event::Alive { .. })), "the greeting");
        hears.push(events);
    }
    // Whether alice, bob and carol have heard of it.
    let mut heard = async || {
        world.service.say_alive(7);
        let mut heard = Vec::new();
        for events in &mut hears {
            let mut told = false;
            while events.next().await != Some(Event::Alive { every_ms: 7 }) {
                told = true;
            }
            heard.push(told);
        }
        heard
    };
    world.delete(&alice(), "@alice/private").await.unwrap();
    assert_eq!(heard().await, [true, false, false]);
    world.rename(&alice(), "@alice/mine", "@alice/still-mine").await.unwrap();
    assert_eq!(heard().await, [true, false, false]);
    world.delete(&alice(), "@alice/shared/f").await.unwrap();
    assert_eq!(heard().await, [true, true, false]);
    world.rename(&alice(), "@alice/shared/g", "@alice/g").await.unwrap();
    assert_eq!(heard().await, [true, true, false], "what bob had is gone");
    world.rename(&alice(), "@alice/still-mine", "@alice/shared/now").await.unwrap();
    assert_eq!(heard().await, [true, true, false], "there is something for bob");
    world.rename(&alice(), "@alice/g", "@alice/shared/h").await.unwrap();
    assert_eq!(heard().await, [true, true, false], "another content for bob");
}
