//! Packs that nothing uses any more, of a store on which no server runs.

use sss_common::{Clock as _, SystemClock};

use sss_server::store::{BlobStore, MetaStore, Result};

/// Packs that are deleted at a time.
const BATCH: usize = 1000;

/// Deletes them, unless a backup that is being made holds them.
pub(super) async fn empty_trash(meta: &dyn MetaStore, blobs: &dyn BlobStore) -> Result<()> {
    loop {
        let trash = meta.trash(BATCH, SystemClock.now()).await?;
        if trash.is_empty() {
            return Ok(());
        }
        for pack in &trash {
            blobs.delete(*pack).await?;
        }
        meta.trashed(&trash).await?;
    }
}
