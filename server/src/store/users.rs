//! Users and their sessions.

use async_trait::async_trait;
use sss_common::{Timestamp, Uid};

use super::{AuditRow, NewSession, NewUser, Result, Session, TokenHash, User};

/// Users and their sessions. Every method is one transaction; see [`super::MetaStore`].
#[async_trait]
pub trait Users: Send + Sync {
    /// Adds a user and an empty home, mode 0700; `Exists` when the uid is taken, or was and its user was removed.
    async fn add_user(&self, user: NewUser, audit: AuditRow) -> Result<()>;
    /// One user.
    async fn user(&self, uid: &Uid) -> Result<Option<User>>;
    /// All users in order.
    async fn users(&self) -> Result<Vec<User>>;
    /// Disables or enables; `NotFound` for an unknown uid. A disabled user's sessions end.
    async fn set_disabled(&self, uid: &Uid, disabled: bool, audit: AuditRow) -> Result<()>;
    /// Replaces a user's public key, SPKI in PEM; `NotFound` for an unknown uid. The user's sessions end.
    async fn set_key(&self, uid: &Uid, public_key: &str, audit: AuditRow) -> Result<()>;
    /// Stores a session and replaces the user's oldest live ones beyond `keep` (at least 1, the new one included).
    /// Returns the token hashes of those that it replaced, oldest first. `NotFound` for an unknown or disabled user, or one
    /// who has another key by now,
    /// `Exists` for a token that is there. Rows of sessions that ended, or ran out, more than a day ago are dropped.
    async fn begin_session(
        &self,
        session: NewSession,
        keep: usize,
        audit: AuditRow,
    ) -> Result<Vec<TokenHash>>;
    /// A session, live, run out or ended; those of a disabled user have ended.
    async fn session(&self, token: &TokenHash) -> Result<Option<Session>>;
    /// The sessions that nothing has ended, those that ran out among them.
    async fn live_sessions(&self) -> Result<Vec<TokenHash>>;
    /// A number that is another one once anybody has committed anything since, also another process. Cheap enough to be
    /// asked all the time.
    async fn revision(&self) -> Result<u64>;
    /// Ends a session by logout; one that is not there or has ended is passed over.
    async fn end_session(&self, token: &TokenHash, now: Timestamp, audit: AuditRow) -> Result<()>;
}
