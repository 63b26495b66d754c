//! Slows down who guesses: failed logins per user and machine, so that nobody can lock somebody else out.

use std::time::Duration;

use dashmap::DashMap;
use sss_common::{Timestamp, Uid};

use crate::store::Fingerprint;

/// Most pairs that are remembered; beyond it those whose wait is over are forgotten.
const PAIRS_MAX: usize = 10_000;

/// Failed logins and the waits that follow from them.
pub(in crate::service) struct Throttle {
    free: u32,
    first: Duration,
    longest: Duration,
    failures: DashMap<(Uid, Fingerprint), Failures>,
}

struct Failures {
    count: u32,
    until: Timestamp,
}

impl Throttle {
    /// `free` failures cost nothing, the next costs `first`, each further one twice as much up to `longest`.
    pub(in crate::service) fn new(free: u32, first: Duration, longest: Duration) -> Self {
        Throttle { free, first, longest, failures: DashMap::new() }
    }

    /// How long this user on this machine must still wait; `None`: not at all.
    pub(in crate::service) fn wait(
        &self,
        uid: &Uid,
        machine: Fingerprint,
        now: Timestamp,
    ) -> Option<Duration> {
        let failures = self.failures.get(&(uid.clone(), machine))?;
        Some(failures.until.since(now)).filter(|wait| !wait.is_zero())
    }

    /// A login failed.
    pub(in crate::service) fn failed(&self, uid: &Uid, machine: Fingerprint, now: Timestamp) {
        if self.failures.len() >= PAIRS_MAX {
            self.failures.retain(|_, failures| failures.until > now);
        }
        let mut failures =
            self.failures.entry((uid.clone(), machine)).or_insert(Failures { count: 0, until: now });
        failures.count = failures.count.saturating_add(1);
        failures.until = now.after(self.penalty(failures.count));
    }

    /// A login succeeded: nothing is held against this pair any more.
    pub(in crate::service) fn succeeded(&self, uid: &Uid, machine: Fingerprint) {
        self.failures.remove(&(uid.clone(), machine));
    }

    fn penalty(&self, count: u32) -> Duration {
        match count.checked_sub(self.free + 1) {
            None => Duration::ZERO,
            Some(doublings) => self.first.saturating_mul(2u32.saturating_pow(doublings)).min(self.longest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_begin_after_the_free_failures_and_double_to_the_longest() {
        let throttle = Throttle::new(2, Duration::from_secs(1), Duration::from_secs(5));
        let (uid, now): (Uid, _) = ("alice".parse().unwrap(), Timestamp(0));
        let mut waits = Vec::new();
        for _ in 0..6 {
            throttle.failed(&uid, Fingerprint([1; 32]), now);
            waits.push(throttle.wait(&uid, Fingerprint([1; 32]), now).map_or(0, |wait| wait.as_secs()));
        }
        assert_eq!(waits, [0, 0, 1, 2, 4, 5]);
        assert_eq!(
            throttle.wait(&uid, Fingerprint([2; 32]), now),
            None,
            "another machine is not slowed down"
        );
        assert_eq!(throttle.wait(&uid, Fingerprint([1; 32]), Timestamp(5000)), None, "a wait ends");
        throttle.succeeded(&uid, Fingerprint([1; 32]));
        throttle.failed(&uid, Fingerprint([1; 32]), now);
        assert_eq!(throttle.wait(&uid, Fingerprint([1; 32]), now), None, "success forgives");
    }
}
