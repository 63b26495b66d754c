//! Why a call failed: a stable code and public words for the client, the cause for the log.

use sss_common::Code;

/// A call's outcome.
pub type Outcome<T> = Result<T, Failure>;

/// A failure. `detail` goes to the client and never reveals a hidden document; `cause` goes to the log only.
#[derive(Debug)]
pub struct Failure {
    /// What programs decide by.
    pub code: Code,
    /// What a person reads.
    pub detail: String,
    /// For the log.
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// Seconds to wait, for `throttled` and `unavailable`.
    pub retry_after: Option<u64>,
}

impl Failure {
    /// A failure with public words.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Failure { code, detail: detail.into(), cause: None, retry_after: None }
    }
}
