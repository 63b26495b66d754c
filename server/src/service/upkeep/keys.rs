//! The vault's key tree, as the metadata store keeps it: what joins two rooms that do not know each other.

use std::sync::Arc;

use async_trait::async_trait;

use crate::store::MetaStore;
use sss_vault::KeySource;
use sss_vault::sealed::{KeyImage, KeyPosition};

/// The key tree in a metadata store.
pub struct StoredKeys(pub Arc<dyn MetaStore>);

#[async_trait]
impl KeySource for StoredKeys {
    async fn load(
        &self,
        position: KeyPosition,
    ) -> Result<Option<KeyImage>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.0.key_node(position).await?)
    }
}
