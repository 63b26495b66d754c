//! Challenges: random, for one user on one machine, good for one login.

use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use rand::RngCore as _;
use sss_common::login::{Challenge, ServerKey};
use sss_common::{Timestamp, Uid};

use crate::store::Fingerprint;

/// Most challenges that wait for their login at a time.
const WAITING_MAX: usize = 10_000;

/// Most of them for one machine; beyond it the oldest goes.
const WAITING_FOR_ONE: usize = 32;

/// Challenges that were given out and not used yet.
#[derive(Default)]
pub(in crate::service) struct Challenges(DashMap<String, Waiting>, AtomicU64);

struct Waiting {
    uid: Uid,
    machine: Fingerprint,
    until: Timestamp,
    number: u64,
}

impl Challenges {
    /// A fresh one of 256 random bits, for the server that showed this key; `None` when too many wait already.
    pub(in crate::service) fn issue(
        &self,
        uid: Uid,
        machine: Fingerprint,
        server: ServerKey,
        now: Timestamp,
        until: Timestamp,
    ) -> Option<Challenge> {
        self.make_room_for(machine);
        if self.0.len() >= WAITING_MAX {
            self.0.retain(|_, waiting| waiting.until > now);
            if self.0.len() >= WAITING_MAX {
                return None;
            }
        }
        let mut bytes = [0; 32];
        rand::rngs::OsRng.fill_bytes(&mut bytes);
        let challenge = Challenge::new(&bytes, server);
        self.0.insert(
            challenge.to_string(),
            Waiting { uid, machine, until, number: self.1.fetch_add(1, Ordering::Relaxed) },
        );
        Some(challenge)
    }

    fn make_room_for(&self, machine: Fingerprint) {
        let its = self.0.iter().filter(|entry| entry.machine == machine);
        let mut its: Vec<_> = its.map(|entry| (entry.number, entry.key().clone())).collect();
        if its.len() >= WAITING_FOR_ONE {
            its.sort_unstable();
            for (_, oldest) in its.iter().take(its.len() + 1 - WAITING_FOR_ONE) {
                self.0.remove(oldest);
            }
        }
    }

    /// Uses one up. Whether it was this user's on this machine and still good.
    pub(in crate::service) fn redeem(
        &self,
        challenge: &str,
        uid: &Uid,
        machine: Fingerprint,
        now: Timestamp,
    ) -> bool {
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
        let issue = || {
            let server = ServerKey::of(b"server");
            let issued =
                challenges.issue(alice.clone(), Fingerprint([1; 32]), server, Timestamp(0), Timestamp(10));
            issued.unwrap().to_string()
        };
        let first = issue();
        assert!(challenges.redeem(&first, &alice, Fingerprint([1; 32]), Timestamp(9)));
        assert!(!challenges.redeem(&first, &alice, Fingerprint([1; 32]), Timestamp(9)), "replayed");
        assert!(!challenges.redeem(&issue(), &bob, Fingerprint([1; 32]), Timestamp(9)));
        assert!(!challenges.redeem(&issue(), &alice, Fingerprint([2; 32]), Timestamp(9)));
        assert!(!challenges.redeem(&issue(), &alice, Fingerprint([1; 32]), Timestamp(10)), "too late");
        assert_ne!(issue(), issue());
    }

    #[test]
    fn only_so_many_wait() {
        let challenges = Challenges::default();
        let alice: Uid = "alice".parse().unwrap();
        let issue = |now, machine: usize| {
            let mut certificate = [0; 32];
            certificate[..8].copy_from_slice(&(machine / WAITING_FOR_ONE).to_be_bytes());
            let (now, until) = (Timestamp(now), Timestamp(now + 10));
            let issued = challenges.issue(
                alice.clone(),
                Fingerprint(certificate),
                ServerKey::of(b"server"),
                now,
                until,
            );
            issued.map(|challenge| challenge.to_string())
        };
        let first: Vec<_> = (0..WAITING_FOR_ONE + 1).map(|_| issue(0, 0).unwrap()).collect();
        assert!(
            !challenges.redeem(&first[0], &alice, Fingerprint([0; 32]), Timestamp(1)),
            "the machine's oldest went"
        );
        assert!(challenges.redeem(&first[1], &alice, Fingerprint([0; 32]), Timestamp(1)));
        challenges.0.clear();
        for n in 0..WAITING_MAX {
            assert!(issue(0, n).is_some());
        }
        assert!(issue(5, WAITING_MAX * 2).is_none());
        assert!(issue(10, WAITING_MAX * 2).is_some(), "those that ran out make room");
    }
}
