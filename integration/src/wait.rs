//! Waiting for a condition instead of for a time.

use std::time::{Duration, Instant};

/// Asks until `condition` holds; panics with `what` when `deadline` passes first.
#[track_caller]
pub fn eventually(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    assert!(holds_within(deadline, &mut condition), "not within {deadline:?}: {what}");
}

/// Asks until `condition` holds; `false` when `deadline` passes first.
pub fn holds_within(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if start.elapsed() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_comes_true_is_awaited_and_one_that_does_not_is_reported() {
        let mut count = 0;
        eventually(Duration::from_secs(5), "three askings", || {
            count += 1;
            count == 3
        });
        assert!(!holds_within(Duration::from_millis(50), || false));
    }
}
