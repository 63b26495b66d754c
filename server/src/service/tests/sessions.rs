//! Who a request comes from.

use super::*;
use base64::Engine as _;
use sss_common::login;
use sss_common::wire::session::{ChallengeRequest, LoginRequest};

on_both_stores! {
    a_signed_statement_opens_a_session
    what_does_not_match_is_refused_in_the_same_words
    a_well_signed_statement_of_something_else_is_refused
    a_challenge_serves_once
    a_challenge_names_the_server_as_the_connection_saw_it
    one_session_for_each_user
    a_session_is_bound_to_its_certificate
    a_users_certificate_serves_no_other
    sessions_end
    guessing_is_slowed_down
    a_disabled_user_is_out
    another_key_ends_what_the_old_one_began
    an_ended_session_ends_what_it_began
    what_another_process_ends_is_over_here
    a_session_that_runs_out_says_so_by_itself
}

async fn signed(world: &World, peer: &Peer, uid: &str, key_of: &str) -> LoginRequest {
    signed_as(world, peer, uid, key_of, |challenge| {
        login::statement(&peer.machine, &uid.parse().unwrap(), challenge)
    })
    .await
}

/// A request with a statement of one's own, signed as it stands.
async fn signed_as(
    world: &World,
    peer: &Peer,
    uid: &str,
    key_of: &str,
    statement: impl Fn(&str) -> String,
) -> LoginRequest {
    let request = ChallengeRequest { uid: uid.parse().unwrap() };
    let statement = statement(&world.service.logins.challenge(peer, request).await.unwrap().challenge);
    let signature = login::sign(&user_key(key_of).0, statement.as_bytes());
    let signature = base64::engine::general_purpose::STANDARD.encode(signature);
    LoginRequest { uid: uid.parse().unwrap(), statement, signature }
}

pub(super) async fn login_as(world: &World, peer: &Peer, uid: &str) -> String {
    let request = signed(world, peer, uid, uid).await;
    world.service.logins.login(peer, request).await.unwrap().token
}

async fn a_signed_statement_opens_a_session(world: World) {
    let token = login_as(&world, &peer("client1"), "alice").await;
    let caller = world.service.logins.authenticate(&peer("client1"), &token).await.unwrap();
    assert_eq!(caller.uid(), &uid("alice"));
    assert_eq!(token.len(), 43, "256 bits in base64");
    assert_eq!(code(world.service.logins.authenticate(&peer("client1"), "guess").await), Code::NotLoggedIn);
}

async fn what_does_not_match_is_refused_in_the_same_words(world: World) {
    let here = peer("client1");
    let mut words = std::collections::BTreeSet::new();
    let mut refused = |outcome: Outcome<_>| {
        let failure: Failure = Outcome::<sss_common::wire::session::LoginResponse>::err(outcome).unwrap();
        assert_eq!(failure.code, Code::LoginRefused);
        words.insert(failure.detail);
    };
    refused(world.service.logins.login(&here, signed(&world, &here, "alice", "bob").await).await);
    refused(world.service.logins.login(&here, signed(&world, &here, "nobody", "bob").await).await);
    let elsewhere = signed(&world, &peer("client2"), "alice", "alice").await;
    refused(world.service.logins.login(&here, elsewhere).await);
    let mut request = signed(&world, &here, "alice", "alice").await;
    request.statement = request.statement.replace("client1", "client2");
    refused(world.service.logins.login(&here, request).await);
    let mut request = signed(&world, &here, "bob", "bob").await;
    request.uid = uid("carol");
    refused(world.service.logins.login(&here, request).await);
    let mut request = signed(&world, &here, "bob", "bob").await;
    request.signature = "***".into();
    refused(world.service.logins.login(&here, request).await);
    assert_eq!(words.len(), 1);
}

