//! Versions that were opened lately.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;
use sss_common::{NodeId, Version};

use super::Content;

/// Most opened versions that are remembered. Each holds its extents and the keys that it used.
const CACHED: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// Opened versions.
pub(in crate::service) struct ContentCache(Mutex<Cached>);

struct Cached {
    versions: LruCache<(NodeId, Version), Arc<Content>>,
    /// How often something was forgotten: a version that was being opened meanwhile is not kept, as it may be that one.
    forgotten: u64,
}

impl Default for ContentCache {
    fn default() -> Self {
        ContentCache(Mutex::new(Cached { versions: LruCache::new(CACHED), forgotten: 0 }))
    }
}

impl ContentCache {
    /// The version, if it is there; else what [`ContentCache::keep`] wants to know.
    pub(in crate::service) fn find(&self, node: NodeId, version: Version) -> Result<Arc<Content>, u64> {
        let mut cache = self.0.lock();
        let forgotten = cache.forgotten;
        cache.versions.get(&(node, version)).cloned().ok_or(forgotten)
    }

    /// Remembers a version, unless something was forgotten since it was looked for.
    pub(in crate::service) fn keep(
        &self,
        node: NodeId,
        version: Version,
        content: &Arc<Content>,
        forgotten: u64,
    ) {
        let mut cache = self.0.lock();
        if cache.forgotten == forgotten {
            cache.versions.put((node, version), content.clone());
        }
    }

    /// Forgets one version and its keys.
    pub(in crate::service) fn forget_version(&self, node: NodeId, version: Version) {
        let mut cache = self.0.lock();
        cache.forgotten += 1;
        cache.versions.pop(&(node, version));
    }

    /// Forgets all versions and their keys.
    pub(in crate::service) fn forget_all(&self) {
        let mut cache = self.0.lock();
        cache.forgotten += 1;
        cache.versions.clear();
    }

    /// Forgets a document's versions and their keys.
    pub(in crate::service) fn forget(&self, node: NodeId) {
        let mut cache = self.0.lock();
        cache.forgotten += 1;
        let versions: Vec<_> =
            cache.versions.iter().map(|(key, _)| *key).filter(|key| key.0 == node).collect();
        for key in versions {
            cache.versions.pop(&key);
        }
    }
}
