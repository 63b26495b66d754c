//! What the parts of the service are made of.

use std::sync::Arc;

use sss_common::Clock;

use super::Settings;
use super::audit::AuditLog;
use crate::store::Stores;
use sss_vault::Vault;

/// Each part takes of this what it needs.
pub(super) struct Base {
    pub(super) stores: Stores,
    pub(super) vault: Arc<Vault>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) settings: Settings,
    pub(super) audit: Arc<AuditLog>,
}

impl Base {
    pub(super) fn new(stores: Stores, vault: Arc<Vault>, clock: Arc<dyn Clock>, settings: Settings) -> Self {
        let audit = Arc::new(AuditLog::new(stores.meta.clone(), clock.clone(), settings.audit_keep));
        Base { stores, vault, clock, settings, audit }
    }
}
