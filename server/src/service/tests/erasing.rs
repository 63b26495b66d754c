use super::*;
use crate::store::Erased;
use sss_common::Epoch;
use sss_policy::Own;
use sss_vault::sealed::{KeyPosition, Leaf};
use sss_vault::{LEAF_PARENTS, VaultError};

on_both_stores! {
    without_a_delay_a_removal_returns_when_its_keys_are_gone
    removals_that_wait_share_one_erasure
    an_upload_that_was_given_up_leaves_no_key
    what_a_crash_left_is_found_and_erased
    a_keyring_that_cannot_be_written_is_tried_again
    a_third_phase_that_failed_is_made_up_for
    a_version_opened_while_it_is_deleted_is_not_kept
    a_number_that_is_queued_is_not_given_out_again
    a_damaged_node_keeps_no_other_key_from_being_erased
}

const FIRST: KeyPosition = KeyPosition { level: LEAF_PARENTS, index: 0 };

fn at_once() -> Settings {
    Settings { min_free: 0, erase_delay: Duration::ZERO, ..Settings::default() }
}

async fn erased(world: &World, document: NodeId) -> Option<Erased> {
    world.service.meta.deletion(document).await.unwrap().unwrap().erased
}

async fn keys(world: &World) -> Vec<Leaf> {
    world.vault.leaves_under(FIRST).await.unwrap()
}

/// As the mount does, which waits for no receipt.
async fn delete(world: &World, path: &str) -> Outcome<()> {
    let mut path: DocPath = path.parse().unwrap();
    let name = path.names.pop().unwrap();
    let parent = world.service.rights.seen_path(&alice(), &path).await?.node.id;
    world.service.fs_remove(&alice(), RemoveRequest { parent, name, folder: false }).await
}

async fn without_a_delay_a_removal_returns_when_its_keys_are_gone(mut world: World) {
    world.put(&alice(), "@alice/a", b"one").await.unwrap();
    world.put(&alice(), "@alice/b", b"two").await.unwrap();
    world.restart(at_once()).await;
    let node = world.attr(&alice(), "@alice/a").await.unwrap().node;
    delete(&world, "@alice/a").await.unwrap();
    assert!(erased(&world, node).await.is_some());
    assert_eq!(keys(&world).await.len(), 1);
    assert_eq!(world.get(&alice(), "@alice/b").await.unwrap(), b"two");
}

async fn removals_that_wait_share_one_erasure(mut world: World) {
    world.restart(at_once()).await;
    let mut nodes = Vec::new();
    for n in 0..20 {
        let path = format!("@alice/{n}");
        world.put(&alice(), &path, b"text").await.unwrap();
        nodes.push(world.attr(&alice(), &path).await.unwrap().node);
    }
    let busy = world.service.upkeep.erasing.lock().await;
    let removals = (0..20).map(|n| {
        let world = &world;
        async move { delete(world, &format!("@alice/{n}")).await }
    });
    let all_queued = async {
        while world.service.meta.erasures(99).await.unwrap().len() < 20 {
            tokio::task::yield_now().await;
        }
        drop(busy);
    };
    let (outcomes, ()) = tokio::join!(futures::future::join_all(removals), all_queued);
    assert!(outcomes.iter().all(Result::is_ok));
    let first = erased(&world, nodes[0]).await.unwrap();
    for node in nodes {
        assert_eq!(erased(&world, node).await, Some(first));
    }
}

