//! What a metadata store that fails leaves, and what ends while a body is on its way.

use super::*;
use crate::store::StoreError;
use crate::store::faulty::{FaultyMeta, Moment, Often, backend_failed};
use sss_common::Flag;
use sss_common::record::VersionRecord;

/// Larger than what is kept in a row: it makes a pack in the blob store.
const LARGE: usize = 200_000;

/// The world on a store that fails when it is told to.
pub(super) async fn faulty_world(on_sqlite: bool) -> (World, Arc<FaultyMeta>) {
    let mut faulty = None;
    let world = World::on(|dir| {
        let store: Arc<dyn MetaStore> = match on_sqlite {
            true => Arc::new(SqliteStore::create(&dir.join("meta.db")).unwrap()),
            false => Arc::new(MemoryStore::default()),
        };
        let store = Arc::new(FaultyMeta::new(store));
        faulty = Some(store.clone());
        store
    });
    let world = world.await;
    (world, faulty.unwrap())
}

macro_rules! on_faulty_stores {
    ($($name:ident)*) => {
        mod on_memory { $(#[tokio::test] async fn $name() {
            let (world, faulty) = super::faulty_world(false).await;
            super::$name(world, faulty).await;
        })* }
        mod on_sqlite { $(#[tokio::test] async fn $name() {
            let (world, faulty) = super::faulty_world(true).await;
            super::$name(world, faulty).await;
        })* }
    };
}

on_faulty_stores! {
    a_commit_that_fails_loses_nothing
    a_commit_whose_answer_is_lost_keeps_its_version
    whatever_call_fails_a_check_in_happens_or_does_not
    whatever_call_fails_a_name_is_here_or_there
    a_check_in_that_came_too_late_leaves_no_pack
    a_right_that_ends_during_the_body_refuses_it
    a_session_that_ends_during_the_body_refuses_it
    a_right_that_ends_during_the_body_of_a_new_document_refuses_it
    a_grantees_check_in_sets_no_mode
    the_records_are_a_chain_over_every_kind_of_version
}

impl World {
    /// Packs in the blob store, and those of them that no row names.
    async fn packs(&self) -> (usize, usize) {
        let packs = self.stores.blobs.list().await.unwrap();
        let mut orphans = 0;
        for (pack, _) in &packs {
            orphans += usize::from(!self.service.meta.has_pack(*pack).await.unwrap());
        }
        (packs.len(), orphans)
    }

    /// A check-in of `content` during whose body something happens.
    async fn checkin_during(
        &self,
        who: &Caller,
        node: NodeId,
        base: Version,
        content: &[u8],
        meanwhile: impl Future<Output = ()> + Send + 'static,
    ) -> Outcome<Attr> {
        let body = framed(&[(0, content)], content.len() as u64);
        let happens = futures::stream::once(async move {
            meanwhile.await;
            Ok(Bytes::new())
        });
        self.service.fs_checkin(who, node, base, None, body.chain(happens).boxed()).await
    }

    /// The record of the current version.
    async fn record(&self, node: NodeId) -> VersionRecord {
        let request = RecordRequest { node, version: None };
        let shown = self.service.fs_record(&alice(), request).await.unwrap();
        VersionRecord::decode(&shown.record.0).unwrap()
    }
}

async fn a_commit_that_fails_loses_nothing(world: World, faulty: Arc<FaultyMeta>) {
    let (old, new) = (bytes(LARGE, 1), bytes(LARGE, 2));
    world.put(&alice(), "@alice/f", &old).await.unwrap();
    let node = world.attr(&alice(), "@alice/f").await.unwrap().node;
    let full: fn() -> StoreError = || StoreError::Full;
    for (error, refusal, left) in [(full, Code::DiskFull, 0), (backend_failed, Code::Internal, 1)] {
        faulty.fail(Some("commit"), Often::Next, Moment::Before, error);
        let outcome = world.checkin(&alice(), node, Version(1), &[(0, &new)], LARGE as u64).await;
        assert_eq!(code(outcome), refusal);
        assert_eq!(faulty.heal(), 1);
        let attr = world.attr(&alice(), "@alice/f").await.unwrap();
        assert_eq!((attr.version, attr.size), (Version(1), LARGE as u64));
        assert!(world.get(&alice(), "@alice/f").await.unwrap() == old);
        // Who cannot know whether it happened leaves the pack to the sweeper.
        assert_eq!(world.packs().await, (1 + left, left), "{refusal}");
    }
    // A new document whose first version fails is not there at all.
    faulty.fail(Some("commit"), Often::Next, Moment::Before, || StoreError::Full);
    assert_eq!(code(world.put(&alice(), "@alice/g", &new).await), Code::DiskFull);
    assert_eq!(code(world.attr(&alice(), "@alice/g").await), Code::NotFound);
    let made = world.checkin(&alice(), node, Version(1), &[(0, &new)], LARGE as u64).await.unwrap();
    assert_eq!(made.version, Version(2));
    assert!(world.get(&alice(), "@alice/f").await.unwrap() == new);
    world.wait(20 * 365 * 24 * 3600);
    world.service.upkeep.sweep_orphans().await.unwrap();
    world.service.upkeep.maintain().await.unwrap();
    assert_eq!(world.packs().await, (1, 0), "the sweeper finds what was left");
}

