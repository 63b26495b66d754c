//! What can be asked of the server. Each call reads as a checklist: authorise, seal, make durable, commit, audit, answer.

mod assemble;
mod attributes;
mod audit;
mod challenges;
mod checkin;
mod checkout;
mod content;
mod create;
pub mod deletion_log;
mod digests;
mod documents;
mod editors;
mod erasing;
mod events;
pub mod failure;
mod grants;
mod held;
mod keys;
mod maintenance;
mod names;
mod outcomes;
mod pins;
mod receipt;
mod remove;
mod rename;
mod session;
mod session_end;
mod throttle;
mod vacated;
mod versions;

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use sss_common::wire::fs::Attr;
use sss_common::{Clock, MachineName, Timestamp, Uid, Version};
use tokio::sync::Notify;

use crate::store::{Fingerprint, MetaStore, Stores, TokenHash};
use challenges::Challenges;
use content::ContentCache;
pub use content::StreamFailed;
use deletion_log::DeletionLog;
pub use erasing::erase_all;
use events::Hub;
pub use failure::{Failure, Outcome};
use held::Held;
pub use keys::StoredKeys;
pub use outcomes::CheckinId;
use session::SessionCache;
use sss_vault::Vault;
use throttle::Throttle;

/// A request's body or a check-out's content, as it streams.
pub type ByteStream = BoxStream<'static, std::io::Result<Bytes>>;

/// Which machine asks, from its certificate, and under which request id.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The certificate's common name.
    pub machine: MachineName,
    /// SHA-256 of the certificate.
    pub certificate: Fingerprint,
    /// For the answer's `request_id`, the log and the audit log.
    pub request_id: String,
}

/// Who asks: made by [`Service::authenticate`] only.
#[derive(Clone, Debug)]
pub struct Caller {
    pub(in crate::service) uid: Uid,
    pub(in crate::service) token: TokenHash,
    pub(in crate::service) peer: Peer,
}

impl Caller {
    /// The user.
    pub fn uid(&self) -> &Uid {
        &self.uid
    }
}

/// What a PUT demands of the present state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing: replace what is there, or create.
    None,
    /// `If-Match: "3"`.
    Version(Version),
    /// `If-None-Match: *`.
    Absent,
}

/// The bytes that a GET asks for (RFC 9110, section 14.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeRequest {
    /// All of it.
    All,
    /// `first-` or `first-last`, both inclusive.
    From(u64, Option<u64>),
    /// `-count`.
    Last(u64),
}

/// A check-out that is about to stream.
pub struct Checkout {
    /// What it is; `attr.version` is the version that streams.
    pub attr: Attr,
    /// First byte that streams.
    pub start: u64,
    /// How many bytes stream.
    pub length: u64,
    /// The version's size.
    pub size: u64,
    /// The bytes.
    pub body: ByteStream,
}

/// Limits and habits of the service, from the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A grant's length when none is given.
    pub default_ttl: std::time::Duration,
    /// The longest that a grant may be.
    pub max_ttl: std::time::Duration,
    /// A session's length.
    pub session_ttl: std::time::Duration,
    /// Sessions that a user may have at once; 1 is the contract's default.
    pub sessions_per_user: usize,
    /// How long a challenge serves.
    pub challenge_ttl: std::time::Duration,
    /// Failed logins of one uid from one machine before it is slowed down.
    pub login_failures: u32,
    /// The first wait then; it doubles with each further failure.
    pub login_delay: std::time::Duration,
    /// The longest wait.
    pub login_delay_max: std::time::Duration,
    /// Largest document in bytes; at most `limits::DOCUMENT_MAX`.
    pub document_max: u64,
    /// How long a superseded version is kept when nobody pins it.
    pub keep_superseded: std::time::Duration,
    /// How long an erasure of keys waits for others to go with it. Zero: a removal returns once its keys are erased.
    pub erase_delay: std::time::Duration,
    /// Bytes that stay free on the disk: check-ins are refused below.
    pub min_free: u64,
    /// How long rows of the audit log are kept; `None`: for ever.
    pub audit_keep: Option<std::time::Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        use std::time::Duration;
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

/// The server's whole ability, without HTTP.
pub struct Service {
    stores: Stores,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    challenges: Challenges,
    throttle: Throttle,
    sessions: SessionCache,
    held: Held,
    hub: Hub,
    contents: ContentCache,
    /// Something may be there to reclaim.
    work: Notify,
    /// Keys are queued for erasure.
    erase: Notify,
    /// Held by who erases.
    erasing: tokio::sync::Mutex<()>,
    /// The deletion log's copy on another medium.
    deletion_log: std::sync::OnceLock<DeletionLog>,
    /// Whether the audit log can be written, as the administrator was told.
    alarm: audit::Alarm,
}

impl Service {
    /// A service on these stores and keys. Run [`Service::run_maintenance`] beside it.
    pub fn new(stores: Stores, vault: Arc<Vault>, clock: Arc<dyn Clock>, settings: Settings) -> Arc<Self> {
        let throttle = Throttle::new(settings.login_failures, settings.login_delay, settings.login_delay_max);
        Arc::new(Service {
            stores,
            vault,
            clock,
            settings,
            challenges: Challenges::default(),
            throttle,
            sessions: SessionCache::default(),
            held: Held::default(),
            hub: Hub::default(),
            contents: ContentCache::default(),
            work: Notify::new(),
            erase: Notify::new(),
            erasing: tokio::sync::Mutex::new(()),
            deletion_log: std::sync::OnceLock::new(),
            alarm: audit::Alarm::default(),
        })
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Something was removed, replaced or unpinned.
    fn has_work(&self) {
        self.erase.notify_one();
        self.work.notify_one();
    }

    fn meta(&self) -> &dyn MetaStore {
        &*self.stores.meta
    }
}

#[cfg(test)]
mod tests;
