//! Whether what was allowed still is, asked for every piece that passes, in both directions.
//!
//! A download asks as each block is handed out; an upload is dropped as soon as [`Guard::ended`] returns, also while its
//! peer sends nothing. Costs of asking: a look at the session as it was within the last second, at the number of changes
//! to anybody's rights, and at the clock; a query only where one of them has changed.

use std::ops::Deref;
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use tokio::time::timeout;

use super::content::StreamFailed;
use super::{ByteStream, Caller, Failure, Outcome, Service};
use sss_policy::{Act, Allowed};

/// The longest pause between two looks of [`Guard::ended`] when no news come: what another process did to the session, or to
/// the clock, is noticed by then.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// A right and a session, watched for as long as something passes under them.
pub(super) struct Guard<S, A: Act> {
    service: S,
    caller: Caller,
    allowed: Allowed<A>,
    generation: Option<u64>,
}

impl<S: Deref<Target = Service>, A: Act> Guard<S, A> {
    /// `generation` is the rights' from before the proof was made; without it the first question is a query.
    pub(super) fn new(service: S, caller: &Caller, allowed: &Allowed<A>, generation: Option<u64>) -> Self {
        Guard { service, caller: caller.clone(), allowed: allowed.clone(), generation }
    }

    /// Whether it may go on; a refusal is written down as for any call.
    pub(super) async fn ask(&mut self) -> Outcome<()> {
        self.service.logins.still_live(&self.caller).await?;
        // Asked for before the facts: a change behind them asks once more.
        let generation = Some(self.service.hub.generation());
        let now = self.service.now();
        let ended = self.allowed.until().is_some_and(|until| until <= now);
        if ended || generation != self.generation {
            let (node, act) = (self.allowed.node(), self.allowed.act());
            let (_, allowed) = self.service.rights.permit(&self.caller, node, act).await?;
            (self.allowed, self.generation) = (allowed, generation);
        }
        Ok(())
    }

    /// Waits for the end of the right or of the session, and says which it was.
    pub(super) async fn ended(mut self) -> Failure {
        let mut news = self.service.hub.changes();
        loop {
            if let Err(failure) = self.ask().await {
                return failure;
            }
            let left = self.allowed.until().map(|until| until.since(self.service.now()));
            // Silence, or news: in both cases it is asked again.
            let _ = timeout(LOOK_AGAIN.min(left.unwrap_or(LOOK_AGAIN)), news.changed()).await;
        }
    }
}

impl<S, A> Guard<S, A>
where
    S: Deref<Target = Service> + Send + Sync + 'static,
    A: Act,
{
    /// The stream, each piece of it behind the question. What lies ready when the answer is no is dropped.
    ///
    /// Behind this only the transport holds plaintext, and that much cannot be called back. Under HTTP/2 hyper takes a block
    /// (64 KiB) before it asks whether the peer's window has room, and h2 may hold the rest of another: at most two for each
    /// stream. Under HTTP/1 hyper gathers up to `tls::HEAD_MAX` (64 KiB) and one block more. For each connection rustls
    /// holds 64 KiB besides, and the kernel `tls::listener::UNSENT_MAX` that the peer has no room for.
    pub(super) fn over(self, body: ByteStream) -> ByteStream {
        stream::unfold(Some((body, self)), |state| async {
            let (mut body, mut guard) = state?;
            let piece = body.next().await?;
            match guard.ask().await {
                Ok(()) => Some((piece, Some((body, guard)))),
                Err(failure) => Some((Err(std::io::Error::other(StreamFailed(failure))), None)),
            }
        })
        .boxed()
    }
}
