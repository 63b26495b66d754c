//! What an administrator's command did to homes, in another process: removed documents, or handed them over.
//!
//! As with sessions, the store is asked whether anybody committed anything, and only then whether that was such a change. Then
//! nothing that was opened before is believed any more, every mount asks again, what streams is looked at again, and
//! what was queued is erased.

use std::sync::Arc;
use std::time::Duration;

use sss_common::Grantee;
use tokio_util::sync::CancellationToken;

use super::Outcome;
use super::base::Base;
use super::content::cache::ContentCache;
use super::hub::Hub;
use super::waking::Waking;
use crate::store::MetaStore;

/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// Hears of what other processes did to homes.
pub struct Elsewhere {
    meta: Arc<dyn MetaStore>,
    opened: Arc<ContentCache>,
    hub: Arc<Hub>,
    waking: Arc<Waking>,
}

/// The store's state at a look.
#[derive(Default)]
pub(super) struct Looked {
    revision: Option<u64>,
    reordered: Option<u64>,
}

impl Elsewhere {
    pub(super) fn new(base: &Base, opened: Arc<ContentCache>, hub: Arc<Hub>, waking: Arc<Waking>) -> Self {
        Elsewhere { meta: base.stores.meta.clone(), opened, hub, waking }
    }

    /// Looks until it is cancelled. Failures are logged, and tried again.
    pub async fn watch(&self, cancel: CancellationToken) {
        let (mut looked, mut works) = (Looked::default(), true);
        while cancel.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            let outcome = self.look(&mut looked).await;
            if let (Err(failure), true) = (&outcome, works) {
                tracing::error!(code = %failure.code, cause = ?failure.cause, "changes of homes cannot be looked for");
            }
            works = outcome.is_ok();
        }
    }

    pub(super) async fn look(&self, looked: &mut Looked) -> Outcome<()> {
        let revision = self.meta.revision().await?;
        if looked.revision == Some(revision) {
            return Ok(());
        }
        let reordered = self.meta.reordered().await?;
        if looked.reordered != Some(reordered) {
            self.opened.forget_all();
            self.hub.rights_changed(Grantee::All);
            self.waking.wake();
        }
        *looked = Looked { revision: Some(revision), reordered: Some(reordered) };
        Ok(())
    }
}
