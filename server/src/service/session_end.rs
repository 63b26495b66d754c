//! What is to happen when a session ends: everything that [`super::held`] gathers says it for itself.

use crate::store::TokenHash;

/// Something that sessions hold.
pub(super) trait EndsWithSession {
    /// The session is over, however that came: it holds nothing here any more. Again is as good as once.
    fn end_session(&self, session: &TokenHash);
}
