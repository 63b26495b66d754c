//! Sessions as they were a moment ago, so that a request usually asks the store nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use sss_common::clock::monotonic;

use crate::store::{Session, TokenHash};

/// How long a session that was read from the store is believed. What another process ends is usually noticed sooner, see
/// `watch`.
const BELIEVED: Duration = Duration::from_secs(1);

/// Most sessions that are remembered between requests.
const REMEMBERED_MAX: usize = 10_000;

/// Sessions as the store had them a moment ago.
#[derive(Default)]
pub(super) struct SessionCache {
    sessions: DashMap<TokenHash, (Session, Instant)>,
    forgotten: AtomicU64,
}

impl SessionCache {
    pub(super) fn fresh(&self, token: &TokenHash) -> Option<Session> {
        let entry = self.sessions.get(token).filter(|entry| entry.1.elapsed() < BELIEVED)?;
        Some(entry.0.clone())
    }

    /// Those that were live when they were read.
    pub(super) fn believed(&self) -> Vec<(TokenHash, Session)> {
        let live = self.sessions.iter().filter(|entry| entry.0.ended.is_none());
        live.map(|entry| (*entry.key(), entry.0.clone())).collect()
    }

    /// How many sessions were forgotten so far; to be asked before one is read from the store.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::SeqCst)
    }

    /// Remembers what was read, unless a session ended since: then it may be this one, read before its end.
    pub(super) fn remember(&self, token: TokenHash, session: Session, forgotten: u64) {
        if self.sessions.len() >= REMEMBERED_MAX {
            self.sessions.retain(|_, entry| entry.1.elapsed() < BELIEVED);
        }
        // The entry's lock keeps `forget` out between the comparison and the insertion.
        let entry = self.sessions.entry(token);
        if self.forgotten() == forgotten {
            entry.insert((session, monotonic()));
        }
    }

    pub(super) fn forget(&self, token: &TokenHash) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.sessions.remove(token);
    }
}
