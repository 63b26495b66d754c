//! Tells of a log that cannot be written: once when it begins, once when it is over.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::store::StoreError;

/// What the administrator was told last.
#[derive(Default)]
pub(super) struct Alarm {
    raised: AtomicBool,
}

/// What is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Raised,
    Over,
}

impl Alarm {
    /// Heeds how the log is now.
    pub(super) fn heed(&self, failure: Option<&StoreError>) -> Option<Change> {
        let fails = failure.is_some();
        if self.raised.load(Ordering::Relaxed) == fails || self.raised.swap(fails, Ordering::Relaxed) == fails
        {
            return None;
        }
        match failure {
            Some(error) => {
                tracing::error!(%error, "the audit log cannot be written: check-outs and check-ins are refused until it can");
                Some(Change::Raised)
            }
            None => {
                tracing::warn!("the audit log can be written again: check-outs and check-ins go on");
                Some(Change::Over)
            }
        }
    }
}
