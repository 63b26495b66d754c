//! Homes that an administrator's command changes beside the server.

use rsa::pkcs8::DecodePublicKey as _;

use super::*;
use crate::service::elsewhere::Homes;
use sss_common::Flag;
use sss_common::record::VersionRecord;
use sss_common::wire::fs::Event;

on_both_stores! {
    a_home_that_was_handed_over_is_the_others_with_its_history
    what_streams_is_looked_at_again
    a_home_that_was_emptied_is_told_and_erased
    what_others_commit_is_no_news
}

fn by_command(action: AuditAction, detail: &str) -> AuditRow {
    AuditRow::administrative(START, action, detail)
}

impl World {
    async fn transfer(&self, from: &str, to: &str) {
        let row = by_command(AuditAction::UserTransfer, &format!("{from} to {to}"));
        self.service.meta.transfer(&uid(from), &uid(to), None, row).await.unwrap();
    }

    /// What `3s-server user remove` does.
    async fn remove(&self, who: &str) {
        let (meta, who) = (&self.service.meta, uid(who));
        meta.shut(&who, by_command(AuditAction::UserDisable, who.as_str())).await.unwrap();
        while !meta.empty(&who, 10, START).await.unwrap().is_empty() {}
        while meta.withdraw(&who, 10, START).await.unwrap() > 0 {}
        meta.remove_user(&who, by_command(AuditAction::UserRemove, who.as_str())).await.unwrap();
    }

    async fn pin(&self, who: &Caller, node: NodeId, version: Version) {
        let open = OpenRequest { node, want: Right::Checkout, version: Some(version) };
        self.service.fs_open(who, open).await.unwrap();
    }

    async fn record_of(&self, who: &Caller, node: NodeId, version: Version) -> Outcome<RecordResponse> {
        self.service.fs_record(who, RecordRequest { node, version: Some(version) }).await
    }
}

async fn a_home_that_was_handed_over_is_the_others_with_its_history(world: World) {
    let (old, new) = (bytes(200_000, 1), bytes(70_000, 2));
    let path: DocPath = "@alice/d/signed".parse().unwrap();
    world.mkdir(&alice(), "@alice/d").await;
    for content in [&old, &new] {
        let (who, body) = (alice(), whole(content));
        let put = world.service.put_document(&who, &path, Some(Flag::Integrity), Precondition::None, body);
        put.await.unwrap();
    }
    world.put(&alice(), "@alice/small", b"in its row").await.unwrap();
    world.grant(&alice(), "@alice/d", "carol", Right::Checkout, 100).await;
    world.grant(&alice(), "@alice/d", "bob", Right::Checkout, 100).await;
    let node = world.attr(&alice(), "@alice/d/signed").await.unwrap().node;
    world.pin(&alice(), node, Version(1)).await;
    let signed = world.record_of(&alice(), node, Version(1)).await.unwrap();
    // Both versions are in the server's memory.
    assert_eq!(world.read(&alice(), node, Version(2)).await.unwrap(), new);
    world.transfer("alice", "bob").await;
    world.service.elsewhere.look(&mut Homes::default()).await.unwrap();

    assert_eq!(world.get(&bob(), "@bob/alice/d/signed").await.unwrap(), new);
    assert_eq!(world.get(&bob(), "@bob/alice/small").await.unwrap(), b"in its row");
    let attr = world.attr(&bob(), "@bob/alice/d/signed").await.unwrap();
    assert_eq!((attr.node, attr.version, attr.author), (node, Version(2), Some(uid("alice"))));
    for (version, content) in [(Version(1), &old), (Version(2), &new)] {
        world.pin(&bob(), node, version).await;
        assert_eq!(&world.read(&bob(), node, version).await.unwrap(), content, "{version}");
        let told = world.record_of(&bob(), node, version).await.unwrap();
        let record = VersionRecord::decode(&told.record.0).unwrap();
        let key = rsa::RsaPublicKey::from_public_key_pem(&told.server_key).unwrap();
        assert!(record.is_signed_by(&key, &told.signature.unwrap().0), "{version}: its signature holds");
        assert_eq!(record.document, node);
    }
    assert_eq!(world.record_of(&bob(), node, Version(1)).await.unwrap().record, signed.record);
    // carol reads on, alice has nothing left, and the new owner shares and deletes.
    assert_eq!(world.get(&carol(), "@bob/alice/d/signed").await.unwrap(), new);
    world.wait(101);
    assert_eq!(code(world.get(&carol(), "@bob/alice/d/signed").await), Code::GrantEnded);
    assert_eq!(code(world.read(&alice(), node, Version(2)).await), Code::NotFound);
    assert_eq!(code(world.get(&alice(), "@alice/d/signed").await), Code::NotFound);
    assert_eq!(code(world.checkin(&alice(), node, Version(2), &[(0, b"x")], 1).await), Code::NotFound);
    world.put(&bob(), "@bob/alice/d/signed", b"bob's").await.unwrap();
    world.share(&bob(), "@bob/alice/d/signed", "alice").await.unwrap();
    assert_eq!(world.get(&alice(), "@bob/alice/d/signed").await.unwrap(), b"bob's");
    world.delete(&bob(), "@bob/alice/d/signed").await.unwrap();
    world.put(&alice(), "@alice/d", b"the old home goes on").await.unwrap();
}

