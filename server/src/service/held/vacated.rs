//! The editors' rule's memory: names that were just vacated by renaming their document to a backup name.

use std::time::Duration;

use parking_lot::Mutex;
use sss_common::{Name, NodeId, Timestamp};

use crate::service::held::session_end::EndsWithSession;
use crate::store::TokenHash;

/// How long a name is remembered. Editors write the new file within moments of moving the old one away.
pub(in crate::service) const WINDOW: Duration = Duration::from_secs(10);

/// Most names that are remembered; beyond it the oldest is forgotten, and its document keeps its backup name.
const NAMES_MAX: usize = 10_000;

/// A document that was renamed to the backup of its own name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::service) struct Vacated {
    pub(in crate::service) document: NodeId,
    pub(in crate::service) folder: NodeId,
    pub(in crate::service) name: Name,
    pub(in crate::service) backup: Name,
    pub(in crate::service) session: TokenHash,
    pub(in crate::service) at: Timestamp,
}

/// Names that were vacated a moment ago, oldest first.
#[derive(Default)]
pub(in crate::service) struct VacatedNames(Mutex<std::collections::VecDeque<Vacated>>);

impl VacatedNames {
    /// Remembers one.
    pub(in crate::service) fn remember(&self, vacated: Vacated) {
        let mut names = self.0.lock();
        names.retain(|old| {
            vacated.at.since(old.at) <= WINDOW && (old.folder, &old.name) != (vacated.folder, &vacated.name)
        });
        if names.len() >= NAMES_MAX {
            names.pop_front();
        }
        names.push_back(vacated);
    }

    /// Takes the one whose name this session now fills again, if it is still fresh.
    pub(in crate::service) fn take(
        &self,
        session: TokenHash,
        folder: NodeId,
        name: &Name,
        now: Timestamp,
    ) -> Option<Vacated> {
        let mut names = self.0.lock();
        let at = names.iter().position(|v| v.session == session && v.folder == folder && v.name == *name)?;
        names.remove(at).filter(|vacated| now.since(vacated.at) <= WINDOW)
    }
}

impl EndsWithSession for VacatedNames {
    fn end_session(&self, session: &TokenHash) {
        self.0.lock().retain(|vacated| vacated.session != *session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vacated(at: i64) -> Vacated {
        Vacated {
            document: NodeId([1; 16]),
            folder: NodeId([2; 16]),
            name: "a".parse().unwrap(),
            backup: "a~".parse().unwrap(),
            session: TokenHash([3; 32]),
            at: Timestamp(at),
        }
    }

    #[test]
    fn only_the_same_session_fills_a_name_again_and_only_for_a_while() {
        let names = VacatedNames::default();
        let v = vacated(0);
        names.remember(v.clone());
        assert_eq!(names.take(TokenHash([9; 32]), v.folder, &v.name, Timestamp(1)), None);
        assert_eq!(names.take(v.session, v.folder, &"b".parse().unwrap(), Timestamp(1)), None);
        assert_eq!(names.take(v.session, v.folder, &v.name, Timestamp(1)), Some(v.clone()));
        assert_eq!(names.take(v.session, v.folder, &v.name, Timestamp(1)), None, "once");
        names.remember(v.clone());
        assert_eq!(names.take(v.session, v.folder, &v.name, Timestamp(10_001)), None, "too late");
    }
}
