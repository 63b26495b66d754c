//! Deletion receipts: given when the keys are gone and not before, to those whose business it is.

use rsa::RsaPublicKey;
use rsa::pkcs8::DecodePublicKey as _;
use sss_common::receipt::{Numbers, Receipt, SignedReceipt};

use super::*;
use crate::store::Erased;

on_both_stores! {
    a_receipt_says_what_was_deleted_and_is_signed
    a_receipt_is_the_same_text_every_time
    who_may_have_a_receipt
    what_has_no_keys_has_a_receipt_too
    keys_that_a_copy_needs_are_told
    no_receipt_while_a_key_is_queued
    no_receipt_while_the_keyring_holds_the_old_root
    what_was_deleted_together_is_forgotten_together
}

impl World {
    async fn receipt(&self, who: &Caller, document: NodeId) -> Outcome<SignedReceipt> {
        self.service.fs_receipt(who, ReceiptRequest { document }).await
    }

    /// What a receipt says, once its signature is checked.
    fn said(&self, signed: &SignedReceipt) -> Receipt {
        let key = RsaPublicKey::from_public_key_pem(self.vault.public_key_pem()).unwrap();
        assert!(signed.is_signed_by(&key));
        signed.receipt().unwrap()
    }

    /// Takes the keyring's medium away, and gives it back.
    fn keyring(&self, there: bool) {
        let (here, away) = (self.dir.path().join("keyring"), self.dir.path().join("keyring.away"));
        if there { std::fs::rename(away, here) } else { std::fs::rename(here, away) }.unwrap();
    }
}

async fn a_receipt_says_what_was_deleted_and_is_signed(world: World) {
    world.put(&alice(), "@alice/d/f", b"one").await.unwrap();
    world.put(&alice(), "@alice/d/f", &bytes(200_000, 1)).await.unwrap();
    let document = world.attr(&alice(), "@alice/d/f").await.unwrap().node;
    world.wait(7);
    let receipt = world.said(&world.delete(&alice(), "@alice/d/f").await.unwrap());
    let deletion = world.service.meta.deletion(document).await.unwrap().unwrap();
    assert_eq!(receipt.store, world.vault.store_id());
    assert_eq!((receipt.document, receipt.path.as_str()), (document, "@alice/d/f"));
    assert_eq!((&receipt.home, &receipt.deleted_by), (&uid("alice"), &uid("alice")));
    assert_eq!(receipt.deleted, START.after(Duration::from_secs(7)));
    assert_eq!(receipt.versions.to_string(), "1-2");
    assert_eq!(receipt.keys, deletion.keys.iter().map(|leaf| leaf.0).collect());
    assert_eq!((receipt.keys.count(), receipt.shared_keys.is_empty()), (2, true));
    let erasure = receipt.erasure.unwrap();
    assert_eq!(Some(Erased { epoch: erasure.epoch, time: erasure.time }), deletion.erased);
    assert_eq!(erasure.epoch, world.vault.forgotten_before().await);
    assert!(world.service.meta.erasures(9).await.unwrap().is_empty());
}

async fn a_receipt_is_the_same_text_every_time(world: World) {
    for path in ["@alice/f", "@alice/g"] {
        world.put(&alice(), path, b"x").await.unwrap();
    }
    let first = world.delete(&alice(), "@alice/f").await.unwrap();
    world.wait(100);
    world.delete(&alice(), "@alice/g").await.unwrap();
    let again = world.receipt(&alice(), world.said(&first).document).await.unwrap();
    assert_eq!(again.statement, first.statement);
}

async fn who_may_have_a_receipt(world: World) {
    world.mkdir(&alice(), "@alice/d").await;
    world.grant(&alice(), "@alice/d", "bob", Right::Both, 100).await;
    world.grant(&alice(), "@alice/d", "carol", Right::Both, 100).await;
    world.put(&bob(), "@alice/d/f", b"by bob").await.unwrap();
    let receipt = world.said(&world.delete(&bob(), "@alice/d/f").await.unwrap());
    assert_eq!((receipt.home, receipt.deleted_by), (uid("alice"), uid("bob")));
    assert!(world.receipt(&alice(), receipt.document).await.is_ok(), "it was in alice's home");
    assert!(world.receipt(&bob(), receipt.document).await.is_ok());
    let hidden = world.receipt(&carol(), receipt.document).await.unwrap_err();
    let missing = world.receipt(&carol(), NodeId([9; 16])).await.unwrap_err();
    assert_eq!((hidden.code, &hidden.detail), (Code::NotFound, &missing.detail), "the same words for both");
    let there = world.attr(&alice(), "@alice/d").await.unwrap().node;
    assert_eq!(code(world.receipt(&alice(), there).await), Code::NotFound, "it was not deleted");
}

async fn what_has_no_keys_has_a_receipt_too(world: World) {
    world.mkdir(&alice(), "@alice/d").await;
    world.create(&alice(), "@alice/empty", Kind::File).await.unwrap();
    for path in ["@alice/d", "@alice/empty"] {
        let receipt = world.said(&world.delete(&alice(), path).await.unwrap());
        assert_eq!(receipt.path, path);
        assert!(receipt.keys.is_empty() && receipt.versions.is_empty() && receipt.erasure.is_none());
    }
}

