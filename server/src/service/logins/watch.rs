//! Sessions that end without a call of this server: another process disabled their user, or their time is over.

use std::collections::HashSet;

use super::{Logins, over};
use crate::service::Outcome;
use crate::store::TokenHash;

impl Logins {
    /// Sessions whose time is over end here.
    pub(in crate::service) fn end_what_ran_out(&self) {
        let now = self.clock.now();
        for (token, session) in self.sessions.believed() {
            if let Some(why) = over(&session, now) {
                self.end(token, why.detail);
            }
        }
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
