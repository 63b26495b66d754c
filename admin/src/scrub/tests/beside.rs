//! Beside a server: what it does meanwhile is no damage, and damage is still found.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::super::keys::{Fault, Verdict};
use super::*;
use sss_server::store::StoreError;
use sss_server::store::blobs::{FaultyBlobs, MemoryBlobs, Operation};
use sss_vault::KeySource;
use sss_vault::sealed::{KeyImage, KeyPosition};

impl World {
    async fn keys(&self) -> Keys {
        let Beside { stores, source, keys } = self.beside();
        Keys::open(stores.meta, source, keys).await.unwrap()
    }

    /// Moves the root key on.
    async fn erase_something(&self) {
        self.put("doomed", Flag::Confidentiality, b"doomed").await;
        self.delete("doomed").await;
        self.service.upkeep.maintain().await.unwrap();
    }
}

type Seen = Result<(), Fault<String>>;

fn damage(keyed: bool) -> Seen {
    Err(Fault::Damage { what: "bad".into(), keyed })
}

/// What comes of a check that fails as told, how often it was made, and whether it always saw another root key.
async fn settled(
    world: &World,
    check: impl AsyncFn(usize) -> Seen,
    there: bool,
) -> (anyhow::Result<Verdict<(), String>>, usize) {
    let (keys, made) = (world.keys().await, AtomicUsize::new(0));
    let count = async |_: &Vault| check(made.fetch_add(1, Ordering::Relaxed)).await;
    let verdict = keys.settle(count, async || Ok(there)).await;
    (verdict, made.into_inner())
}

#[tokio::test]
async fn damage_is_what_shows_twice_and_is_still_there() {
    let world = World::new().await;
    let (verdict, made) = settled(&world, async |_| Ok(()), true).await;
    assert!(matches!(verdict, Ok(Verdict::Fine(()))) && made == 1);
    let (verdict, made) = settled(&world, async |n| if n == 0 { damage(true) } else { Ok(()) }, true).await;
    assert!(matches!(verdict, Ok(Verdict::Fine(()))) && made == 2, "once is nothing");
    let (verdict, made) = settled(&world, async |_| damage(true), true).await;
    assert!(matches!(verdict, Ok(Verdict::Damaged(_))) && made == 2);
    let (verdict, made) = settled(&world, async |_| damage(false), true).await;
    assert!(matches!(verdict, Ok(Verdict::Damaged(_))) && made == 2);
    let (verdict, made) = settled(&world, async |_| damage(true), false).await;
    assert!(matches!(verdict, Ok(Verdict::Gone)) && made == 1, "its row went");
    let (verdict, _) = settled(&world, async |_| Err(Fault::Gone), true).await;
    assert!(matches!(verdict, Ok(Verdict::Gone)));
    let stopped = async |_| Err(Fault::Stopped(anyhow::anyhow!("the disk is away")));
    let error = settled(&world, stopped, true).await.0.err().unwrap().to_string();
    assert_eq!(error.lines().count(), 2, "{error}");
}

#[tokio::test]
async fn a_root_key_that_moves_on_during_a_check_explains_its_failure() {
    let world = World::new().await;
    let moving = |times: usize, keyed: bool| {
        let world = &world;
        async move |n: usize| {
            if n < times {
                world.erase_something().await;
            }
            damage(keyed)
        }
    };
    let (verdict, made) = settled(&world, moving(5, true), true).await;
    assert!(matches!(verdict, Ok(Verdict::Damaged(_))));
    assert_eq!(made, 6, "five failed while an erasure went by, the sixth did not");
    let (verdict, made) = settled(&world, moving(5, false), true).await;
    assert!(matches!(verdict, Ok(Verdict::Damaged(_))) && made == 2, "bytes need no key to be wrong");
    let (verdict, made) = settled(&world, moving(100, true), true).await;
    let words = verdict.err().unwrap().to_string();
    assert_eq!((made, words.lines().count()), (20, 2), "{words}");
}

/// Erases something when a node near the leaves is loaded, so often.
struct Rotating {
    world: Arc<World>,
    inner: Arc<dyn KeySource>,
    left: AtomicUsize,
}

#[async_trait]
impl KeySource for Rotating {
    async fn load(
        &self,
        position: KeyPosition,
    ) -> Result<Option<KeyImage>, Box<dyn std::error::Error + Send + Sync>> {
        let due = |left: usize| left.checked_sub(1);
        if position.level == 5 && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, due).is_ok() {
            self.world.erase_something().await;
        }
        self.inner.load(position).await
    }
}