/// What is signed must be just the statement of this machine and this user: another, however well signed, is refused.
async fn a_well_signed_statement_of_something_else_is_refused(world: World) {
    let here = peer("client1");
    let statement = |machine: &str, uid: &str, challenge: &str| {
        login::statement(&machine.parse().unwrap(), &uid.parse().unwrap(), challenge)
    };
    type Signed<'a> = &'a dyn Fn(&str) -> String;
    let others: [(&str, Signed<'_>); 6] = [
        ("machine", &|challenge| statement("client2", "alice", challenge)),
        ("user", &|challenge| statement("client1", "bob", challenge)),
        ("more behind it", &|challenge| format!("{}\n", statement("client1", "alice", challenge))),
        ("more before it", &|challenge| format!(" {}", statement("client1", "alice", challenge))),
        ("a made-up challenge", &|_| statement("client1", "alice", "AAAA")),
        ("the challenge alone", &|challenge| challenge.into()),
    ];
    for (what, other) in others {
        let request = signed_as(&world, &here, "alice", "alice", other).await;
        assert_eq!(code(world.service.logins.login(&here, request).await), Code::LoginRefused, "{what}");
        world.clock.advance(world.settings.login_delay_max);
    }
    let own = signed_as(&world, &here, "alice", "alice", |c| statement("client1", "alice", c)).await;
    world.service.logins.login(&here, own).await.unwrap();
}

async fn a_challenge_serves_once(world: World) {
    let request = signed(&world, &peer("client1"), "alice", "alice").await;
    world.service.logins.login(&peer("client1"), request.clone()).await.unwrap();
    assert_eq!(code(world.service.logins.login(&peer("client1"), request).await), Code::LoginRefused);
    let late = signed(&world, &peer("client1"), "alice", "alice").await;
    world.clock.advance(world.settings.challenge_ttl);
    assert_eq!(code(world.service.logins.login(&peer("client1"), late).await), Code::LoginRefused);
}

async fn a_challenge_names_the_server_as_the_connection_saw_it(world: World) {
    for key in [b"before", b"behind"] {
        let server = ServerKey::of(key);
        let here = Peer { server, ..peer("client1") };
        let request = ChallengeRequest { uid: uid("alice") };
        let given = world.service.logins.challenge(&here, request).await.unwrap().challenge;
        assert_eq!(login::Challenge::parse(&given).map(|challenge| challenge.server()), Some(server));
        login_as(&world, &here, "alice").await;
    }
}

async fn one_session_for_each_user(world: World) {
    let first = login_as(&world, &peer("client1"), "alice").await;
    let caller = world.service.logins.authenticate(&peer("client1"), &first).await.unwrap();
    let mut events = world.service.fs_events(&caller).await.unwrap();
    let bobs = login_as(&world, &peer("client1"), "bob").await;
    login_as(&world, &peer("client2"), "alice").await;
    let failure = world.service.logins.authenticate(&peer("client1"), &first).await.unwrap_err();
    assert_eq!(failure.code, Code::SessionReplaced);
    assert!(failure.detail.contains("client2"), "{}", failure.detail);
    assert!(world.service.logins.authenticate(&peer("client1"), &bobs).await.is_ok());
    assert!(matches!(events.next().await, Some(Event::Alive { .. })));
    assert_eq!(events.next().await, Some(Event::SessionReplaced { by_node: "client2".parse().unwrap() }));
}

async fn a_session_is_bound_to_its_certificate(world: World) {
    let token = login_as(&world, &peer("client1"), "alice").await;
    assert_eq!(code(world.service.logins.authenticate(&peer("client2"), &token).await), Code::NotLoggedIn);
}

async fn a_users_certificate_serves_no_other(world: World) {
    let of = |serves: Serves| Peer { serves, ..peer("client1") };
    let (bobs, nobodys) = (of(Serves::Only(uid("bob"))), of(Serves::Nobody));
    for other in [&bobs, &nobodys] {
        let request = signed(&world, other, "alice", "alice").await;
        assert_eq!(code(world.service.logins.login(other, request).await), Code::LoginRefused);
    }
    let token = login_as(&world, &of(Serves::Only(uid("alice"))), "alice").await;
    login_as(&world, &bobs, "bob").await;
    // The same certificate by its fingerprint: what it says decides.
    for other in [&bobs, &nobodys] {
        assert_eq!(code(world.service.logins.authenticate(other, &token).await), Code::NotLoggedIn);
    }
    world.service.logins.authenticate(&peer("client1"), &token).await.unwrap();
}

async fn sessions_end(world: World) {
    let here = peer("client1");
    let token = login_as(&world, &here, "alice").await;
    let caller = world.service.logins.authenticate(&here, &token).await.unwrap();
    world.service.logins.logout(&caller).await.unwrap();
    assert_eq!(code(world.service.logins.authenticate(&here, &token).await), Code::SessionExpired);
    let token = login_as(&world, &here, "alice").await;
    world.clock.advance(world.settings.session_ttl);
    assert_eq!(code(world.service.logins.authenticate(&here, &token).await), Code::SessionExpired);
}

async fn guessing_is_slowed_down(world: World) {
    let here = peer("client1");
    for _ in 0..=world.settings.login_failures {
        let request = signed(&world, &here, "alice", "bob").await;
        assert_eq!(code(world.service.logins.login(&here, request).await), Code::LoginRefused);
    }
    let request = ChallengeRequest { uid: uid("alice") };
    let failure = world.service.logins.challenge(&here, request).await.unwrap_err();
    assert_eq!((failure.code, failure.retry_after), (Code::Throttled, Some(1)));
    login_as(&world, &peer("client2"), "alice").await;
    world.wait(1);
    login_as(&world, &here, "alice").await;
}

async fn a_disabled_user_is_out(world: World) {
    let here = peer("client1");
    world.service.meta.set_disabled(&uid("alice"), true, by_administrator()).await.unwrap();
    let request = signed(&world, &here, "alice", "alice").await;
    assert_eq!(code(world.service.logins.login(&here, request).await), Code::SessionRevoked);
    world.service.meta.set_disabled(&uid("alice"), false, by_administrator()).await.unwrap();
    let token = login_as(&world, &here, "alice").await;
    world.service.meta.set_disabled(&uid("alice"), true, by_administrator()).await.unwrap();
    assert_eq!(code(world.service.logins.authenticate(&here, &token).await), Code::SessionRevoked);
}

/// `3s-server user disable`: the server's own calls know nothing of it.
async fn what_another_process_ends_is_over_here(world: World) {
    let here = peer("client1");
    let token = login_as(&world, &here, "alice").await;
    let caller = world.service.logins.authenticate(&here, &token).await.unwrap();
    let bobs = login_as(&world, &here, "bob").await;
    world.service.logins.authenticate(&here, &bobs).await.unwrap();
    world.put(&caller, "@alice/f", &bytes(1 << 20, 3)).await.unwrap();
    let path = "@alice/f".parse().unwrap();
    let mut body = world.service.get_document(&caller, &path, RangeRequest::All).await.unwrap().body;
    body.next().await.unwrap().unwrap();
    let node = world.attr(&caller, "@alice/f").await.unwrap().node;
    let open = OpenRequest { node, want: Right::Checkout, version: None };
    let version = world.service.fs_open(&caller, open).await.unwrap().version;
    let mut events = world.service.fs_events(&caller).await.unwrap();
    assert!(matches!(events.next().await, Some(Event::Alive { .. })), "the greeting");
    let cancel = tokio_util::sync::CancellationToken::new();
    let watch = tokio::spawn({
        let (service, cancel) = (world.service.clone(), cancel.clone());
        async move { service.watch(cancel).await }
    });

    world.service.meta.set_disabled(&uid("alice"), true, by_administrator()).await.unwrap();

    let told = tokio::time::timeout(Duration::from_secs(3), events.next()).await;
    let told = told.expect("sooner than with the next sign of life");
    assert!(
        matches!(&told, Some(Event::SessionEnded { reason }) if reason.contains("disabled user alice")),
        "{told:?}"
    );
    assert_eq!(events.next().await, None);
    assert_eq!(code(collect(body).await), Code::SessionRevoked);
    assert_eq!(code(world.service.logins.authenticate(&here, &token).await), Code::SessionRevoked);
    assert!(!world.service.held.pins.holds(&caller.token, node, version), "what it held is free");
    world.service.logins.authenticate(&here, &bobs).await.unwrap();
    cancel.cancel();
    watch.await.unwrap();
}

async fn a_session_that_runs_out_says_so_by_itself(world: World) {
    let here = peer("client1");
    let token = login_as(&world, &here, "alice").await;
    let caller = world.service.logins.authenticate(&here, &token).await.unwrap();
    let mut events = world.service.fs_events(&caller).await.unwrap();
    assert!(matches!(events.next().await, Some(Event::Alive { .. })), "the greeting");
    world.clock.advance(world.settings.session_ttl);
    let watch = world.service.watch(Default::default());
    let told = async { tokio::time::timeout(Duration::from_secs(3), events.next()).await.unwrap() };
    tokio::select! {
        () = watch => panic!("it goes on"),
        told = told => assert!(matches!(told, Some(Event::SessionEnded { reason }) if reason.contains("ended at"))),
    }
}

async fn another_key_ends_what_the_old_one_began(world: World) {
    let here = peer("client1");
    let token = login_as(&world, &here, "alice").await;
    let begun = signed(&world, &here, "alice", "alice").await;
    world.service.meta.set_key(&uid("alice"), &user_key("alice, later").1, by_administrator()).await.unwrap();
    let failure = world.service.logins.authenticate(&here, &token).await.unwrap_err();
    assert_eq!(failure.code, Code::SessionRevoked);
    assert!(failure.detail.contains("another key"), "{}", failure.detail);
    assert_eq!(code(world.service.logins.login(&here, begun).await), Code::LoginRefused);
    let request = signed(&world, &here, "alice", "alice, later").await;
    world.service.logins.login(&here, request).await.unwrap();
}

async fn an_ended_session_ends_what_it_began(world: World) {
    world.put(&alice(), "@alice/f", &bytes(12 << 20, 3)).await.unwrap();
    let path = "@alice/f".parse().unwrap();
    let mut body = world.service.get_document(&alice(), &path, RangeRequest::All).await.unwrap().body;
    body.next().await.unwrap().unwrap();
    let attr = world.attr(&alice(), "@alice/f").await.unwrap();
    world.service.logins.logout(&alice()).await.unwrap();
    assert_eq!(code(collect(body).await), Code::SessionExpired);
    let late = world.checkin(&alice(), attr.node, attr.version, &[(0, b"x")], 1).await;
    assert_eq!(code(late), Code::SessionExpired);
    assert_eq!(code(world.put(&alice(), "@alice/new", b"x").await), Code::SessionExpired);
    let mut events = world.service.fs_events(&alice()).await.unwrap();
    assert!(matches!(events.next().await, Some(Event::Alive { .. })), "the greeting");
    let reason = "the session was logged out".into();
    assert_eq!(events.next().await, Some(Event::SessionEnded { reason }));
    assert_eq!(events.next().await, None);
}
