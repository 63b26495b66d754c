//! Challenges: random, for one user on one machine, good for one login.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dashmap::DashMap;
use rand::RngCore as _;
use sss_common::{Timestamp, Uid};

use crate::store::Fingerprint;

/// Most challenges that wait for their login at a time.
const WAITING_MAX: usize = 10_000;

/// Challenges that were given out and not used yet.
#[derive(Default)]
pub(super) struct Challenges(DashMap<String, Waiting>);

struct Waiting {
    uid: Uid,
    machine: Fingerprint,
    until: Timestamp,
}

impl Challenges {
    /// A fresh one of 256 random bits; `None` when too many wait already.
    pub(super) fn issue(
        &self,
        uid: Uid,
        machine: Fingerprint,
        now: Timestamp,
        until: Timestamp,
    ) -> Option<String> {
        if self.0.len() >= WAITING_MAX {
            self.0.retain(|_, waiting| waiting.until > now);
            if self.0.len() >= WAITING_MAX {
                return None;
            }
        }
        let mut bytes = [0; 32];
        rand::rngs::OsRng.fill_bytes(&mut bytes);
        let challenge = URL_SAFE_NO_PAD.encode(bytes);
        self.0.insert(challenge.clone(), Waiting { uid, machine, until });
        Some(challenge)
    }

    /// Uses one up. Whether it was this user's on this machine and still good.
    pub(super) fn redeem(&self, challenge: &str, uid: &Uid, machine: Fingerprint, now: Timestamp) -> bool {
        self.0.remove(challenge).is_some_and(|(_, waiting)| {
            waiting.uid == *uid && waiting.machine == machine && now < waiting.until
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_serves_once_its_own_user_machine_and_time() {
        let challenges = Challenges::default();
        let (alice, bob): (Uid, Uid) = ("alice".parse().unwrap(), "bob".parse().unwrap());
        let issue = || challenges.issue(alice.clone(), [1; 32], Timestamp(0), Timestamp(10)).unwrap();
        let first = issue();
        assert!(challenges.redeem(&first, &alice, [1; 32], Timestamp(9)));
        assert!(!challenges.redeem(&first, &alice, [1; 32], Timestamp(9)), "replayed");
        assert!(!challenges.redeem(&issue(), &bob, [1; 32], Timestamp(9)));
        assert!(!challenges.redeem(&issue(), &alice, [2; 32], Timestamp(9)));
        assert!(!challenges.redeem(&issue(), &alice, [1; 32], Timestamp(10)), "too late");
        assert_ne!(issue(), issue());
    }

    #[test]
    fn only_so_many_wait() {
        let challenges = Challenges::default();
        let alice: Uid = "alice".parse().unwrap();
        let issue = |now| challenges.issue(alice.clone(), [1; 32], Timestamp(now), Timestamp(now + 10));
        for _ in 0..WAITING_MAX {
            assert!(issue(0).is_some());
        }
        assert!(issue(5).is_none());
        assert!(issue(10).is_some(), "those that ran out make room");
    }
}
