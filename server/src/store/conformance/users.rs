use super::*;

fn token(byte: u8) -> TokenHash {
    TokenHash([byte; 32])
}

fn session(user: &str, byte: u8, now: Timestamp) -> NewSession {
    NewSession {
        token: token(byte),
        uid: uid(user),
        public_key: format!("key of {user}"),
        machine: format!("client{byte}").parse().unwrap(),
        certificate: Fingerprint([byte; 32]),
        now,
        expires: Timestamp(now.0 + 100_000),
    }
}

async fn ended(rig: &Rig, byte: u8) -> Option<Ended> {
    rig.store.session(&token(byte)).await.unwrap().unwrap().ended
}

pub(super) async fn adding(rig: Rig) {
    refused!(rig.store.add_user(new_user("bob"), audit("user-add")).await, StoreError::Exists);
    let users = rig.store.users().await.unwrap();
    assert_eq!(users.iter().map(|user| user.uid.as_str()).collect::<Vec<_>>(), ["alice", "bob", "carol"]);
    let bob = rig.store.user(&uid("bob")).await.unwrap().unwrap();
    assert_eq!(bob, users[1]);
    assert_eq!((bob.public_key.as_str(), bob.disabled, bob.created), ("key of bob", false, NOW));
    assert_eq!(rig.store.user(&uid("dave")).await.unwrap(), None);

    let home = rig.store.home(&uid("bob"), &uid("bob"), NOW).await.unwrap().unwrap();
    assert_eq!(home.node.id, bob.home);
    assert_eq!((home.node.parent, home.node.name, home.node.kind), (None, None, Kind::Folder));
    assert_eq!((home.node.mtime_ns, home.node.owner), (NOW.nanos(), uid("bob")));
    assert!(rig.store.home(&uid("dave"), &uid("bob"), NOW).await.unwrap().is_none());
}

pub(super) async fn sessions_replace(rig: Rig) {
    assert_eq!(rig.store.begin_session(session("alice", 1, NOW), 1, audit("login")).await.unwrap(), []);
    assert_eq!(rig.store.begin_session(session("bob", 2, NOW), 1, audit("login")).await.unwrap(), []);
    let found = rig.store.session(&token(1)).await.unwrap().unwrap();
    let expected = Session {
        uid: uid("alice"),
        machine: "client1".parse().unwrap(),
        certificate: Fingerprint([1; 32]),
        expires: Timestamp(NOW.0 + 100_000),
        ended: None,
    };
    assert_eq!(found, expected);

    let at = Timestamp(NOW.0 + 1);
    assert_eq!(
        rig.store.begin_session(session("alice", 3, at), 1, audit("login")).await.unwrap(),
        [token(1)]
    );
    assert_eq!(ended(&rig, 1).await, Some(Ended::Replaced { by: "client3".parse().unwrap(), at }));
    assert_eq!((ended(&rig, 2).await, ended(&rig, 3).await), (None, None));
    assert_eq!(rig.store.session(&token(9)).await.unwrap(), None);
    refused!(rig.store.begin_session(session("alice", 2, at), 1, audit("login")).await, StoreError::Exists);
    refused!(rig.store.begin_session(session("dave", 4, at), 1, audit("login")).await, StoreError::NotFound);
}

pub(super) async fn sessions_are_kept(rig: Rig) {
    for byte in 1..=3 {
        rig.store.begin_session(session("alice", byte, NOW), 3, audit("login")).await.unwrap();
    }
    assert_eq!(
        rig.store.begin_session(session("alice", 4, NOW), 2, audit("login")).await.unwrap(),
        [token(1), token(2)]
    );
    assert_eq!((ended(&rig, 3).await, ended(&rig, 4).await), (None, None));
    // One that has run out is none of the live ones; 0 means 1.
    let late = Timestamp(NOW.0 + 100_000);
    assert_eq!(rig.store.begin_session(session("alice", 5, late), 0, audit("login")).await.unwrap(), []);
    assert_eq!(
        rig.store.begin_session(session("alice", 6, late), 0, audit("login")).await.unwrap(),
        [token(5)]
    );
}

pub(super) async fn sessions_end(rig: Rig) {
    rig.store.begin_session(session("alice", 1, NOW), 1, audit("login")).await.unwrap();
    rig.store.end_session(&token(1), NOW, audit("logout")).await.unwrap();
    rig.store.end_session(&token(7), NOW, audit("logout")).await.unwrap();
    assert_eq!(ended(&rig, 1).await, Some(Ended::Logout));
    rig.store.begin_session(session("alice", 2, NOW), 1, audit("login")).await.unwrap();
    rig.store.begin_session(session("alice", 3, NOW), 1, audit("login")).await.unwrap();
    rig.store.end_session(&token(2), LATER, audit("logout")).await.unwrap();
    assert!(matches!(ended(&rig, 2).await, Some(Ended::Replaced { .. })), "the first reason stays");
}

