#![allow(missing_docs, clippy::unwrap_used)]
//! A modest number of sequences; `make soak` plays more.

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use sss_model::compare::{On, compare};
use sss_model::generate::sequence;
use sss_model::step::Step;

/// `PROPTEST_CASES` takes the place of `cases`. A sequence takes the server seconds in a build that is not optimised.
fn config(cases: u32) -> ProptestConfig {
    let persistence =
        FileFailurePersistence::Direct(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sequences.seeds"));
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(cases);
    ProptestConfig {
        cases,
        max_shrink_iters: 2000,
        failure_persistence: Some(Box::new(persistence)),
        ..ProptestConfig::default()
    }
}

fn play(steps: &[Step], on: &[On]) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime
        .block_on(compare(steps, on))
        .map(drop)
        .map_err(|difference| TestCaseError::fail(difference.to_string()))
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn the_memory_twin_does_what_the_model_says(steps in sequence(60)) {
        play(&steps, &[On::Memory])?;
    }
}

proptest! {
    #![proptest_config(config(8))]

    #[test]
    fn the_server_does_what_the_model_says(steps in sequence(60)) {
        play(&steps, &[On::Real])?;
    }
}
