//! What can be asked of the server. Each call reads as a checklist: authorise, seal, make durable, commit, audit, answer.

pub mod failure;
mod facade;

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use sss_common::wire::fs::{Attr, Effective};
use sss_common::{NodeName, Uid, Version};

use crate::store::{Fingerprint, TokenHash};
pub use failure::{Failure, Outcome};

/// A request's body or a check-out's content, as it streams.
pub type ByteStream = BoxStream<'static, std::io::Result<Bytes>>;

/// Which machine asks, from its certificate, and under which request id.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The certificate's common name.
    pub node: NodeName,
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
    /// Bytes that stay free on the disk: check-ins are refused below.
    pub min_free: u64,
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
            min_free: 64 * 1024 * 1024,
        }
    }
}

/// The server's whole ability, without HTTP.
pub struct Service {
    #[allow(dead_code)]
    stores: crate::store::Stores,
    #[allow(dead_code)]
    vault: Arc<crate::vault::Vault>,
}

#[allow(dead_code)]
fn unused(_: Effective) {}
