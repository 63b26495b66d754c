//! The server, as the mount sees it: one narrow trait, its HTTPS implementation, and twins for tests.

pub mod fault;
pub mod memory;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use sss_common::receipt::SignedReceipt;
use sss_common::wire::documents::GrantInfo;
use sss_common::wire::fs::*;
use sss_common::{Code, Flag, Grantee, NodeId, Uid, Version};

pub mod https;

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// The server answered, and this is what it said. A `session_expired` was already answered by one new
    /// login; seen here, it means that no new login was possible, and `detail` says why.
    #[error("{detail}")]
    Refused {
        /// What programs decide by.
        code: Code,
        /// What a person reads; goes to `user.3s.why`.
        detail: String,
        /// The server's name for the request, by which its log has the cause. None when this side decided it.
        request_id: Option<String>,
    },
    /// No answer within the deadline, or no connection. A call that changes something may or may not have happened.
    #[error("{0}")]
    Unreachable(String),
}

impl RemoteError {
    /// A refusal that no request of the server's stands behind.
    pub fn refused(code: Code, detail: impl Into<String>) -> Self {
        RemoteError::Refused { code, detail: detail.into(), request_id: None }
    }
}

/// A call's outcome.
pub type Result<T> = std::result::Result<T, RemoteError>;

/// The body of a check-in, already framed (see `sss_common::framing`).
pub enum CheckinBody {
    /// Complete: can be sent again when the connection breaks.
    Whole(Vec<Bytes>),
    /// Still being written; an `Err` item gives the check-in up, and the server then commits nothing.
    Stream(BoxStream<'static, std::io::Result<Bytes>>),
}

/// What the mount asks of the server. Each call is one round trip unless it says otherwise, has a deadline, and is
/// described with its type in `sss_common::wire::fs`.
#[async_trait]
pub trait Remote: Send + Sync {
    /// Who is logged in.
    fn uid(&self) -> &Uid;
    /// The root of a home.
    async fn home(&self, uid: &Uid) -> Result<Attr>;
    /// Homes with something shared with me.
    async fn homes(&self) -> Result<HomesResponse>;
    /// One name in a folder.
    async fn lookup(&self, request: LookupRequest) -> Result<Attr>;
    /// One node.
    async fn attr(&self, node: NodeId) -> Result<Attr>;
    /// A part of a folder.
    async fn list(&self, request: ListRequest) -> Result<ListResponse>;
    /// A new document, folder or link. Not repeated after a broken connection.
    async fn create(&self, request: CreateRequest) -> Result<CreateResponse>;
    /// Checks out and pins.
    async fn open(&self, request: OpenRequest) -> Result<Attr>;
    /// Gives pins back.
    async fn close(&self, request: CloseRequest) -> Result<()>;
    /// Bytes of a version; fewer than asked for only at its end.
    async fn read(&self, pin: Pin, offset: u64, length: usize) -> Result<Bytes>;
    /// Makes a new version on top of `base` and returns once it is durable. `version_moved` when `base` is
    /// not current any more. The implementation gives each call an id, so that its own repetition is not taken for a conflict.
    async fn checkin(&self, node: NodeId, base: Version, body: CheckinBody) -> Result<Attr>;
    /// Mode and time.
    async fn setattr(&self, request: SetAttrRequest) -> Result<Attr>;
    /// Moves, or checks in onto what stands there.
    async fn rename(&self, request: RenameRequest) -> Result<RenameResponse>;
    /// Deletes.
    async fn remove(&self, request: RemoveRequest) -> Result<()>;
    /// Other attributes.
    async fn xattrs(&self, node: NodeId) -> Result<XattrsResponse>;
    /// Sets one.
    async fn setxattr(&self, request: SetXattrRequest) -> Result<()>;
    /// Removes one.
    async fn removexattr(&self, request: RemoveXattrRequest) -> Result<()>;
    /// Grants on a node.
    async fn grants(&self, node: NodeId) -> Result<GrantsResponse>;
    /// Sets a grant.
    async fn grant(&self, request: SetGrantRequest) -> Result<GrantInfo>;
    /// Takes a grant back.
    async fn revoke(&self, node: NodeId, grantee: Grantee) -> Result<()>;
    /// Sets the protection.
    async fn setflag(&self, node: NodeId, flag: Flag) -> Result<Attr>;
    /// A version's record and signature.
    async fn record(&self, request: RecordRequest) -> Result<RecordResponse>;
    /// What the server signs about a document that is deleted. Waits until its keys are erased.
    async fn receipt(&self, document: NodeId) -> Result<SignedReceipt>;
    /// Room on the server.
    async fn statfs(&self) -> Result<StatfsResponse>;
    /// What happens to my rights, as it happens. Ends when the connection breaks; call it again then.
    async fn events(&self) -> Result<BoxStream<'static, Event>>;
    /// Ends the session.
    async fn logout(&self) -> Result<()>;
}