async fn what_streams_is_looked_at_again(world: World) {
    world.put(&alice(), "@alice/f", &bytes(4 << 20, 3)).await.unwrap();
    let path = "@alice/f".parse().unwrap();
    let mut body = world.service.get_document(&alice(), &path, RangeRequest::All).await.unwrap().body;
    assert!(!body.next().await.unwrap().unwrap().is_empty());
    let mut looked = Homes::default();
    world.service.elsewhere.look(&mut looked).await.unwrap();
    world.transfer("alice", "bob").await;
    world.service.elsewhere.look(&mut looked).await.unwrap();
    assert_eq!(code(collect(body).await), Code::NotFound);
}

async fn a_home_that_was_emptied_is_told_and_erased(world: World) {
    world.put(&alice(), "@alice/f", &bytes(200_000, 3)).await.unwrap();
    world.grant(&alice(), "@alice/f", "bob", Right::Checkout, 100).await;
    world.mkdir(&bob(), "@bob/inbox").await;
    world.grant(&bob(), "@bob/inbox", "alice", Right::Both, 100).await;
    world.put(&alice(), "@bob/inbox/hers", b"a guest's").await.unwrap();
    let node = world.attr(&alice(), "@alice/f").await.unwrap().node;
    let mut looked = Homes::default();
    world.service.elsewhere.look(&mut looked).await.unwrap();
    let mut events = world.service.fs_events(&bob()).await.unwrap();
    assert!(matches!(events.next().await, Some(Event::Alive { .. })));
    assert_eq!(world.get(&bob(), "@alice/f").await.unwrap().len(), 200_000);
    assert!(world.service.contents.opened.find(node, Version(1)).is_ok());

    world.remove("alice").await;
    world.service.elsewhere.look(&mut looked).await.unwrap();
    assert_eq!(events.next().await, Some(Event::RightsChanged));
    assert!(
        world.service.contents.opened.find(node, Version(1)).is_err(),
        "its keys are not in memory any more"
    );
    assert_eq!(code(world.get(&bob(), "@alice/f").await), Code::NotFound);
    assert_eq!(code(world.service.fs_home(&bob(), HomeRequest { uid: uid("alice") }).await), Code::NotFound);
    let inbox = world.attr(&bob(), "@bob/inbox/hers").await.unwrap();
    assert_eq!(inbox.owner, uid("bob"), "what she made with him is his");
    world.service.upkeep.maintain().await.unwrap();
    let deletion = world.service.meta.deletion(node).await.unwrap().unwrap();
    assert!(deletion.erased.is_some() && !deletion.keys.is_empty());
    assert!(world.stores.blobs.list().await.unwrap().is_empty(), "and its pack is gone");
    world.service.logins.end_what_ended().await.unwrap();
    assert!(world.service.logins.still_live(&alice()).await.is_err());
}

/// Every check-in is a commit too.
async fn what_others_commit_is_no_news(world: World) {
    world.put(&alice(), "@alice/f", b"text").await.unwrap();
    let node = world.attr(&alice(), "@alice/f").await.unwrap().node;
    let mut looked = Homes::default();
    world.service.elsewhere.look(&mut looked).await.unwrap();
    world.get(&alice(), "@alice/f").await.unwrap();
    world.put(&alice(), "@alice/g", b"text").await.unwrap();
    world.service.elsewhere.look(&mut looked).await.unwrap();
    assert!(world.service.contents.opened.find(node, Version(1)).is_ok());
}
