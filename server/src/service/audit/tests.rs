//! What is in the log after a call, and what is refused while the log takes nothing.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use sss_common::wire::fs::{CloseRequest, OpenRequest};
use sss_common::{Code, Kind, Right, Version};

use super::alarm::Change;
use super::*;
use crate::service::tests::{World, alice, bob, bytes, code, on_both_stores};
use crate::store::AuditSeq;
use crate::store::audit::{ChainCheck, Chained};
use crate::store::memory::MemoryStore;

on_both_stores! { rows_have_their_paths_and_order what_is_hidden_leaves_no_row retention_keeps_the_chain }

/// The log as words: `action path outcome`, from the last to the first but `skip`.
async fn log(world: &World, skip: AuditSeq) -> Vec<String> {
    world.service.meta.flush().await.unwrap();
    let rows = world.service.meta.audit_after(skip, 10_000).await.unwrap();
    let shown = |row: &crate::store::AuditEntry| {
        let user = row.user.as_deref().unwrap_or("-");
        format!("{user} {} {} {} {}", row.action, row.path, row.outcome, row.detail).trim_end().to_owned()
    };
    rows.iter().map(shown).collect()
}

async fn verified(world: &World) -> Chained {
    let meta = &*world.service.meta;
    meta.flush().await.unwrap();
    let mut check = ChainCheck::new(meta.audit_start().await.unwrap(), None);
    for row in meta.audit_after(AuditSeq::NONE, 100_000).await.unwrap() {
        check.next(&row).unwrap();
    }
    check.end(meta.audit_head().await.unwrap().seq).unwrap()
}

async fn rows_have_their_paths_and_order(world: World) {
    let before = verified(&world).await.head.seq;
    world.mkdir(&alice(), "@alice/d").await;
    world.put(&alice(), "@alice/d/f", b"one").await.unwrap();
    world.grant(&alice(), "@alice/d", "bob", Right::Checkout, 100).await;
    let attr = world.attr(&bob(), "@alice/d/f").await.unwrap();
    let open = OpenRequest { node: attr.node, want: Right::Checkout, version: None };
    world.service.fs_open(&bob(), open).await.unwrap();
    world.service.fs_close(&bob(), CloseRequest { pins: vec![] }).await.unwrap();
    assert_eq!(code(world.put(&bob(), "@alice/d/f", b"two").await), Code::NoRight);
    world.get(&bob(), "@alice/d/f").await.unwrap();
    world.checkin(&alice(), attr.node, Version(1), &[(0, b"two")], 3).await.unwrap();
    world.rename(&alice(), "@alice/d/f", "@alice/d/g").await.unwrap();
    world.create(&alice(), "@alice/d/h", Kind::File).await.unwrap();
    world.rename(&alice(), "@alice/d/h", "@alice/d/g").await.unwrap();
    world.revoke(&alice(), "@alice/d", "bob").await;
    world
        .service
        .delete_document(&alice(), &"@alice/d/g".parse().unwrap(), crate::service::Precondition::None)
        .await
        .unwrap();
    world.service.logins.logout(&alice()).await.unwrap();
    let rows = log(&world, before).await;
    let until = rows[2].rsplit(' ').next().unwrap().to_owned();
    let epoch = rows[12].rsplit(' ').next().unwrap().to_owned();
    let expected = [
        "alice create @alice/d allowed".to_owned(),
        "alice checkin @alice/d/f allowed created, version 1".into(),
        format!("alice grant @alice/d allowed bob checkout until {until}"),
        "bob open @alice/d/f allowed checkout version 1".into(),
        "bob checkin @alice/d/f refused your grant is for checkout only".into(),
        "bob checkout @alice/d/f allowed version 1".into(),
        "alice checkin @alice/d/f allowed version 2".into(),
        "alice rename @alice/d/f allowed to g".into(),
        "alice create @alice/d/h allowed".into(),
        "alice checkin-by-rename @alice/d/g allowed version 3".into(),
        "alice revoke @alice/d allowed bob".into(),
        "alice delete @alice/d/g allowed version 3".into(),
        format!("alice receipt @alice/d/g allowed epoch {epoch}"),
        "alice logout  allowed".into(),
    ];
    assert_eq!(rows, expected);
    verified(&world).await;
}

async fn what_is_hidden_leaves_no_row(world: World) {
    world.put(&alice(), "@alice/f", b"one").await.unwrap();
    let node = world.attr(&alice(), "@alice/f").await.unwrap().node;
    let before = verified(&world).await.head.seq;
    assert_eq!(code(world.read(&bob(), node, Version(1)).await), Code::NotFound);
    assert_eq!(code(world.checkin(&bob(), node, Version(1), &[], 0).await), Code::NotFound);
    assert_eq!(log(&world, before).await, [""; 0], "for who may not see it there is nothing to refuse");
    world.grant(&alice(), "@alice/f", "bob", Right::Checkout, 100).await;
    let before = verified(&world).await.head.seq;
    assert_eq!(code(world.checkin(&bob(), node, Version(1), &[], 0).await), Code::NoRight);
    assert_eq!(
        log(&world, before).await,
        ["bob checkin @alice/f refused your grant is for checkout only"],
        "for who may, there is"
    );
}

