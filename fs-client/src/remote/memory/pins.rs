//! The versions that sessions hold on the server in this process.

use sss_common::Version;
use sss_common::wire::fs::Pin;

use super::State;

impl State {
    /// The session that held `from` checked in on top of it: its pins move on.
    pub(super) fn carry(&mut self, session: u64, from: Pin, to: Version) {
        if let Some(count) = self.pins.remove(&(session, from)) {
            *self.pins.entry((session, Pin { version: to, ..from })).or_default() += count;
        }
        self.drop_unpinned(from);
    }

    /// Gives a pin back once; one that was carried may be named by its old number.
    pub(super) fn unpin(&mut self, session: u64, pin: Pin) {
        // Pins are carried upwards only: what was held as this version is the next one above it now.
        let held = self.pins.keys().filter(|(of, other)| *of == session && other.node == pin.node);
        let above = held.filter(|(_, other)| other.version >= pin.version);
        let Some((_, pin)) = above.min_by_key(|(_, other)| other.version).copied() else { return };
        if let Some(count) = self.pins.get_mut(&(session, pin)) {
            *count -= 1;
            if *count == 0 {
                self.pins.remove(&(session, pin));
            }
        }
        self.drop_unpinned(pin);
    }

    fn drop_unpinned(&mut self, pin: Pin) {
        let still = self.pins.keys().any(|(_, other)| *other == pin);
        if let Some(node) = self.nodes.get_mut(&pin.node).filter(|node| !still && node.version != pin.version)
        {
            node.versions.remove(&pin.version);
        }
    }
}

#[cfg(test)]
mod tests {
    use sss_common::NodeId;

    use super::*;

    #[test]
    fn readers_of_older_versions_keep_them_when_a_carried_pin_is_given_back() {
        let pin = |version| Pin { node: NodeId([1; 16]), version: Version(version) };
        // In whatever order the table has them.
        for _ in 0..16 {
            let mut state = State::default();
            state.pins.extend((1..9).map(|version| ((1, pin(version)), 1)));
            state.carry(1, pin(8), Version(9));
            state.unpin(1, pin(8));
            assert!((1..8).all(|version| state.pins.contains_key(&(1, pin(version)))));
            assert_eq!(state.pins.len(), 7);
        }
    }
}
