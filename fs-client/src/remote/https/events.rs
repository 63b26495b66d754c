//! The event stream: JSON lines, one connection of its own for as long as it holds.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures::stream::{self, BoxStream, StreamExt};
use reqwest::{Method, Response};
use sss_common::Code;
use sss_common::wire::calls::{Event, call};
use tokio::sync::Notify;

use super::session::{Session, Token, Verdict};
use super::{Https, answer};
use crate::remote::{RemoteError, Result};

/// Longest line.
pub const LINE_MAX: usize = 64 * 1024;

/// Longest silence before the server said how often it speaks. Nothing above watches the stream for silence
/// again.
const FIRST_SILENCE_MAX: Duration = Duration::from_secs(10);

/// Silences of this many announced intervals mean a broken connection.
const MISSED_MAX: u32 = 3;

impl Https {
    pub(super) async fn event_stream(&self) -> Result<BoxStream<'static, Event>> {
        let attempt = |token: Arc<Token>| async move {
            let exchange = async {
                let request = self.signed(Method::GET, call::events.url.path, &token);
                answer::successful(&self.transport, self.transport.send(request).await?).await
            };
            Ok((self.transport.within(exchange).await?, token.clone()))
        };
        let (response, token) = self.attempts((call::events.repeat)(&()), attempt).await?;
        let listener = Listener {
            response,
            lines: Lines::default(),
            silence_max: FIRST_SILENCE_MAX,
            session: self.session.clone(),
            token,
            revocations: self.revocations.clone(),
        };
        // What changed while nobody listened is not told again.
        self.revocations.notify_one();
        Ok(stream::unfold(listener, |mut listener| async {
            let event = listener.next().await?;
            Some((event, listener))
        })
        .boxed())
    }
}

struct Listener {
    response: Response,
    lines: Lines,
    silence_max: Duration,
    session: Arc<Session>,
    token: Arc<Token>,
    revocations: Arc<Notify>,
}

impl Listener {
    /// The next event; `None` when the stream is over, broken, silent for too long, or of a session that has
    /// been renewed.
    async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some(line) = self.lines.next()? {
                // A kind of event that a newer server knows is passed over.
                if let Ok(event) = serde_json::from_slice::<Event>(&line) {
                    return self.noted(event);
                }
            }
            let chunk = tokio::time::timeout(self.silence_max, self.response.chunk()).await.ok()?.ok()??;
            self.lines.push(&chunk);
        }
    }

    /// Draws the consequences for the session.
    fn noted(&mut self, event: Event) -> Option<Event> {
        match &event {
            Event::Alive { every_ms } => {
                self.silence_max = Duration::from_millis((*every_ms).max(1)).saturating_mul(MISSED_MAX);
            }
            Event::SessionReplaced { by_node } => {
                let error = RemoteError::refused(
                    Code::SessionReplaced,
                    format!("the session was replaced by a newer login from node {by_node}"),
                );
                // The own new login replaces the old session too; that is no end.
                if self.session.refused(&self.token, &error) == Verdict::Again {
                    return None;
                }
            }
            Event::SessionEnded { .. } => self.session.forget(&self.token),
            Event::RevocationsChanged => self.revocations.notify_one(),
            Event::RightsChanged => {}
        }
        Some(event)
    }
}

/// Splits chunks into lines.
#[derive(Default)]
struct Lines(BytesMut);

impl Lines {
    fn push(&mut self, chunk: &[u8]) {
        self.0.extend_from_slice(chunk);
    }

    /// `Some(None)`: more must come first. `None`: a line is too long.
    fn next(&mut self) -> Option<Option<Bytes>> {
        match self.0.iter().position(|&byte| byte == b'\n') {
            Some(at) if at > LINE_MAX => None,
            Some(at) => {
                let line = self.0.split_to(at).freeze();
                self.0.advance(1);
                Some(Some(line))
            }
            None if self.0.len() > LINE_MAX => None,
            None => Some(None),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_that_does_not_end_is_not_gathered_for_ever() {
        let mut lines = Lines::default();
        lines.push(&vec![b'x'; LINE_MAX]);
        assert_eq!(lines.next(), Some(None));
        lines.push(b"x");
        assert_eq!(lines.next(), None);
    }

    proptest! {
        #[test]
        fn lines_survive_any_chunking(
            lines in proptest::collection::vec("[a-z]{0,9}", 0..6),
            cut in 1usize..9,
        ) {
            let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
            let mut splitter = Lines::default();
            let mut seen = Vec::new();
            for chunk in text.as_bytes().chunks(cut) {
                splitter.push(chunk);
                while let Some(line) = splitter.next().unwrap() {
                    seen.push(String::from_utf8(line.to_vec()).unwrap());
                }
            }
            prop_assert_eq!(seen, lines);
        }
    }
}
