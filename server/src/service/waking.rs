//! Wakes those who work in the background.

use tokio::sync::Notify;

/// Who sleeps until there is something to do.
#[derive(Default)]
pub(super) struct Waking {
    /// Something may be there to reclaim.
    pub(super) work: Notify,
    /// Keys are queued for erasure.
    pub(super) erase: Notify,
}

impl Waking {
    /// Something was removed, replaced or unpinned.
    pub(super) fn wake(&self) {
        self.erase.notify_one();
        self.work.notify_one();
    }
}
