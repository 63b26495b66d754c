use super::*;

/// Behind what the log's own first row names.
async fn some_time_later(rig: &Rig) -> Timestamp {
    rig.store.latest_moment().await.unwrap().after(std::time::Duration::from_secs(3600))
}

fn at(time: Timestamp) -> AuditRow {
    AuditRow { time, ..audit("checkout") }
}

pub(super) async fn the_latest_is_remembered(rig: Rig) {
    let then = some_time_later(&rig).await;
    let later = Timestamp(then.0 + 5);
    rig.store.remember_moment(then).await.unwrap();
    rig.store.remember_moment(NOW).await.unwrap();
    assert_eq!(rig.store.latest_moment().await.unwrap(), then, "an earlier one changes nothing");
    rig.store.audit(vec![at(later), at(NOW)]).unwrap();
    rig.store.flush().await.unwrap();
    assert_eq!(rig.store.latest_moment().await.unwrap(), later, "a row of the audit log names it");
    rig.store.prune_audit(Timestamp(later.0 + 1), usize::MAX, NOW).await.unwrap();
    assert_eq!(rig.store.latest_moment().await.unwrap(), then, "rows that were pruned are forgotten");
}

pub(super) async fn a_mistaken_moment_is_taken_back(rig: Rig) {
    let now = some_time_later(&rig).await;
    let ahead = Timestamp(now.0 + 1_000_000_000);
    let folder = rig.folder(rig.home("alice").await, "d").await;
    let given = |until| NewGrant { grantee: grantee("bob"), right: Right::Checkout, until };
    let until = Timestamp(ahead.0 + 50_000);
    rig.store.set_grant(&proof(folder, Share), given(until), at(ahead)).await.unwrap();
    let early = NewGrant { grantee: grantee("carol"), right: Right::Checkout, until };
    rig.store.set_grant(&proof(folder, Share), early, at(NOW)).await.unwrap();
    let token = TokenHash([1; 32]);
    let session = NewSession {
        token,
        uid: uid("bob"),
        public_key: "key of bob".into(),
        machine: "client1".parse().unwrap(),
        certificate: Fingerprint([1; 32]),
        now: ahead,
        expires: until,
    };
    rig.store.begin_session(session, 1, at(ahead)).await.unwrap();
    let file = rig.file("f").await;
    rig.commit(file, Commit { now: ahead, ..version(0, 1) }).await.unwrap();
    rig.commit(file, Commit { now: ahead, ..version(1, 2) }).await.unwrap();
    rig.store.hold("backup", until).await.unwrap();
    let removed = rig.file("removed").await;
    let (commit, pack) = version_with_pack(removed, 0, 3, false);
    rig.commit(removed, commit).await.unwrap();
    rig.remove(removed, rig.home("alice").await, "removed").await.unwrap();
    rig.store.remember_moment(ahead).await.unwrap();

    let row = AuditRow::administrative(now, AuditAction::ClockReset, "a test");
    let set = rig.store.set_back(now, row).await.unwrap();

    assert_eq!(set, SetBack { grants: 1, sessions: 1 });
    assert_eq!(rig.store.latest_moment().await.unwrap(), now, "rows from before do not count");
    let grants = rig.store.grants(folder).await.unwrap();
    let untils: Vec<_> = grants.iter().map(|row| (row.grantee.to_string(), row.until)).collect();
    let expected = [("bob".to_owned(), Timestamp(now.0 + 50_000)), ("carol".to_owned(), until)];
    assert_eq!(untils, expected, "what was given at the wrong time lasts as long, from now; another stays");
    let level = &rig.store.node(folder, &uid("bob"), now).await.unwrap().unwrap().facts.levels[0];
    assert_eq!(level.own.as_ref().map(|grant| grant.since), Some(now));
    assert_eq!(rig.store.session(&token).await.unwrap().unwrap().ended, Some(Ended::Logout));
    assert_eq!(rig.store.superseded(now, 9).await.unwrap(), [(file, Version(1))]);
    assert_eq!(rig.store.trash(9, now).await.unwrap(), []);
    let hour = std::time::Duration::from_secs(3600);
    assert_eq!(rig.store.trash(9, now.after(hour)).await.unwrap(), [pack], "a hold does not last for ever");
    assert_eq!(rig.store.audit_head().await.unwrap().seq, last_row(&rig, "clock-reset").await);
}

async fn last_row(rig: &Rig, action: &str) -> AuditSeq {
    let rows = rig.store.audit_after(AuditSeq::NONE, usize::MAX).await.unwrap();
    rows.iter().rev().find(|row| row.action == action).unwrap().seq
}
