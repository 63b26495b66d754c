//! Streams to a mount when it is to ask again.

use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt};
use sss_common::wire::fs::Event;

use crate::service::{Caller, Outcome, Service};

impl Service {
    /// What happens to the caller's rights, until its session ends. The first event comes at once.
    /// With each sign of life the session is looked at again: it may have run out, or been ended by another process.
    pub async fn fs_events(self: &Arc<Self>, caller: &Caller) -> Outcome<BoxStream<'static, Event>> {
        let news = self.hub.listen(caller.token, caller.uid.clone());
        let watched = stream::unfold(Some((news, self.clone(), caller.clone(), true)), |state| async move {
            let (mut news, service, caller, greeting) = state?;
            let event = news.next().await?;
            if greeting || !matches!(event, Event::Alive { .. }) {
                return Some((event, Some((news, service, caller, false))));
            }
            match service.logins.still_live(&caller).await {
                Err(failure) if failure.code.status() == 401 => {
                    Some((Event::SessionEnded { reason: failure.detail }, None))
                }
                _ => Some((event, Some((news, service, caller, false)))),
            }
        });
        Ok(watched.boxed())
    }
}

#[cfg(any(test, feature = "twins"))]
impl Service {
    /// Tells everyone who listens how often there is a sign of life (in milliseconds), behind what was told before.
    pub fn say_alive(&self, every_ms: u64) {
        self.hub.say_alive(every_ms);
    }
}
