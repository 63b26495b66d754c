#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]
//! Fresh sequences for as long as told: `make soak MINUTES=60`. Stops at the first difference, with the shortest sequence
//! that shows it.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestError, TestRunner};
use sss_model::compare::{On, Tally, compare};
use sss_model::generate::sequence;

/// Sequences between two looks at the clock.
const BATCH: u32 = 50;

#[test]
#[ignore = "runs for as long as SSS_SOAK_MINUTES says; `make soak`"]
fn soak() {
    let minutes: u64 = std::env::var("SSS_SOAK_MINUTES").unwrap().parse().unwrap();
    let began = Instant::now();
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sequences.seeds");
    let config = Config {
        cases: BATCH,
        max_shrink_iters: 5000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(seeds))),
        ..Config::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let tally = RefCell::new(Tally::default());
    let differs = Cell::new(false);
    let mut played = 0;
    while began.elapsed() < Duration::from_secs(minutes * 60) {
        let outcome = TestRunner::new(config.clone()).run(&sequence(90), |steps| {
            let counted = runtime.block_on(compare(&steps, &On::BOTH));
            let counted = counted.map_err(|difference| {
                if !differs.replace(true) {
                    println!("the first difference, to be made shorter:{difference}");
                }
                TestCaseError::fail(difference.to_string())
            })?;
            tally.borrow_mut().add(counted);
            Ok(())
        });
        match outcome {
            Ok(()) => played += BATCH,
            Err(TestError::Fail(why, _)) => panic!("after {played} sequences: {why}"),
            Err(TestError::Abort(why)) => panic!("after {played} sequences: {why}"),
        }
        println!("{played} sequences in {} s without a difference", began.elapsed().as_secs());
    }
    println!("{}", tally.borrow());
}