pub(super) async fn disabling(rig: Rig) {
    rig.store.begin_session(session("alice", 1, NOW), 1, audit("login")).await.unwrap();
    rig.store.begin_session(session("bob", 2, NOW), 1, audit("login")).await.unwrap();
    let mut live = rig.store.live_sessions().await.unwrap();
    live.sort_by_key(|token| token.0);
    assert_eq!(live, [token(1), token(2)]);
    rig.store.set_disabled(&uid("alice"), true, audit("user-disable")).await.unwrap();
    assert_eq!(rig.store.live_sessions().await.unwrap(), [token(2)]);
    assert!(rig.store.user(&uid("alice")).await.unwrap().unwrap().disabled);
    assert_eq!((ended(&rig, 1).await, ended(&rig, 2).await), (Some(Ended::ByAdministrator), None));
    refused!(
        rig.store.begin_session(session("alice", 3, NOW), 1, audit("login")).await,
        StoreError::NotFound
    );
    rig.store.set_disabled(&uid("alice"), false, audit("user-disable")).await.unwrap();
    assert_eq!(ended(&rig, 1).await, Some(Ended::ByAdministrator), "it does not come back");
    rig.store.begin_session(session("alice", 3, NOW), 1, audit("login")).await.unwrap();
    refused!(rig.store.set_disabled(&uid("dave"), true, audit("user-disable")).await, StoreError::NotFound);
}

pub(super) async fn revisions(rig: Rig) {
    let first = rig.store.revision().await.unwrap();
    assert_eq!(rig.store.revision().await.unwrap(), first);
    rig.store.begin_session(session("alice", 1, NOW), 1, audit("login")).await.unwrap();
    let second = rig.store.revision().await.unwrap();
    assert_ne!(second, first);
    refused!(rig.store.set_disabled(&uid("dave"), true, audit("user-disable")).await, StoreError::NotFound);
    rig.store.set_disabled(&uid("alice"), true, audit("user-disable")).await.unwrap();
    assert_ne!(rig.store.revision().await.unwrap(), second);
}

pub(super) async fn rekeying(rig: Rig) {
    rig.store.begin_session(session("alice", 1, NOW), 1, audit("login")).await.unwrap();
    rig.store.end_session(&token(1), NOW, audit("logout")).await.unwrap();
    rig.store.begin_session(session("alice", 2, NOW), 1, audit("login")).await.unwrap();
    rig.store.begin_session(session("bob", 3, NOW), 1, audit("login")).await.unwrap();
    rig.store.set_key(&uid("alice"), "another", audit("user-rekey")).await.unwrap();
    assert_eq!(rig.store.user(&uid("alice")).await.unwrap().unwrap().public_key, "another");
    assert_eq!(rig.store.user(&uid("bob")).await.unwrap().unwrap().public_key, "key of bob");
    assert_eq!(ended(&rig, 1).await, Some(Ended::Logout), "the first reason stays");
    assert_eq!((ended(&rig, 2).await, ended(&rig, 3).await), (Some(Ended::ByAdministrator), None));
    // A login that was verified before and comes to its session behind.
    let late = session("alice", 4, NOW);
    refused!(rig.store.begin_session(late, 1, audit("login")).await, StoreError::NotFound);
    let new = NewSession { public_key: "another".into(), ..session("alice", 4, NOW) };
    rig.store.begin_session(new, 1, audit("login")).await.unwrap();
    assert_eq!(ended(&rig, 4).await, None);
    refused!(rig.store.set_key(&uid("dave"), "another", audit("user-rekey")).await, StoreError::NotFound);
}

pub(super) async fn forgetting_sessions(rig: Rig) {
    let day = 24 * 3600 * 1000;
    rig.store.begin_session(session("alice", 1, NOW), 1, audit("login")).await.unwrap();
    rig.store.end_session(&token(1), NOW, audit("logout")).await.unwrap();
    rig.store.begin_session(session("alice", 2, NOW), 1, audit("login")).await.unwrap(); // expires 100 s later
    rig.store.begin_session(session("bob", 3, Timestamp(NOW.0 + day)), 1, audit("login")).await.unwrap();
    assert!(rig.store.session(&token(1)).await.unwrap().is_some(), "a day ago, not more");
    rig.store.begin_session(session("bob", 4, Timestamp(NOW.0 + day + 1)), 1, audit("login")).await.unwrap();
    assert_eq!(rig.store.session(&token(1)).await.unwrap(), None);
    assert!(rig.store.session(&token(2)).await.unwrap().is_some());
    rig.store
        .begin_session(session("bob", 5, Timestamp(NOW.0 + day + 100_001)), 1, audit("login"))
        .await
        .unwrap();
    assert_eq!(rig.store.session(&token(2)).await.unwrap(), None);
}