/// The transaction has happened and nobody was told: its pack and its key must stay.
async fn a_commit_whose_answer_is_lost_keeps_its_version(mut world: World, faulty: Arc<FaultyMeta>) {
    let (old, new) = (bytes(LARGE, 1), bytes(LARGE, 2));
    world.put(&alice(), "@alice/f", &old).await.unwrap();
    let node = world.attr(&alice(), "@alice/f").await.unwrap().node;
    faulty.fail(Some("commit"), Often::Next, Moment::After, backend_failed);
    let outcome = world.checkin(&alice(), node, Version(1), &[(0, &new)], LARGE as u64).await;
    assert_eq!(code(outcome), Code::Internal);
    assert_eq!(world.attr(&alice(), "@alice/f").await.unwrap().version, Version(2));
    assert!(world.get(&alice(), "@alice/f").await.unwrap() == new);
    world.wait(3600);
    world.service.upkeep.maintain().await.unwrap();
    assert!(world.get(&alice(), "@alice/f").await.unwrap() == new, "its key was not erased");
    world.restart(Settings { min_free: 0, ..Settings::default() }).await;
    assert!(world.get(&alice(), "@alice/f").await.unwrap() == new);
    let again = world.checkin(&alice(), node, Version(1), &[(0, &new)], LARGE as u64).await;
    assert_eq!(code(again), Code::VersionMoved, "and is not made twice");
}

/// Each call of a check-in fails once, before or after its work.
async fn whatever_call_fails_a_check_in_happens_or_does_not(world: World, faulty: Arc<FaultyMeta>) {
    let mut content = bytes(LARGE, 0);
    world.put(&alice(), "@alice/f", &content).await.unwrap();
    let node = world.attr(&alice(), "@alice/f").await.unwrap().node;
    for moment in [Moment::Before, Moment::After] {
        for nth in 1.. {
            let base = world.attr(&alice(), "@alice/f").await.unwrap().version;
            let new = bytes(LARGE, nth as u8);
            faulty.fail(None, Often::EveryNth(nth), moment, backend_failed);
            let outcome = world.checkin(&alice(), node, base, &[(0, &new)], LARGE as u64).await;
            let failed = faulty.heal();
            let version = world.attr(&alice(), "@alice/f").await.unwrap().version;
            assert!(version == base || version == base.next(), "{moment:?} {nth}");
            assert!(
                outcome.is_err() || version == base.next(),
                "{moment:?} {nth}: what was promised is there"
            );
            if version != base {
                content = new;
            }
            assert!(world.get(&alice(), "@alice/f").await.unwrap() == content, "{moment:?} {nth}");
            if failed == 0 {
                assert!(nth > 3, "a check-in asks the store more than {nth} times");
                break;
            }
        }
    }
}

/// Each call of a rename, of a removal and of an editor's save fails once, before or after its work.
async fn whatever_call_fails_a_name_is_here_or_there(world: World, faulty: Arc<FaultyMeta>) {
    for moment in [Moment::Before, Moment::After] {
        for nth in 1.. {
            world.put(&alice(), "@alice/f", b"text").await.unwrap();
            let mut failed = 0;
            faulty.fail(None, Often::EveryNth(nth), moment, backend_failed);
            let renamed = world.rename(&alice(), "@alice/f", "@alice/f~").await;
            failed += faulty.heal();
            let (here, there) =
                (world.get(&alice(), "@alice/f").await, world.get(&alice(), "@alice/f~").await);
            assert!(here.is_ok() != there.is_ok(), "{moment:?} {nth}: it has one name");
            assert!(renamed.is_err() || there.is_ok());
            let from = if there.is_ok() { "@alice/f~" } else { "@alice/f" };

            faulty.fail(None, Often::EveryNth(nth), moment, backend_failed);
            let saved = world.create(&alice(), "@alice/f", Kind::File).await;
            failed += faulty.heal();
            assert!(saved.is_ok() || world.get(&alice(), from).await.unwrap() == b"text", "{moment:?} {nth}");

            for name in ["f", "f~"] {
                let parent = world.home(&alice()).await;
                let remove = RemoveRequest { parent, name: name.parse().unwrap(), folder: false };
                faulty.fail(None, Often::EveryNth(nth), moment, backend_failed);
                let removed = world.service.fs_remove(&alice(), remove.clone()).await;
                failed += faulty.heal();
                let left = world.attr(&alice(), &format!("@alice/{name}")).await.is_ok();
                assert!(removed.is_err() || !left, "{moment:?} {nth}: what was promised is gone");
                if left {
                    world.service.fs_remove(&alice(), remove).await.unwrap();
                }
            }
            world.service.upkeep.maintain().await.unwrap();
            if failed == 0 {
                break;
            }
        }
    }
}

