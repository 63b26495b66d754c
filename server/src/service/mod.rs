//! What can be asked of the server. Each call reads as a checklist: authorise, seal, make durable, commit, audit, answer.

mod audit;
mod base;
mod content;
mod documents;
mod elsewhere;
pub mod failure;
mod guard;
mod held;
mod hub;
mod logins;
mod names;
mod paths;
mod revocations;
mod rights;
mod settings;
mod sharing;
mod signing;
mod timekeeping;
mod upkeep;
mod waking;

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use sss_common::login::ServerKey;
use sss_common::wire::fs::Attr;
use sss_common::{Clock, MachineName, Timestamp, Uid, Version};

use crate::store::{Fingerprint, MetaStore, Stores, TokenHash};
use audit::AuditLog;
use base::Base;
pub use content::StreamFailed;
use content::{Contents, cache::ContentCache};
use elsewhere::Elsewhere;
pub use failure::{Failure, Outcome};
use held::Held;
pub use held::outcomes::CheckinId;
use hub::Hub;
pub use logins::Logins;
use revocations::Published;
use rights::Rights;
pub use settings::Settings;
pub use sharing::Sharing;
use sss_vault::Vault;
pub use timekeeping::{StoreClock, Timekeeper};
pub use upkeep::{StoredKeys, Upkeep, deletion_log, erase_all, receipt_of};
use waking::Waking;

/// A request's body or a check-out's content, as it streams.
pub type ByteStream = BoxStream<'static, std::io::Result<Bytes>>;

/// Which machine asks, from its certificate, and under which request id.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The certificate's common name.
    pub machine: MachineName,
    /// SHA-256 of the certificate.
    pub certificate: Fingerprint,
    /// Whom the certificate serves.
    pub serves: Serves,
    /// The key that this server showed it on the connection.
    pub server: ServerKey,
    /// For the answer's `request_id`, the log and the audit log.
    pub request_id: String,
}

/// Who may log in with a machine's certificate. It takes the user's key too: this is so that a key alone is worth nothing on
/// another user's machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serves {
    /// The certificate names no user.
    Anyone,
    /// It names this one.
    Only(Uid),
    /// It names somebody who can be no user, or several.
    Nobody,
}

impl Serves {
    /// Whether this user may come with it.
    pub fn includes(&self, uid: &Uid) -> bool {
        match self {
            Serves::Anyone => true,
            Serves::Only(named) => named == uid,
            Serves::Nobody => false,
        }
    }
}

/// Who asks: made by [`Logins::authenticate`] only.
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

/// The server's whole ability, without HTTP.
pub struct Service {
    /// Who logs in.
    pub logins: Logins,
    /// Grants.
    pub sharing: Sharing,
    /// What happens beside the calls.
    pub upkeep: Upkeep,
    elsewhere: Elsewhere,
    meta: Arc<dyn MetaStore>,
    clock: Arc<dyn Clock>,
    audit: Arc<AuditLog>,
    rights: Arc<Rights>,
    contents: Contents,
    held: Arc<Held>,
    hub: Arc<Hub>,
    waking: Arc<Waking>,
    published: Published,
}

impl Service {
    /// A service on these stores and keys. Run [`Upkeep::run`] beside it.
    pub fn new(stores: Stores, vault: Arc<Vault>, clock: Arc<dyn Clock>, settings: Settings) -> Arc<Self> {
        let base = Base::new(stores, vault, clock, settings);
        let (rights, held, hub) =
            (Arc::new(Rights::new(&base)), Arc::<Held>::default(), Arc::<Hub>::default());
        let (waking, opened) = (Arc::<Waking>::default(), Arc::<ContentCache>::default());
        Arc::new(Service {
            logins: Logins::new(&base, held.clone(), hub.clone()),
            sharing: Sharing::new(&base, rights.clone(), hub.clone(), waking.clone()),
            upkeep: Upkeep::new(&base, opened.clone(), held.clone(), waking.clone()),
            elsewhere: Elsewhere::new(&base, opened.clone(), hub.clone(), waking.clone()),
            contents: Contents::new(&base, opened, held.clone(), waking.clone()),
            meta: base.stores.meta,
            clock: base.clock,
            audit: base.audit,
            rights,
            held,
            hub,
            waking,
            published: Published::default(),
        })
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

#[cfg(test)]
mod tests;