/// While it arrived, another check-in's transaction wrote its key into the stored tree.
async fn an_upload_that_was_given_up_leaves_no_key(world: World) {
    world.put(&alice(), "@alice/before", b"before").await.unwrap();
    let (arriving, body) = futures::channel::mpsc::unbounded();
    let path: DocPath = "@alice/upload".parse().unwrap();
    let caller = alice();
    let upload = world.service.put_document(&caller, &path, None, Precondition::None, body.boxed());
    let others = async {
        arriving.unbounded_send(Ok(Bytes::from(vec![7; 200_000]))).unwrap();
        while world.vault.next_leaf() < Leaf(2) {
            tokio::task::yield_now().await;
        }
        world.put(&alice(), "@alice/beside", b"beside").await.unwrap();
        arriving.unbounded_send(Err(std::io::Error::other("the line broke"))).unwrap();
    };
    let (outcome, ()) = tokio::join!(upload, others);
    assert!(outcome.is_err());
    assert_eq!(world.vault.abandoned().len(), 1);
    let before = world.vault.forgotten_before().await;
    world.service.upkeep.maintain().await.unwrap();
    assert!(world.vault.abandoned().is_empty());
    assert!(world.vault.forgotten_before().await > before, "the tree was given fresh keys");
    assert_eq!(keys(&world).await.len(), 2);
    assert_eq!(world.get(&alice(), "@alice/before").await.unwrap(), b"before");
    assert_eq!(world.get(&alice(), "@alice/beside").await.unwrap(), b"beside");

    // A lone one, which nothing stored ever held, costs no erasure.
    let broken = futures::stream::iter([Ok(Bytes::from_static(b"x")), Err(std::io::Error::other("gone"))]);
    let outcome = world.service.put_document(&caller, &path, None, Precondition::None, broken.boxed()).await;
    assert!(outcome.is_err() && world.vault.abandoned().is_empty());
}

async fn what_a_crash_left_is_found_and_erased(mut world: World) {
    let caller = alice();
    world.put(&caller, "@alice/a", b"one").await.unwrap();
    let seen = world.service.rights.seen_path(&caller, &"@alice/a".parse().unwrap()).await.unwrap();
    let allowed = world.service.rights.allow(&caller, &seen, Own).unwrap();
    let sealer = world.vault.begin(&allowed, sss_common::PackId::random()).await.unwrap();
    let leaf = sealer.leaf();
    world.put(&caller, "@alice/b", b"two").await.unwrap();
    // The crash: nobody is told that the sealer is gone.
    let settings = world.settings.clone();
    let left_behind = world.service.clone();
    world.restart(settings).await;
    assert!(keys(&world).await.contains(&leaf), "the stored tree has its key");
    world.service.upkeep.sweep_keys().await.unwrap();
    assert_eq!(world.service.meta.erasures(9).await.unwrap(), [leaf], "it and no other");
    world.service.upkeep.maintain().await.unwrap();
    assert!(!keys(&world).await.contains(&leaf));
    world.service.upkeep.sweep_keys().await.unwrap();
    assert!(world.service.meta.erasures(9).await.unwrap().is_empty());
    assert_eq!(world.get(&caller, "@alice/a").await.unwrap(), b"one");
    assert_eq!(world.get(&caller, "@alice/b").await.unwrap(), b"two");
    drop((sealer, left_behind));
}

async fn a_keyring_that_cannot_be_written_is_tried_again(mut world: World) {
    world.restart(at_once()).await;
    world.put(&alice(), "@alice/a", b"one").await.unwrap();
    let node = world.attr(&alice(), "@alice/a").await.unwrap().node;
    let (keyring, away) = (world.dir.path().join("keyring"), world.dir.path().join("away"));
    std::fs::rename(&keyring, &away).unwrap();
    assert_eq!(code(delete(&world, "@alice/a").await), Code::Internal);
    assert_eq!(code(world.get(&alice(), "@alice/a").await), Code::NotFound, "deleted it is");
    assert_eq!(erased(&world, node).await, None);
    assert!(!keyring.exists(), "nothing is written where the keyring is not");
    std::fs::rename(&away, &keyring).unwrap();
    world.service.upkeep.maintain().await.unwrap();
    assert!(erased(&world, node).await.is_some());
}

