//! Sessions that end without a call of this server: another process disabled their user, or their time is over.
//!
//! The store is asked whether anybody committed anything, which costs a look at one number in shared memory; only when
//! somebody did is it asked which sessions live.

use std::collections::HashSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Logins, over};
use crate::service::Outcome;
use crate::store::TokenHash;

/// The pause between two looks. What another process ends is over here after this and the time of two queries.
const LOOK: Duration = Duration::from_millis(200);

impl Logins {
    /// Ends here what ended elsewhere, until it is cancelled. Failures are logged, and tried again.
    pub async fn watch(&self, cancel: CancellationToken) {
        let (mut seen, mut works) = (None, true);
        while cancel.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            let looked = self.look(&mut seen).await;
            if let (Err(failure), true) = (&looked, works) {
                tracing::error!(code = %failure.code, cause = ?failure.cause, "ended sessions cannot be looked for");
            }
            works = looked.is_ok();
        }
    }

    /// One look; `seen` is the store's revision of the last one.
    async fn look(&self, seen: &mut Option<u64>) -> Outcome<()> {
        let revision = self.meta.revision().await?;
        if *seen != Some(revision) {
            self.end_what_ended().await?;
            *seen = Some(revision);
        }
        let now = self.clock.now();
        for (token, session) in self.sessions.believed() {
            if let Some(why) = over(&session, now) {
                self.end(token, why.detail);
            }
        }
        Ok(())
    }

    /// Every session that is believed to live and does not any more is over here too: what it holds, what streams under
    /// it, and its events, which say why.
    pub(in crate::service) async fn end_what_ended(&self) -> Outcome<()> {
        let believed = self.sessions.believed();
        if believed.is_empty() {
            return Ok(());
        }
        let live: HashSet<TokenHash> = self.meta.live_sessions().await?.into_iter().collect();
        for (token, _) in believed.into_iter().filter(|(token, _)| !live.contains(token)) {
            let session = self.meta.session(&token).await?;
            let why = session.and_then(|session| over(&session, self.clock.now()));
            self.end(token, why.map_or_else(|| "the session is not known any more".into(), |why| why.detail));
        }
        Ok(())
    }
}
