//! Revocation lists, handed over to mounts: by them clients know a revoked server. They go by the authority's signature and the
//! list's number, not by who hands it over.

use parking_lot::RwLock;
use sss_common::wire::Empty;
use sss_common::wire::fs::RevocationsResponse;

use super::{Caller, Outcome, Service};

/// The lists that mounts get.
#[derive(Default)]
pub(super) struct Published(RwLock<RevocationsResponse>);

impl Service {
    /// Hands these lists (DER) over from now on, and tells the mounts.
    pub fn publish_revocations(&self, lists: Vec<Vec<u8>>) {
        *self.published.0.write() =
            RevocationsResponse { lists: lists.into_iter().map(Into::into).collect() };
        self.hub.revocations_changed();
    }

    /// The revocation lists that the server goes by.
    pub async fn fs_revocations(&self, _caller: &Caller, _: Empty) -> Outcome<RevocationsResponse> {
        Ok(self.published.0.read().clone())
    }
}