/// An editor moved the document to a backup's name and made it anew: the backup's content is sealed under the
/// document's key.
async fn keys_that_a_copy_needs_are_told(world: World) {
    world.put(&alice(), "@alice/f", &bytes(200_000, 1)).await.unwrap();
    world.rename(&alice(), "@alice/f", "@alice/f~").await.unwrap();
    let made = world.create(&alice(), "@alice/f", Kind::File).await.unwrap();
    assert!(made.swapped.is_some());
    let original = world.said(&world.delete(&alice(), "@alice/f").await.unwrap());
    assert_eq!(original.shared_keys.count(), 1, "{original}");
    assert_eq!(world.get(&alice(), "@alice/f~").await.unwrap(), bytes(200_000, 1));
    let copy = world.said(&world.delete(&alice(), "@alice/f~").await.unwrap());
    assert!(copy.shared_keys.is_empty(), "{copy}");
    let shared = original.shared_keys.runs()[0].0;
    assert!(copy.keys.runs().iter().any(|(first, last)| (*first..=*last).contains(&shared)), "{copy}");
}

async fn no_receipt_while_a_key_is_queued(world: World) {
    world.put(&alice(), "@alice/f", b"x").await.unwrap();
    let document = world.attr(&alice(), "@alice/f").await.unwrap().node;
    world.keyring(false);
    let failure = world.delete(&alice(), "@alice/f").await.unwrap_err();
    assert_eq!((failure.code, failure.code.status()), (Code::NotErased, 500));
    assert!(failure.detail.contains(&format!("{document} is deleted; its keys are not erased yet")));
    assert!(failure.cause.is_some(), "the log says why");
    assert_eq!(code(world.get(&alice(), "@alice/f").await), Code::NotFound);
    assert_eq!(code(world.receipt(&alice(), document).await), Code::NotErased);
    assert_eq!(code(world.receipt(&bob(), document).await), Code::NotFound);
    world.keyring(true);
    let receipt = world.said(&world.receipt(&alice(), document).await.unwrap());
    assert_eq!(receipt.erasure.unwrap().epoch, world.vault.forgotten_before().await);
}

/// The keyring's medium goes away between the transaction and the last step.
async fn no_receipt_while_the_keyring_holds_the_old_root(world: World) {
    world.put(&alice(), "@alice/f", b"x").await.unwrap();
    let parent = world.home(&alice()).await;
    let document = world.attr(&alice(), "@alice/f").await.unwrap().node;
    let remove = RemoveRequest { parent, name: "f".parse().unwrap(), folder: false };
    world.service.fs_remove(&alice(), remove).await.unwrap();
    let (meta, vault) = (&world.service.meta, &world.vault);
    let erasing = vault.begin_erase(&meta.erasures(9).await.unwrap()).await.unwrap();
    let at = Erased { epoch: erasing.epoch(), time: world.clock.now() };
    meta.erased(erasing.leaves(), erasing.images(), at).await.unwrap();
    world.keyring(false);
    assert!(vault.finish_erase(erasing).await.is_err());
    assert!(meta.erasures(9).await.unwrap().is_empty(), "nothing is queued: the log says erased");
    assert_eq!(code(world.receipt(&alice(), document).await), Code::NotErased);
    world.keyring(true);
    let receipt = world.said(&world.receipt(&alice(), document).await.unwrap());
    assert_eq!((receipt.erasure.unwrap().epoch, vault.forgotten_before().await), (at.epoch, at.epoch));
}

async fn what_was_deleted_together_is_forgotten_together(world: World) {
    let world = &world;
    let paths: Vec<String> = (0..8).map(|n| format!("@alice/{n}")).collect();
    for path in &paths {
        world.put(&alice(), path, b"x").await.unwrap();
    }
    let before = world.vault.forgotten_before().await;
    let receipts = futures::future::join_all(
        paths.iter().map(|path| async { world.delete(&alice(), path).await.unwrap() }),
    );
    for receipt in receipts.await {
        let erasure = world.said(&receipt).erasure.unwrap();
        assert!(erasure.epoch > before && erasure.epoch <= world.vault.forgotten_before().await);
    }
    let keys: Numbers =
        world.service.meta.erasures(9).await.unwrap().into_iter().map(|leaf| leaf.0).collect();
    assert!(keys.is_empty());
}

#[tokio::test]
async fn receipts_and_refusals_are_written_into_the_audit_log() {
    let store = Arc::new(MemoryStore::default());
    let meta = store.clone();
    let world = World::on(|_| meta).await;
    world.put(&alice(), "@alice/f", b"x").await.unwrap();
    let document = world.said(&world.delete(&alice(), "@alice/f").await.unwrap()).document;
    assert!(world.receipt(&bob(), document).await.is_err());
    let written = async {
        let row = |who: &str, outcome: &str| {
            let of = |row: &AuditRow| {
                row.action == AuditAction::Receipt && row.path == "@alice/f" && row.document == Some(document)
            };
            let rows = store.audit_log();
            rows.iter().any(|row| {
                of(row) && row.user == Some(uid(who)) && row.outcome.to_string().starts_with(outcome)
            })
        };
        while !(row("alice", "epoch 2") && row("bob", "refused: no such document")) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), written).await.unwrap();
}
