//! Superseded versions go when nobody reads them any more. Who holds one needs a session that lives and the right to read: with
//! either the pin goes, so that nobody who was shut out keeps a key from being erased.
//!
//! Costs: a query for each session that holds anything, and one for each user and document of which a superseded version is
//! held, at most [`BATCH`] in a round; they begin anywhere among those that are held.

use std::collections::HashMap;

use sss_common::{NodeId, Timestamp, Uid, Version};

use super::{BATCH, Upkeep};
use crate::service::Outcome;
use crate::service::logins::over;
use crate::store::TokenHash;
use sss_failpoint as failpoint;
use sss_policy::{Checkout, decide};

/// Who may go on reading what, as far as it was asked in this round.
type Asked = HashMap<(Uid, NodeId), bool>;

impl Upkeep {
    /// Drops what is superseded and held by nobody who may read it.
    pub(super) async fn drop_unread(&self) -> Outcome<()> {
        let readers = self.readers().await?;
        let keep = i64::try_from(self.keep_superseded.as_millis()).unwrap_or(i64::MAX);
        let before = Timestamp(self.clock.now().millis().saturating_sub(keep));
        let (mut limit, mut asked) = (BATCH, Asked::new());
        let unread = loop {
            let old = self.meta.superseded(before, limit).await?;
            let last = old.len() < limit;
            let unread = self.unread(old, &readers, &mut asked).await?;
            if !unread.is_empty() {
                break unread;
            }
            if last {
                return Ok(());
            }
            // All of these are held: what lies behind them may not be.
            limit *= 2;
        };
        self.meta.drop_versions(&unread).await?;
        failpoint::at("versions.dropped");
        self.waking.erase.notify_one();
        for (node, _) in unread {
            self.opened.forget(node);
        }
        Ok(())
    }

    /// The sessions that hold anything, and whose they are. One that ran out, or that another process ended, holds nothing.
    async fn readers(&self) -> Outcome<HashMap<TokenHash, Uid>> {
        let mut readers = HashMap::new();
        for token in self.held.pins.sessions() {
            match self.meta.session(&token).await? {
                Some(session) if over(&session, self.clock.now()).is_none() => {
                    readers.insert(token, session.uid);
                }
                _ => self.held.end_session(&token),
            }
        }
        Ok(readers)
    }

    /// Those versions that nobody holds, after the pins of who may not read them any more have gone.
    async fn unread(
        &self,
        mut old: Vec<(NodeId, Version)>,
        readers: &HashMap<TokenHash, Uid>,
        asked: &mut Asked,
    ) -> Outcome<Vec<(NodeId, Version)>> {
        let held: Vec<_> =
            old.iter().flat_map(|(node, version)| self.held.pins.holders(*node, *version)).collect();
        if !held.is_empty() {
            let anywhere = NodeId::random().0;
            // Anywhere: whoever holds much does not always come first.
            let first = usize::from_le_bytes(*anywhere.first_chunk().unwrap_or(&[0; 8])) % held.len();
            for pin in held.iter().cycle().skip(first).take(held.len()) {
                // Who has come since the sessions were looked at has just been allowed to.
                let Some(uid) = readers.get(&pin.session) else { continue };
                let question = (uid.clone(), pin.node);
                let reads = match asked.get(&question) {
                    Some(reads) => *reads,
                    None if asked.len() >= BATCH => continue,
                    None => {
                        let reads = self.may_hold(uid, pin.node).await?;
                        asked.insert(question, reads);
                        reads
                    }
                };
                if !reads {
                    self.held.pins.take(pin);
                }
            }
        }
        old.retain(|(node, version)| !self.held.pins.is_pinned(*node, *version));
        Ok(old)
    }

    /// Whether the user may go on reading what he opened and what was replaced since. Who made a document and has no right there any more
    /// reads what he saved last, and nothing older: that is a right with a beginning and without an end.
    async fn may_hold(&self, uid: &Uid, node: NodeId) -> Outcome<bool> {
        let now = self.clock.now();
        let Some(seen) = self.meta.node(node, uid, now).await? else { return Ok(false) };
        let allowed = decide(&seen.facts, Checkout, now);
        Ok(allowed.is_ok_and(|allowed| allowed.since().is_none() || allowed.until().is_some()))
    }
}
