//! What a session holds. All of it ends with the session, and here alone.

pub(super) mod outcomes;
pub(super) mod pins;
mod session_end;
pub(super) mod vacated;

use crate::store::TokenHash;
use outcomes::Outcomes;
use pins::Pins;
use session_end::EndsWithSession;
use vacated::VacatedNames;

/// All that sessions hold, in memory: after a restart the mounts take up again what they need.
#[derive(Default)]
pub(in crate::service) struct Held {
    /// Versions that readers hold.
    pub(in crate::service) pins: Pins,
    /// Names that editors have just moved their documents away from.
    pub(in crate::service) vacated: VacatedNames,
    /// Answers of check-ins, for the same one sent again.
    pub(in crate::service) outcomes: Outcomes,
}

impl Held {
    /// A session is over.
    pub(in crate::service) fn end_session(&self, session: &TokenHash) {
        let Held { pins, vacated, outcomes } = self;
        let all: [&dyn EndsWithSession; 3] = [pins, vacated, outcomes];
        all.iter().for_each(|held| held.end_session(session));
    }
}

#[cfg(test)]
mod tests {
    use sss_common::{NodeId, Timestamp, Version};

    use super::*;
    use outcomes::CheckinId;
    use outcomes::tests::attr;
    use vacated::Vacated;

    const NODE: NodeId = NodeId([1; 16]);

    fn fill(held: &Held, session: TokenHash) {
        assert!(held.pins.hold(session, NODE, Version(1)));
        held.vacated.remember(Vacated {
            document: NODE,
            // A name is vacated by one session at a time.
            folder: NodeId(session.0[..16].try_into().unwrap()),
            name: "a".parse().unwrap(),
            backup: "a~".parse().unwrap(),
            session,
            at: Timestamp(0),
        });
        held.outcomes.remember(session, Some(CheckinId([2; 16])), &attr());
    }

    fn holds(held: &Held, session: TokenHash) -> [bool; 3] {
        let folder = NodeId(session.0[..16].try_into().unwrap());
        [
            held.pins.holds(&session, NODE, Version(1)),
            held.vacated.take(session, folder, &"a".parse().unwrap(), Timestamp(1)).is_some(),
            held.outcomes.of(session, Some(CheckinId([2; 16]))).is_some(),
        ]
    }

    #[test]
    fn a_session_that_is_over_holds_nothing_and_others_keep_what_they_hold() {
        let held = Held::default();
        let (over, other) = (TokenHash([3; 32]), TokenHash([4; 32]));
        fill(&held, over);
        fill(&held, other);
        held.end_session(&over);
        held.end_session(&over);
        assert_eq!(holds(&held, over), [false; 3]);
        assert_eq!(holds(&held, other), [true; 3]);
    }
}