#[tokio::test]
async fn erasures_between_any_two_readings_are_no_damage() {
    let world = Arc::new(World::new().await);
    for number in 0..3 {
        world.put(&format!("small {number}"), Flag::Integrity, b"small").await;
        world.put(&format!("large {number}"), Flag::Integrity, &bytes(100_000, number)).await;
    }
    let beside = world.beside();
    let left = AtomicUsize::new(7);
    let source = Arc::new(Rotating { world: world.clone(), inner: beside.source.clone(), left });
    let (lines, seen) = scrub(Beside { source: source.clone(), ..beside }).await;
    assert_eq!(lines, [""; 0]);
    assert_eq!(source.left.load(Ordering::SeqCst), 0, "all seven happened");
    assert!(seen.versions == 6 && seen.packs >= 6, "{seen:?}");

    // And damage is told from it.
    world.flip("versions", "record", 50, "node = (SELECT id FROM nodes WHERE name = 'small 1')");
    source.left.store(7, Ordering::SeqCst);
    let (lines, _) = scrub(Beside { source: source.clone(), ..world.beside() }).await;
    assert_eq!(lines, ["@alice/small 1, version 1: its record does not verify"]);
}

/// Deletes the document when its key is looked up.
#[tokio::test]
async fn what_is_deleted_while_it_is_checked_is_passed_over() {
    struct Deleting(Arc<World>, Arc<dyn KeySource>);
    #[async_trait]
    impl KeySource for Deleting {
        async fn load(
            &self,
            position: KeyPosition,
        ) -> Result<Option<KeyImage>, Box<dyn std::error::Error + Send + Sync>> {
            if position.level == 5 && self.0.meta.totals().await?.versions == 1 {
                self.0.delete("doomed").await;
                self.0.service.upkeep.maintain().await.unwrap();
            }
            self.1.load(position).await
        }
    }
    let world = Arc::new(World::new().await);
    world.put("doomed", Flag::Confidentiality, &bytes(100_000, 1)).await;
    let beside = world.beside();
    let source = Arc::new(Deleting(world.clone(), beside.source.clone()));
    let (lines, seen) = scrub(Beside { source, ..beside }).await;
    assert_eq!((lines.len(), seen.versions, seen.packs), (0, 0, 0));
}

#[tokio::test]
async fn keys_that_the_server_erased_are_let_go_within_a_second() {
    let world = World::new().await;
    world.put("kept", Flag::Confidentiality, b"kept").await;
    let keys = world.keys().await;
    let epoch = async || {
        let look = async |vault: &Vault| Ok::<sss_common::Epoch, Fault<String>>(vault.epoch());
        match keys.settle(look, async || Ok(true)).await {
            Ok(Verdict::Fine(epoch)) => epoch,
            _ => panic!("nothing is wrong"),
        }
    };
    let first = epoch().await;
    world.erase_something().await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(epoch().await, first.next());
}

#[tokio::test]
async fn a_reading_that_fails_once_is_made_again() {
    let world = World::new().await;
    world.put("large", Flag::Confidentiality, &bytes(200_000, 1)).await;
    let faulty = || {
        let mut beside = world.beside();
        let faulty = Arc::new(FaultyBlobs::new(beside.stores.blobs.clone()));
        beside.stores.blobs = faulty.clone();
        (beside, faulty)
    };
    let (beside, blobs) = faulty();
    blobs.fail(Operation::Read, 0, StoreError::Backend("a bad cable".into()));
    assert_eq!(scrub(beside).await.0, [""; 0]);

    // A disk that gives other bytes each time it is asked is found out too.
    let (beside, blobs) = faulty();
    let (_, pack) = world.meta.packs_after(None, 1).await.unwrap()[0];
    blobs.flip(pack, 70_000);
    let (lines, _) = scrub(beside).await;
    assert_eq!(lines.len(), 1, "{lines:?}");

    // And one that gives nothing.
    let mut beside = world.beside();
    beside.stores.blobs = Arc::new(MemoryBlobs::new());
    let (lines, _) = scrub(beside).await;
    assert!(lines[0].ends_with(&format!("pack {pack} is missing")), "{lines:?}");
}
