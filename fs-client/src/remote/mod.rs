//! The server, as the mount sees it: one narrow trait, its HTTPS implementation, and twins for tests. The
//! plain calls come from the table in `sss_common::wire::calls`.

#[cfg(any(test, feature = "twins"))]
pub mod fault;
#[cfg(any(test, feature = "twins"))]
pub mod memory;
pub mod retries;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use sss_common::wire::calls::*;
use sss_common::{Code, NodeId, Uid, Version, fs_calls};

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
    /// No answer within the deadline, or no connection. A call that changes something may or may not have
    /// happened.
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

macro_rules! calls {
    (
        plain { $(
            $(#[$doc:meta])*
            $name:ident($request:ty) -> $answer:ty, $lifetime:ident, $($repeat:ident)::+;
        )* }
        streamed { $($streamed:tt)* }
    ) => {
        /// The plain calls of the table `sss_common::wire::calls`. Each is one round trip with a deadline.
        #[async_trait]
        pub trait Calls: Send + Sync {
            $(
                $(#[$doc])*
                async fn $name(&self, request: $request) -> Result<$answer>;
            )*
        }
    };
}

fs_calls!(calls);

/// What the mount asks of the server: the plain calls, and those that carry bytes or last.
#[async_trait]
pub trait Remote: Calls {
    /// Who is logged in.
    fn uid(&self) -> &Uid;
    /// Bytes of a version; fewer than asked for only at its end.
    async fn read(&self, pin: Pin, offset: u64, length: usize) -> Result<Bytes>;
    /// Makes a new version on top of `base` and returns once it is durable. `version_moved` when `base` is
    /// not current any more. The implementation gives each call an id, so that its own repetition is not
    /// taken for a conflict.
    async fn checkin(&self, node: NodeId, base: Version, body: CheckinBody) -> Result<Attr>;
    /// What happens to my rights, as it happens. Ends when the connection breaks; call it again then.
    async fn events(&self) -> Result<BoxStream<'static, Event>>;
    /// Ends the session.
    async fn logout(&self) -> Result<()>;
}
