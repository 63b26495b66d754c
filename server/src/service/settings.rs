//! Limits and habits of the service.

use std::time::Duration;

/// From the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A grant's length when none is given.
    pub default_ttl: Duration,
    /// The longest that a grant may be.
    pub max_ttl: Duration,
    /// A session's length.
    pub session_ttl: Duration,
    /// Sessions that a user may have at once; 1 is the contract's default.
    pub sessions_per_user: usize,
    /// How long a challenge serves.
    pub challenge_ttl: Duration,
    /// Failed logins of one uid from one machine before it is slowed down.
    pub login_failures: u32,
    /// The first wait then; it doubles with each further failure.
    pub login_delay: Duration,
    /// The longest wait.
    pub login_delay_max: Duration,
    /// Largest document in bytes; at most `limits::DOCUMENT_MAX`.
    pub document_max: u64,
    /// How long a superseded version is kept when nobody pins it.
    pub keep_superseded: Duration,
    /// How long an erasure of keys waits for others to go with it. Zero: a removal returns once its keys are erased.
    pub erase_delay: Duration,
    /// Bytes that stay free on the disk: check-ins are refused below.
    pub min_free: u64,
    /// How long rows of the audit log are kept; `None`: for ever.
    pub audit_keep: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            default_ttl: Duration::from_secs(24 * 3600),
            max_ttl: Duration::from_secs(366 * 24 * 3600),
            session_ttl: Duration::from_secs(12 * 3600),
            sessions_per_user: 1,
            challenge_ttl: Duration::from_secs(60),
            login_failures: 5,
            login_delay: Duration::from_secs(1),
            login_delay_max: Duration::from_secs(300),
            document_max: sss_common::limits::DOCUMENT_MAX,
            keep_superseded: Duration::from_secs(60),
            erase_delay: Duration::from_millis(200),
            min_free: 64 * 1024 * 1024,
            audit_keep: None,
        }
    }
}
