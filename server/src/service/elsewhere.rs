//! What other processes did in the store: ended sessions (`3s-server user disable`), removed documents, handed homes over.
//!
//! Five times a second the store is asked whether anybody committed anything, which costs a look at one number in shared memory; only
//! when somebody did is it asked which sessions live, and whether homes were changed.

use std::sync::Arc;
use std::time::Duration;

use sss_common::Grantee;
use tokio_util::sync::CancellationToken;

use super::base::Base;
use super::content::cache::ContentCache;
use super::hub::Hub;
use super::waking::Waking;
use super::{Outcome, Service};
use crate::store::MetaStore;

/// The pause between two looks. What another process does is seen here after this and the time of a few queries.
const LOOK: Duration = Duration::from_millis(200);

/// The store's state at a look.
#[derive(Default)]
struct Looked {
    revision: Option<u64>,
    homes: Homes,
}

impl Service {
    /// Ends and tells here what happened elsewhere, and ends sessions whose time is over, until it is cancelled. Failures are
    /// logged, and tried again.
    pub async fn watch(&self, cancel: CancellationToken) {
        let (mut looked, mut works) = (Looked::default(), true);
        while cancel.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            let outcome = self.look_elsewhere(&mut looked).await;
            if let (Err(failure), true) = (&outcome, works) {
                tracing::error!(
                    code = %failure.code, cause = ?failure.cause,
                    "what other processes did cannot be looked for"
                );
            }
            works = outcome.is_ok();
        }
    }

    async fn look_elsewhere(&self, looked: &mut Looked) -> Outcome<()> {
        let revision = Some(self.meta.revision().await?);
        let committed = looked.revision != revision;
        // Sessions first: whose is over hears that, and no other news.
        if committed {
            self.logins.end_what_ended().await?;
        }
        self.logins.end_what_ran_out();
        if committed {
            self.elsewhere.look(&mut looked.homes).await?;
            looked.revision = revision;
        }
        Ok(())
    }
}

/// Hears of what other processes did to homes: then nothing that was opened before is believed any more, every mount asks again,
/// what streams is looked at again, and what was queued is erased.
pub(super) struct Elsewhere {
    meta: Arc<dyn MetaStore>,
    opened: Arc<ContentCache>,
    hub: Arc<Hub>,
    waking: Arc<Waking>,
}

/// How often homes had been changed at a look.
#[derive(Default)]
pub(super) struct Homes(Option<u64>);

impl Elsewhere {
    pub(super) fn new(base: &Base, opened: Arc<ContentCache>, hub: Arc<Hub>, waking: Arc<Waking>) -> Self {
        Elsewhere { meta: base.stores.meta.clone(), opened, hub, waking }
    }

    pub(super) async fn look(&self, looked: &mut Homes) -> Outcome<()> {
        let reordered = self.meta.reordered().await?;
        if looked.0.replace(reordered) != Some(reordered) {
            self.opened.forget_all();
            self.hub.rights_changed(Grantee::All);
            self.waking.wake();
        }
        Ok(())
    }
}