async fn a_third_phase_that_failed_is_made_up_for(mut world: World) {
    world.restart(at_once()).await;
    world.put(&alice(), "@alice/a", b"one").await.unwrap();
    let node = world.attr(&alice(), "@alice/a").await.unwrap().node;
    let (keyring, away) = (world.dir.path().join("keyring"), world.dir.path().join("away"));
    let settings = world.settings.clone();
    let deletion = {
        world.restart(Settings { erase_delay: Duration::from_secs(60), ..settings }).await;
        delete(&world, "@alice/a").await.unwrap();
        world.service.meta.deletion(node).await.unwrap().unwrap()
    };
    let erasing = world.vault.begin_erase(&deletion.keys).await.unwrap();
    let at = Erased { epoch: erasing.epoch(), time: START };
    world.service.meta.erased(erasing.leaves(), erasing.images(), at).await.unwrap();
    std::fs::rename(&keyring, &away).unwrap();
    assert!(matches!(world.vault.finish_erase(erasing).await, Err(VaultError::Keys(_))));
    std::fs::rename(&away, &keyring).unwrap();
    assert!(world.vault.forgotten_before().await < at.epoch);
    world.service.upkeep.maintain().await.unwrap();
    assert_eq!(world.vault.forgotten_before().await, at.epoch, "though nothing was queued");
}

async fn a_version_opened_while_it_is_deleted_is_not_kept(world: World) {
    world.put(&alice(), "@alice/a", b"one").await.unwrap();
    let attr = world.attr(&alice(), "@alice/a").await.unwrap();
    let forgotten = world.service.contents.opened.find(attr.node, attr.version).err().unwrap();
    let seen = world.service.rights.seen_path(&alice(), &"@alice/a".parse().unwrap()).await.unwrap();
    let allowed = world.service.rights.allow(&alice(), &seen, Own).unwrap();
    let content = world.service.contents.content(&alice(), &allowed, &seen, attr.version).await.unwrap();
    delete(&world, "@alice/a").await.unwrap();
    world.service.contents.opened.keep(attr.node, attr.version, &content, forgotten);
    assert!(world.service.contents.opened.find(attr.node, attr.version).is_err());
}

/// A check-in that failed, a server that died before its key was erased, and the next check-in.
async fn a_number_that_is_queued_is_not_given_out_again(mut world: World) {
    world.put(&alice(), "@alice/a", b"one").await.unwrap();
    let failed = world.vault.next_leaf();
    world.service.meta.abandon(&[failed]).await.unwrap();
    world.restart(at_once()).await;
    world.put(&alice(), "@alice/b", b"two").await.unwrap();
    world.service.upkeep.maintain().await.unwrap();
    assert!(world.service.meta.erasures(9).await.unwrap().is_empty());
    assert_eq!(world.get(&alice(), "@alice/b").await.unwrap(), b"two");
    world.put(&alice(), "@alice/c", b"three").await.unwrap();
    assert_eq!(world.get(&alice(), "@alice/c").await.unwrap(), b"three");
    assert_eq!(world.get(&alice(), "@alice/a").await.unwrap(), b"one");
}

async fn a_damaged_node_keeps_no_other_key_from_being_erased(mut world: World) {
    world.put(&alice(), "@alice/damaged", b"one").await.unwrap();
    // The next check-in is under another node.
    world.vault.pass_over(Leaf(64));
    world.put(&alice(), "@alice/fine", b"two").await.unwrap();
    let node = world.service.meta.key_node(FIRST).await.unwrap().unwrap();
    let mut sealed = node.sealed.to_vec();
    sealed[30] ^= 1;
    let damaged = sss_vault::sealed::KeyImage { sequence: node.sequence + 1, sealed: sealed.into(), ..node };
    let at = Erased { epoch: Epoch(1), time: START };
    world.service.meta.erased(&[], vec![damaged], at).await.unwrap();
    let settings = world.settings.clone();
    world.restart(settings).await;
    let fine = world.attr(&alice(), "@alice/fine").await.unwrap().node;
    let lost = world.attr(&alice(), "@alice/damaged").await.unwrap().node;
    for name in ["damaged", "fine"] {
        let home = world.home(&alice()).await;
        let request = RemoveRequest { parent: home, name: name.parse().unwrap(), folder: false };
        world.service.fs_remove(&alice(), request).await.unwrap();
    }
    world.service.upkeep.maintain().await.unwrap();
    assert!(erased(&world, fine).await.is_some());
    assert_eq!(erased(&world, lost).await, None, "nothing is claimed of what could not be done");
    world.service.upkeep.sweep_keys().await.unwrap();
}