/// A right that is missing, and damage, are handed over by calls that fail: their rows come before those of later changes.
#[tokio::test]
async fn order_is_that_of_the_calls() {
    let world = World::on_sqlite().await;
    world.put(&alice(), "@alice/f", &bytes(100, 1)).await.unwrap();
    world.grant(&alice(), "@alice/f", "bob", Right::Checkin, 1000).await;
    let before = verified(&world).await.head.seq;
    for number in 0..100 {
        assert_eq!(code(world.get(&bob(), "@alice/f").await), Code::NoRight);
        world.get(&alice(), "@alice/f").await.unwrap();
        world.mkdir(&alice(), &format!("@alice/d{number}")).await;
    }
    let rows = log(&world, before).await;
    assert_eq!(rows.len(), 300);
    for (number, three) in rows.chunks(3).enumerate() {
        assert!(three[0].starts_with("bob checkout @alice/f refused"), "{three:?}");
        assert_eq!(three[1], "alice checkout @alice/f allowed version 1");
        assert_eq!(three[2], format!("alice create @alice/d{number} allowed"));
    }
}

#[tokio::test]
async fn without_a_log_nothing_is_checked_out_or_in() {
    let store = Arc::new(MemoryStore::default());
    let meta = store.clone();
    let world = World::on(|_| meta).await;
    world.put(&alice(), "@alice/f", b"x").await.unwrap();
    world.grant(&alice(), "@alice/f", "bob", Right::Checkin, 1000).await;
    let attr = world.attr(&alice(), "@alice/f").await.unwrap();
    store.fail_audit(true);
    let open = OpenRequest { node: attr.node, want: Right::Checkout, version: None };
    let refused = world.service.fs_open(&alice(), open).await.unwrap_err();
    assert_eq!((refused.code, refused.retry_after.is_some()), (Code::Unavailable, true));
    assert_eq!(code(world.get(&alice(), "@alice/f").await), Code::Unavailable);
    assert_eq!(code(world.read(&alice(), attr.node, attr.version).await), Code::Unavailable);
    assert_eq!(code(world.put(&alice(), "@alice/f", b"y").await), Code::Unavailable);
    assert_eq!(code(world.put(&alice(), "@alice/new", b"y").await), Code::Unavailable);
    assert_eq!(
        code(world.checkin(&alice(), attr.node, attr.version, &[(0, b"y")], 1).await),
        Code::Unavailable
    );
    // What is committed with its row fails with it.
    assert_eq!(code(world.create(&alice(), "@alice/d", Kind::Folder).await), Code::Unavailable);
    let login = world.service.logins.logout(&alice()).await;
    assert_eq!(code(login), Code::Unavailable);
    // Who may not is told so all the same, and that is written down once it can be.
    assert_eq!(code(world.get(&bob(), "@alice/f").await), Code::NoRight);
    let rows = store.audit_log().len();

    store.fail_audit(false);
    world.service.fs_open(&alice(), open).await.unwrap();
    assert_eq!(world.get(&alice(), "@alice/f").await.unwrap(), b"x");
    world.put(&alice(), "@alice/f", b"y").await.unwrap();
    let log = store.audit_log();
    let new: Vec<_> = log[rows..].iter().map(|row| (row.action, row.outcome.word())).collect();
    let expected = [
        (AuditAction::Checkout, "refused"),
        (AuditAction::Open, "allowed"),
        (AuditAction::Checkout, "allowed"),
        (AuditAction::Checkin, "allowed"),
    ];
    assert_eq!(new, expected);
}

#[test]
fn the_alarm_is_raised_once() {
    let alarm = Alarm::default();
    let full = StoreError::Full;
    assert_eq!(alarm.heed(None), None);
    assert_eq!(alarm.heed(Some(&full)), Some(Change::Raised));
    assert_eq!(alarm.heed(Some(&full)), None);
    assert_eq!(alarm.heed(None), Some(Change::Over));
    assert_eq!(alarm.heed(None), None);
}

async fn retention_keeps_the_chain(mut world: World) {
    let keep = Duration::from_secs(30 * 24 * 3600);
    world.put(&alice(), "@alice/f", b"x").await.unwrap();
    world.service.audit.prune().await.unwrap();
    let whole = verified(&world).await;
    assert_eq!(whole.start.seq, AuditSeq::NONE, "for ever is the default");
    let settings = crate::service::Settings { audit_keep: Some(keep), min_free: 0, ..Default::default() };
    world.restart(settings).await;
    world.service.audit.prune().await.unwrap();
    assert_eq!(verified(&world).await.start.seq, AuditSeq::NONE);
    world.clock.advance(keep);
    world.put(&alice(), "@alice/f", b"y").await.unwrap();
    world.clock.advance(Duration::from_secs(24 * 3600));
    world.service.audit.prune().await.unwrap();
    let pruned = verified(&world).await;
    assert_eq!(pruned.start, whole.head);
    assert_eq!(
        log(&world, AuditSeq::NONE)
            .await
            .iter()
            .map(|row| row.split(' ').nth(1).unwrap())
            .collect::<Vec<_>>(),
        ["checkin", "prune"]
    );
    world.service.audit.prune().await.unwrap();
    assert_eq!(verified(&world).await, pruned, "once a day");
}
