//! Tells mounts what happens to their rights and sessions.

use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use sss_common::wire::fs::Event;
use sss_common::{Grantee, MachineName, Uid};
use tokio::sync::{broadcast, watch};

use crate::store::{Audience, TokenHash};

/// The longest silence on an event stream.
const ALIVE_EVERY: Duration = Duration::from_secs(5);

/// Events that a slow listener may fall behind; it is then told that everything may have changed.
const BACKLOG: usize = 1024;

#[derive(Clone, Debug)]
enum News {
    Rights(Audience),
    Revocations,
    Replaced(TokenHash, MachineName),
    Ended(TokenHash, String),
    #[cfg(any(test, feature = "twins"))]
    Alive(u64),
}

/// Where news are told.
pub(super) struct Hub {
    sender: broadcast::Sender<News>,
    generation: watch::Sender<u64>,
}

impl Default for Hub {
    fn default() -> Self {
        Hub { sender: broadcast::channel(BACKLOG).0, generation: watch::Sender::new(0) }
    }
}

impl Hub {
    /// Grows with every change of anybody's rights: who holds an older number asks the policy again.
    pub(super) fn generation(&self) -> u64 {
        *self.generation.borrow()
    }

    /// Wakes whenever the generation grows from now on.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// A grantee's rights changed.
    pub(super) fn rights_changed(&self, grantee: Grantee) {
        self.tell(News::Rights(Audience::of([grantee])));
    }

    /// Something that these could see moved or went away, and with it what they inherit.
    pub(super) fn moved(&self, concerned: Audience) {
        self.tell(News::Rights(concerned));
    }

    /// The lists of revoked certificates may be others.
    pub(super) fn revocations_changed(&self) {
        self.tell(News::Revocations);
    }

    /// A login took a session's place.
    pub(super) fn replaced(&self, session: TokenHash, by_node: MachineName) {
        self.tell(News::Replaced(session, by_node));
    }

    /// A session ended otherwise; why, for people.
    pub(super) fn ended(&self, session: TokenHash, reason: String) {
        self.tell(News::Ended(session, reason));
    }

    /// Tells everyone who listens how often there is a sign of life (in milliseconds), behind what was told before: who has
    /// heard it has heard that.
    #[cfg(any(test, feature = "twins"))]
    pub(super) fn say_alive(&self, every_ms: u64) {
        self.tell(News::Alive(every_ms));
    }

    fn tell(&self, news: News) {
        self.generation.send_modify(|generation| *generation += 1);
        // No listener is no error.
        let _ = self.sender.send(news);
    }

    /// What concerns this session from now on. The first event comes at once.
    pub(super) fn listen(&self, session: TokenHash, user: Uid) -> BoxStream<'static, Event> {
        let listener = Listener {
            news: self.sender.subscribe(),
            session,
            user,
            greeted: false,
            over: false,
            pending: None,
        };
        stream::unfold(listener, |mut listener| async { Some((listener.next().await?, listener)) }).boxed()
    }
}

struct Listener {
    news: broadcast::Receiver<News>,
    session: TokenHash,
    user: Uid,
    greeted: bool,
    over: bool,
    /// To be told next.
    pending: Option<Event>,
}

impl Listener {
    async fn next(&mut self) -> Option<Event> {
        let alive = Event::Alive { every_ms: u64::try_from(ALIVE_EVERY.as_millis()).unwrap_or(u64::MAX) };
        if self.over {
            return None;
        }
        if !std::mem::replace(&mut self.greeted, true) {
            return Some(alive);
        }
        if let Some(event) = self.pending.take() {
            return Some(event);
        }
        let deadline = tokio::time::Instant::now() + ALIVE_EVERY;
        loop {
            let news = match tokio::time::timeout_at(deadline, self.news.recv()).await {
                Err(_) => return Some(alive),
                // Anything may have been among what was missed.
                Ok(Err(broadcast::error::RecvError::Lagged(_))) => {
                    self.pending = Some(Event::RevocationsChanged);
                    return Some(Event::RightsChanged);
                }
                Ok(Err(broadcast::error::RecvError::Closed)) => return None,
                Ok(Ok(news)) => news,
            };
            if let Some(event) = self.concerns_me(news) {
                return Some(event);
            }
        }
    }

    fn concerns_me(&mut self, news: News) -> Option<Event> {
        match news {
            News::Rights(concerned) => concerned.includes(&self.user).then_some(Event::RightsChanged),
            News::Revocations => Some(Event::RevocationsChanged),
            News::Replaced(session, by_node) if session == self.session => {
                self.over = true;
                Some(Event::SessionReplaced { by_node })
            }
            News::Ended(session, reason) if session == self.session => {
                self.over = true;
                Some(Event::SessionEnded { reason })
            }
            News::Replaced(..) | News::Ended(..) => None,
            #[cfg(any(test, feature = "twins"))]
            News::Alive(every_ms) => Some(Event::Alive { every_ms }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_listener_hears_what_concerns_it() {
        let hub = Hub::default();
        let mine = TokenHash([1; 32]);
        let mut events = hub.listen(mine, "bob".parse().unwrap());
        assert!(matches!(events.next().await, Some(Event::Alive { .. })));
        hub.rights_changed(Grantee::User("carol".parse().unwrap()));
        hub.replaced(TokenHash([2; 32]), "client9".parse().unwrap());
        hub.moved(Audience::of([Grantee::User("carol".parse().unwrap())]));
        let both = ["carol", "bob"].map(|uid| Grantee::User(uid.parse().unwrap()));
        hub.moved(Audience::of(both));
        assert_eq!(events.next().await, Some(Event::RightsChanged));
        hub.moved(Audience::of([Grantee::All]));
        hub.revocations_changed();
        hub.replaced(mine, "client2".parse().unwrap());
        assert_eq!(events.next().await, Some(Event::RightsChanged));
        assert_eq!(events.next().await, Some(Event::RevocationsChanged));
        assert_eq!(events.next().await, Some(Event::SessionReplaced { by_node: "client2".parse().unwrap() }));
        assert_eq!(events.next().await, None);
    }

    #[tokio::test]
    async fn who_fell_behind_asks_for_everything() {
        let hub = Hub::default();
        let mut events = hub.listen(TokenHash([1; 32]), "bob".parse().unwrap());
        assert!(matches!(events.next().await, Some(Event::Alive { .. })));
        for _ in 0..2 * BACKLOG {
            hub.rights_changed(Grantee::User("carol".parse().unwrap()));
        }
        assert_eq!(events.next().await, Some(Event::RightsChanged));
        assert_eq!(events.next().await, Some(Event::RevocationsChanged));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_broken_by_signs_of_life() {
        let hub = Hub::default();
        let mut events = hub.listen(TokenHash([1; 32]), "bob".parse().unwrap());
        for _ in 0..3 {
            assert!(matches!(events.next().await, Some(Event::Alive { .. })));
        }
    }
}
