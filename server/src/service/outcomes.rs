//! Check-ins that were answered a moment ago, so that one whose answer was lost can be asked again.

use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;
use sss_common::wire::fs::Attr;

use crate::store::TokenHash;

/// Most answers that are remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// A client's random id of one check-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CheckinId(pub [u8; 16]);

/// The latest answers by session and id.
pub(super) struct Outcomes(Mutex<LruCache<(TokenHash, CheckinId), Attr>>);

impl Default for Outcomes {
    fn default() -> Self {
        Outcomes(Mutex::new(LruCache::new(REMEMBERED)))
    }
}

impl Outcomes {
    /// What this check-in was answered, if it was.
    pub(super) fn of(&self, session: TokenHash, id: Option<CheckinId>) -> Option<Attr> {
        self.0.lock().get(&(session, id?)).cloned()
    }

    /// Remembers an answer.
    pub(super) fn remember(&self, session: TokenHash, id: Option<CheckinId>, attr: &Attr) {
        if let Some(id) = id {
            self.0.lock().put((session, id), attr.clone());
        }
    }
}
