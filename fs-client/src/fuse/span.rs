//! A tracing span for each request of the kernel, at level `debug` of the target `sss_fs_client::fuse`.
//!
//! The span has the operation, the inode that it is about and the kernel's own number of the request;
//! everything that is logged on the way stands in it. Its last line says how long the request took, in
//! microseconds, and with which errno it ended (0: well). While the level is off a request costs one
//! comparison.

use std::future::Future;
use std::time::Instant;

use sss_common::clock::monotonic;

use fuser::{Errno, INodeNo, Request};
use tracing::{Instrument, Span};

/// What the program hears.
pub(super) type Outcome = Result<(), Errno>;

/// The span of one request.
pub(super) struct RequestSpan(Span);

impl RequestSpan {
    pub(super) fn new(operation: &'static str, request: &Request, ino: INodeNo) -> Self {
        RequestSpan(tracing::debug_span!("request", operation, ino = ino.0, unique = request.unique().0))
    }

    /// Answers at once.
    pub(super) fn enter(self, answer: impl FnOnce() -> Outcome) {
        if self.0.is_disabled() {
            let _ = answer();
            return;
        }
        let began = monotonic();
        self.0.in_scope(|| ended(began, answer()));
    }

    /// Answers in a task.
    pub(super) async fn cover(self, answer: impl Future<Output = Outcome>) {
        if self.0.is_disabled() {
            let _ = answer.await;
            return;
        }
        let began = monotonic();
        async { ended(began, answer.await) }.instrument(self.0).await;
    }
}

fn ended(began: Instant, outcome: Outcome) {
    let errno = outcome.err().map_or(0, |errno| errno.code());
    let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    tracing::debug!(errno, micros, "answered");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is logged up to `level` while `call` runs.
    fn logged(level: tracing::Level, call: impl FnOnce()) -> String {
        let lines = Lines::default();
        let sink = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .with_writer(move || sink.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, call);
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    fn span() -> RequestSpan {
        RequestSpan(tracing::debug_span!("request", operation = "read", ino = 7, unique = 12))
    }

    #[test]
    fn a_request_says_how_it_ended_and_how_long_it_took() {
        let at_once = logged(tracing::Level::DEBUG, || span().enter(|| Err(Errno::EIO)));
        let in_a_task = logged(tracing::Level::DEBUG, || {
            futures::executor::block_on(span().cover(async { Err(Errno::EIO) }));
        });
        for line in [at_once, in_a_task] {
            assert!(line.contains("operation=\"read\" ino=7 unique=12"), "{line}");
            assert!(line.contains("errno=5 micros="), "{line}");
            assert_eq!(line.lines().count(), 1, "{line}");
        }
    }

    #[test]
    fn nothing_is_said_while_the_level_is_off() {
        let said = logged(tracing::Level::INFO, || {
            span().enter(|| Ok(()));
            futures::executor::block_on(span().cover(async { Ok(()) }));
        });
        assert_eq!(said, "");
    }
}
