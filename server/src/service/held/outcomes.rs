//! Check-ins that were answered a moment ago, so that one whose answer was lost can be asked again.

use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;
use sss_common::wire::fs::Attr;

use crate::service::held::session_end::EndsWithSession;
use crate::store::TokenHash;

/// Most answers that are remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// A client's random id of one check-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CheckinId(pub [u8; 16]);

/// The latest answers by session and id.
pub(in crate::service) struct Outcomes(Mutex<LruCache<(TokenHash, CheckinId), Attr>>);

impl Default for Outcomes {
    fn default() -> Self {
        Outcomes(Mutex::new(LruCache::new(REMEMBERED)))
    }
}

impl Outcomes {
    /// What this check-in was answered, if it was.
    pub(in crate::service) fn of(&self, session: TokenHash, id: Option<CheckinId>) -> Option<Attr> {
        self.0.lock().get(&(session, id?)).cloned()
    }

    /// Remembers an answer.
    pub(in crate::service) fn remember(&self, session: TokenHash, id: Option<CheckinId>, attr: &Attr) {
        if let Some(id) = id {
            self.0.lock().put((session, id), attr.clone());
        }
    }
}

impl EndsWithSession for Outcomes {
    fn end_session(&self, session: &TokenHash) {
        let mut answers = self.0.lock();
        let of_session: Vec<_> =
            answers.iter().map(|(key, _)| *key).filter(|(of, _)| of == session).collect();
        for key in of_session {
            answers.pop(&key);
        }
    }
}

#[cfg(test)]
pub(in crate::service) mod tests {
    use sss_common::{Effective, FileTime, Kind, NodeId, Version};

    use super::*;

    pub(in crate::service) fn attr() -> Attr {
        Attr {
            node: NodeId([1; 16]),
            kind: Kind::File,
            size: 1,
            mode: 0o644,
            mtime_ns: FileTime(0),
            ctime_ns: FileTime(0),
            version: Version(1),
            owner: "alice".parse().unwrap(),
            author: None,
            flag: None,
            right: Effective::default(),
        }
    }

    #[test]
    fn an_answer_is_for_the_session_and_the_id_that_it_was_given_to() {
        let outcomes = Outcomes::default();
        let (session, id) = (TokenHash([1; 32]), Some(CheckinId([2; 16])));
        outcomes.remember(session, id, &attr());
        outcomes.remember(session, None, &attr());
        assert_eq!(outcomes.of(session, id), Some(attr()));
        assert_eq!(outcomes.of(TokenHash([3; 32]), id), None);
        assert_eq!(outcomes.of(session, Some(CheckinId([4; 16]))), None);
        assert_eq!(outcomes.of(session, None), None);
    }
}
