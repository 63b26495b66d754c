//! What is to happen when a session ends: everything that [`crate::service::held`] gathers says it for itself.

use crate::store::TokenHash;

/// Something that sessions hold.
pub(in crate::service) trait EndsWithSession {
    /// The session is over, however that came: it holds nothing here any more. Again is as good as once.
    fn end_session(&self, session: &TokenHash);
}