async fn a_check_in_that_came_too_late_leaves_no_pack(world: World, _: Arc<FaultyMeta>) {
    let (one, other) = (bytes(LARGE, 1), bytes(LARGE, 2));
    world.put(&alice(), "@alice/f", b"text").await.unwrap();
    let node = world.attr(&alice(), "@alice/f").await.unwrap().node;
    let (service, faster) = (world.service.clone(), framed(&[(0, &one)], LARGE as u64));
    let meanwhile = async move {
        service.fs_checkin(&alice(), node, Version(1), None, faster).await.unwrap();
    };
    let outcome = world.checkin_during(&alice(), node, Version(1), &other, meanwhile).await;
    assert_eq!(code(outcome), Code::VersionMoved);
    assert!(world.get(&alice(), "@alice/f").await.unwrap() == one);
    assert_eq!(world.packs().await, (1, 0));
}

async fn a_right_that_ends_during_the_body_refuses_it(world: World, _: Arc<FaultyMeta>) {
    let new = bytes(LARGE, 2);
    world.put(&alice(), "@alice/f", b"text").await.unwrap();
    let node = world.attr(&alice(), "@alice/f").await.unwrap().node;
    world.grant(&alice(), "@alice/f", "bob", Right::Checkin, 100).await;
    let service = world.service.clone();
    let revoked = async move {
        let request = RevokeRequest { node, grantee: Grantee::User(uid("bob")) };
        service.fs_revoke(&alice(), request).await.unwrap();
    };
    let outcome = world.checkin_during(&bob(), node, Version(1), &new, revoked).await;
    assert_eq!(code(outcome), Code::NoRight);

    world.grant(&alice(), "@alice/f", "bob", Right::Checkin, 100).await;
    let clock = world.clock.clone();
    let run_out = async move { clock.advance(Duration::from_secs(100)) };
    let outcome = world.checkin_during(&bob(), node, Version(1), &new, run_out).await;
    assert_eq!(code(outcome), Code::GrantEnded);

    let service = world.service.clone();
    let parent = world.home(&alice()).await;
    let deleted = async move {
        let remove = RemoveRequest { parent, name: "f".parse().unwrap(), folder: false };
        service.fs_remove(&alice(), remove).await.unwrap();
    };
    assert_eq!(world.get(&alice(), "@alice/f").await.unwrap(), b"text");
    let outcome = world.checkin_during(&alice(), node, Version(1), &new, deleted).await;
    assert_eq!(code(outcome), Code::NotFound);
    assert_eq!(world.packs().await, (0, 0));
}

async fn a_session_that_ends_during_the_body_refuses_it(world: World, _: Arc<FaultyMeta>) {
    world.put(&alice(), "@alice/f", b"text").await.unwrap();
    let node = world.attr(&alice(), "@alice/f").await.unwrap().node;
    world.grant(&alice(), "@alice/f", "bob", Right::Both, 100).await;
    let service = world.service.clone();
    let logout = async move { service.logins.logout(&bob()).await.unwrap() };
    let outcome = world.checkin_during(&bob(), node, Version(1), &bytes(LARGE, 2), logout).await;
    assert_eq!(code(outcome), Code::SessionExpired);
    assert_eq!(world.get(&alice(), "@alice/f").await.unwrap(), b"text");
    assert_eq!(world.packs().await, (0, 0));
}

