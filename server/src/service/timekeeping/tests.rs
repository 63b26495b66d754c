use proptest::prelude::*;
use sss_common::clock::ManualClock;

use super::*;
use crate::service::Service;
use crate::service::tests::{START, World, alice, bob, code, on_both_stores};
use crate::store::Moments as _;
use crate::store::memory::MemoryStore;
use sss_common::{Code, Right};

on_both_stores! { what_ended_stays_ended_when_the_machines_clock_goes_back }

/// What a machine's clock does between two readings, in milliseconds: how much time passes, and by how much it is set.
type Step = (u32, i64);

/// Reads after each step; says what was shown, and the true time that had passed.
fn play(start: i64, latest: i64, steps: &[Step]) -> Vec<(i64, i64, Option<Jump>)> {
    let begin = Duration::from_secs(100);
    let machine = Timestamp(start);
    let mut steady =
        Steady { shown: Timestamp(latest).max(machine), shown_at: begin, machine, read_at: begin };
    let (mut set, mut passed) = (0, 0);
    let mut shown = Vec::new();
    for (pass, by) in steps {
        passed += i64::from(*pass);
        set += by;
        let at = begin + Duration::from_millis(passed.unsigned_abs());
        let (now, jump) = steady.read(Timestamp(start + passed + set), at);
        shown.push((now.millis(), passed, jump));
    }
    shown
}

proptest! {
    #[test]
    fn it_never_goes_back_and_never_stands_still_for_long(
        latest in 0i64..20_000_000,
        steps in prop::collection::vec((0u32..5_000_000, prop_oneof![Just(0), -10_000_000i64..10_000_000]), 1..40),
    ) {
        let mut last = (latest.max(10_000_000), 0);
        for (shown, passed, _) in play(10_000_000, latest, &steps) {
            prop_assert!(shown >= last.0, "{shown} after {}", last.0);
            // A millisecond of rounding, wherever it takes the machine's time up again.
            prop_assert!(shown - last.0 + 1 >= (passed - last.1) / 8 * 7, "it stands still");
            last = (shown, passed);
        }
    }

    #[test]
    fn it_shows_the_machines_time_while_that_goes_forward(steps in prop::collection::vec((0u32..5_000_000, 0i64..100_000), 1..40)) {
        let mut set = 0;
        for ((shown, passed, _), (_, by)) in play(10_000_000, 0, &steps).into_iter().zip(&steps) {
            set += by;
            prop_assert_eq!(shown, 10_000_000 + passed + set);
        }
    }

    #[test]
    fn a_jump_is_told_of_once_and_a_slew_never(by in -20_000i64..20_000, pass in 0u32..100_000) {
        let told: Vec<_> = play(1 << 40, 0, &[(pass, 0), (pass, by), (pass, 0)]).into_iter().map(|(.., jump)| jump).collect();
        let expected = match by {
            10_000.. => Some(Jump::Forward(Duration::from_millis(by.unsigned_abs()))),
            ..=-10_000 => Some(Jump::Back(Duration::from_millis(by.unsigned_abs()))),
            _ => None,
        };
        prop_assert_eq!(told, [None, expected, None]);
    }
}

#[test]
fn the_machines_clock_catches_up() {
    // 80 s back: made good after 640 s.
    let shown = play(1 << 40, 0, &[(0, -80_000), (320_000, 0), (640_000, 0), (1_000, 0)]);
    let ahead: Vec<_> = shown.iter().map(|(shown, passed, _)| shown - (1 << 40) - passed + 80_000).collect();
    assert_eq!(ahead, [80_000, 40_000, 0, 0]);
}

#[test]
fn the_clock_begins_where_the_store_was() {
    let machine = Arc::new(ManualClock::at(Timestamp(5_000_000)));
    let behind = StoreClock::new(machine.clone(), Timestamp(9_000_000));
    assert!(behind.now() >= Timestamp(9_000_000));
    assert!(behind.now_ns() >= Timestamp(9_000_000).nanos());
    let ahead = StoreClock::new(machine.clone(), Timestamp(1_000_000));
    assert_eq!((ahead.now(), ahead.now_ns()), (Timestamp(5_000_000), Timestamp(5_000_000).nanos()));
    machine.advance(Duration::from_secs(3));
    assert_eq!(ahead.now(), Timestamp(5_003_000));
}

#[tokio::test(start_paused = true)]
async fn the_time_is_kept_while_it_runs_and_when_it_stops() {
    let store = Arc::new(MemoryStore::new());
    let far = Timestamp(store.latest_moment().await.unwrap().0 + 1_000_000_000);
    let clock = Arc::new(ManualClock::at(far));
    let (keeper, stop) = (Timekeeper::new(store.clone(), clock.clone()), CancellationToken::new());
    let running = tokio::spawn({
        let stop = stop.clone();
        async move { keeper.run(stop).await }
    });
    let kept = async |until: Timestamp| {
        while store.latest_moment().await.unwrap() != until {
            tokio::task::yield_now().await;
        }
    };
    kept(far).await;
    clock.advance(EVERY);
    tokio::time::sleep(EVERY).await;
    kept(far.after(EVERY)).await;
    clock.advance(Duration::from_secs(1));
    stop.cancel();
    running.await.unwrap();
    assert_eq!(store.latest_moment().await.unwrap(), far.after(EVERY + Duration::from_secs(1)));
}

async fn what_ended_stays_ended_when_the_machines_clock_goes_back(world: World) {
    // The log's first row is from today.
    let today = world.stores.meta.latest_moment().await.unwrap();
    world.clock.advance(today.since(START));
    world.put(&alice(), "@alice/f", b"x").await.unwrap();
    world.grant(&alice(), "@alice/f", "bob", Right::Checkout, 3600).await;
    world.wait(2 * 3600);
    assert_eq!(code(world.get(&bob(), "@alice/f").await), Code::GrantEnded);
    world.stores.meta.flush().await.unwrap();

    let machine = Arc::new(ManualClock::at(today));
    let latest = world.stores.meta.latest_moment().await.unwrap();
    let clock = Arc::new(StoreClock::new(machine, latest));
    let service = Service::new(world.stores.clone(), world.vault.clone(), clock, world.settings.clone());
    let world = World { service, ..world };

    assert_eq!(code(world.get(&bob(), "@alice/f").await), Code::GrantEnded);
    assert_eq!(world.get(&alice(), "@alice/f").await.unwrap(), b"x");
}
