//! Which versions readers hold. In memory: after a restart the mounts take their pins up again.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use sss_common::{NodeId, Version};

use crate::service::held::session_end::EndsWithSession;
use crate::store::TokenHash;

/// Most versions that one session can pin at a time.
pub(in crate::service) const PINS_MAX: usize = 65_536;

type Held = BTreeMap<(NodeId, Version), u64>;

/// A version that a session holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service) struct Pin {
    pub(in crate::service) session: TokenHash,
    pub(in crate::service) node: NodeId,
    pub(in crate::service) version: Version,
}

/// The pins of all sessions.
#[derive(Default)]
pub(in crate::service) struct Pins(Mutex<std::collections::HashMap<TokenHash, Held>>);

impl Pins {
    /// Holds a version once more; false when the session holds too many.
    pub(in crate::service) fn hold(&self, session: TokenHash, node: NodeId, version: Version) -> bool {
        let mut all = self.0.lock();
        let held = all.entry(session).or_default();
        if held.len() >= PINS_MAX && !held.contains_key(&(node, version)) {
            return false;
        }
        *held.entry((node, version)).or_default() += 1;
        true
    }

    /// Gives a version back once. One that was carried on by [`Pins::carry`] may be named by its old number.
    pub(in crate::service) fn release(&self, session: TokenHash, node: NodeId, version: Version) {
        let mut all = self.0.lock();
        let Some(held) = all.get_mut(&session) else { return };
        let named = held.contains_key(&(node, version)).then_some((node, version));
        let Some(pin) = named.or_else(|| next_of(held, node, version)) else { return };
        if let Some(count) = held.get_mut(&pin) {
            *count -= 1;
            if *count == 0 {
                held.remove(&pin);
            }
        }
        if held.is_empty() {
            all.remove(&session);
        }
    }

    /// The session that held `from` checked `to` in on top of it: its pins move on.
    pub(in crate::service) fn carry(&self, session: TokenHash, node: NodeId, from: Version, to: Version) {
        let mut all = self.0.lock();
        let Some(held) = all.get_mut(&session) else { return };
        if let Some(count) = held.remove(&(node, from)) {
            *held.entry((node, to)).or_default() += count;
        }
    }

    /// Who holds the version.
    pub(in crate::service) fn holders(&self, node: NodeId, version: Version) -> Vec<Pin> {
        let all = self.0.lock();
        let holding = all.iter().filter(|(_, held)| held.contains_key(&(node, version)));
        holding.map(|(session, _)| Pin { session: *session, node, version }).collect()
    }

    /// Takes a version away from who held it, however often.
    pub(in crate::service) fn take(&self, pin: &Pin) {
        let mut all = self.0.lock();
        let Some(held) = all.get_mut(&pin.session) else { return };
        held.remove(&(pin.node, pin.version));
        if held.is_empty() {
            all.remove(&pin.session);
        }
    }

    /// Who holds anything.
    pub(in crate::service) fn sessions(&self) -> Vec<TokenHash> {
        self.0.lock().keys().copied().collect()
    }

    /// Whether this session holds the version.
    pub(in crate::service) fn holds(&self, session: &TokenHash, node: NodeId, version: Version) -> bool {
        self.0.lock().get(session).is_some_and(|held| held.contains_key(&(node, version)))
    }

    /// Whether anybody holds the version.
    pub(in crate::service) fn is_pinned(&self, node: NodeId, version: Version) -> bool {
        self.0.lock().values().any(|held| held.contains_key(&(node, version)))
    }
}

impl EndsWithSession for Pins {
    fn end_session(&self, session: &TokenHash) {
        self.0.lock().remove(session);
    }
}

/// Pins are carried upwards only: what was held as `version` is the next one above it now.
fn next_of(held: &Held, node: NodeId, version: Version) -> Option<(NodeId, Version)> {
    held.range((node, version)..=(node, Version(u64::MAX))).next().map(|(pin, _)| *pin)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: TokenHash = TokenHash([1; 32]);
    const NODE: NodeId = NodeId([2; 16]);

    #[test]
    fn each_hold_is_given_back_once() {
        let pins = Pins::default();
        pins.hold(SESSION, NODE, Version(1));
        pins.hold(SESSION, NODE, Version(1));
        pins.release(SESSION, NODE, Version(1));
        assert!(pins.is_pinned(NODE, Version(1)));
        pins.release(SESSION, NODE, Version(1));
        assert!(!pins.is_pinned(NODE, Version(1)));
        pins.release(SESSION, NODE, Version(1));
    }

    #[test]
    fn a_check_in_carries_its_sessions_pins_on() {
        let pins = Pins::default();
        let other = TokenHash([3; 32]);
        pins.hold(SESSION, NODE, Version(1));
        pins.hold(other, NODE, Version(1));
        pins.carry(SESSION, NODE, Version(1), Version(2));
        assert!(pins.holds(&SESSION, NODE, Version(2)) && !pins.holds(&SESSION, NODE, Version(1)));
        assert!(pins.is_pinned(NODE, Version(1)), "somebody else still reads it");
        pins.release(SESSION, NODE, Version(1));
        assert!(!pins.is_pinned(NODE, Version(2)), "given back by its old number");
    }

    #[test]
    fn a_reader_of_an_older_version_keeps_it_when_a_carried_pin_is_given_back() {
        let pins = Pins::default();
        pins.hold(SESSION, NODE, Version(1));
        pins.hold(SESSION, NODE, Version(2));
        pins.carry(SESSION, NODE, Version(2), Version(3));
        pins.release(SESSION, NODE, Version(2));
        assert!(pins.is_pinned(NODE, Version(1)) && !pins.is_pinned(NODE, Version(3)));
    }

    #[test]
    fn what_is_taken_away_is_held_by_others_still() {
        let pins = Pins::default();
        let other = TokenHash([3; 32]);
        for session in [SESSION, SESSION, other] {
            pins.hold(session, NODE, Version(1));
        }
        let mut holders = pins.holders(NODE, Version(1));
        holders.sort_by_key(|pin| pin.session.0);
        assert_eq!(holders.iter().map(|pin| pin.session).collect::<Vec<_>>(), [SESSION, other]);
        pins.take(&holders[0]);
        assert_eq!(pins.holders(NODE, Version(1)), [holders[1]]);
        assert_eq!(pins.sessions(), [other]);
    }

    #[test]
    fn a_session_can_hold_so_many_and_no_more() {
        let pins = Pins::default();
        for n in 0..PINS_MAX as u64 {
            assert!(pins.hold(SESSION, NODE, Version(n)));
        }
        assert!(!pins.hold(SESSION, NODE, Version(u64::MAX)));
        assert!(pins.hold(SESSION, NODE, Version(0)), "one that is held can be held again");
        pins.end_session(&SESSION);
        assert!(!pins.is_pinned(NODE, Version(0)));
    }
}