async fn a_right_that_ends_during_the_body_of_a_new_document_refuses_it(world: World, _: Arc<FaultyMeta>) {
    let folder = world.mkdir(&alice(), "@alice/d").await;
    world.grant(&alice(), "@alice/d", "bob", Right::Both, 100).await;
    let service = world.service.clone();
    let happens = futures::stream::once(async move {
        let request = RevokeRequest { node: folder, grantee: Grantee::User(uid("bob")) };
        service.fs_revoke(&alice(), request).await.unwrap();
        Ok(Bytes::from_static(b"end"))
    });
    let body = whole(&bytes(LARGE, 1)).chain(happens).boxed();
    let path = "@alice/d/f".parse().unwrap();
    let outcome = world.service.put_document(&bob(), &path, None, Precondition::None, body).await;
    assert_eq!(code(outcome), Code::NoRight);
    assert_eq!(code(world.attr(&alice(), "@alice/d/f").await), Code::NotFound);
    assert_eq!(world.packs().await, (0, 0));
}

async fn a_grantees_check_in_sets_no_mode(world: World, _: Arc<FaultyMeta>) {
    world.put(&alice(), "@alice/f", b"text").await.unwrap();
    let before = world.attr(&alice(), "@alice/f").await.unwrap();
    world.grant(&alice(), "@alice/f", "bob", Right::Both, 100).await;
    let body = |mode: u32| {
        let end = CheckinEnd { size: 4, mode: Some(mode), ..Default::default() };
        whole(&end_frame(&serde_json::to_vec(&end).unwrap()))
    };
    let checkin = |who: Caller, base, mode| {
        let service = world.service.clone();
        async move { service.fs_checkin(&who, before.node, base, None, body(mode)).await }
    };
    assert_ne!(before.mode, 0o777);
    let attr = checkin(bob(), Version(1), 0o777).await;
    assert_eq!(attr.unwrap().mode, before.mode, "a grantee's");
    assert_eq!(world.attr(&alice(), "@alice/f").await.unwrap().mode, before.mode);
    checkin(alice(), Version(2), 0o751).await.unwrap();
    assert_eq!(world.attr(&alice(), "@alice/f").await.unwrap().mode, 0o751, "the owner's");

    // Renamed over it, neither.
    let folder = world.mkdir(&alice(), "@alice/d").await;
    world.put(&alice(), "@alice/d/f", b"text").await.unwrap();
    world.grant(&alice(), "@alice/d", "bob", Right::Both, 100).await;
    let kept = world.attr(&alice(), "@alice/d/f").await.unwrap().mode;
    let name = "new".parse().unwrap();
    let request = CreateRequest {
        parent: folder,
        name,
        kind: Kind::File,
        mode: 0o777,
        flag: None,
        target: None,
        copy_of: None,
    };
    world.service.fs_create(&bob(), request).await.unwrap();
    let renamed = world.rename(&bob(), "@alice/d/new", "@alice/d/f").await.unwrap();
    assert_eq!((renamed.attr.mode, renamed.attr.version), (kept, Version(2)));
}

async fn the_records_are_a_chain_over_every_kind_of_version(world: World, _: Arc<FaultyMeta>) {
    for flag in [Flag::Confidentiality, Flag::Integrity] {
        let path = format!("@alice/{flag}");
        world.put(&alice(), &path, b"one").await.unwrap();
        let node = world.attr(&alice(), &path).await.unwrap().node;
        world.service.fs_setflag(&alice(), SetFlagRequest { node, flag }).await.unwrap();
        let mut last = world.record(node).await;
        for step in ["put", "checkin", "rename", "editor", "flag", "put"] {
            match step {
                "put" => drop(world.put(&alice(), &path, b"two").await.unwrap()),
                "checkin" => {
                    world.checkin(&alice(), node, last.version, &[(0, b"xyz")], 5).await.unwrap();
                }
                "rename" => {
                    world.put(&alice(), "@alice/new", b"three").await.unwrap();
                    world.rename(&alice(), "@alice/new", &path).await.unwrap();
                }
                "editor" => {
                    world.rename(&alice(), &path, &format!("{path}~")).await.unwrap();
                    world.put(&alice(), "@alice/new", b"four").await.unwrap();
                    world.rename(&alice(), "@alice/new", &path).await.unwrap();
                }
                _ => {
                    let other = match last.flag {
                        Flag::Integrity => Flag::Confidentiality,
                        Flag::Confidentiality => Flag::Integrity,
                    };
                    world.service.fs_setflag(&alice(), SetFlagRequest { node, flag: other }).await.unwrap();
                }
            }
            let record = world.record(node).await;
            assert_eq!(record.version, last.version.next(), "{flag} {step}");
            assert_eq!(record.previous, last.hash(), "{flag} {step}");
            last = record;
        }
    }
}
