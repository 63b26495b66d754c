//! Packs in memory, for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use sss_common::{PackId, Timestamp};

use crate::store::{BlobStore, BlobWriter, Result, Space, StoreError};

type Packs = Arc<Mutex<BTreeMap<PackId, Bytes>>>;

/// Packs in memory. They count as written at the beginning of time.
#[derive(Clone, Default)]
pub struct MemoryBlobs {
    packs: Packs,
}

impl MemoryBlobs {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl BlobStore for MemoryBlobs {
    async fn begin(&self, id: PackId) -> Result<Box<dyn BlobWriter>> {
        Ok(Box::new(MemoryWriter { packs: self.packs.clone(), id, bytes: BytesMut::new() }))
    }

    async fn read(&self, id: PackId, offset: u64, length: usize) -> Result<Bytes> {
        let pack = self.packs.lock().get(&id).cloned().ok_or(StoreError::NotFound)?;
        let start = usize::try_from(offset).map_err(|_| StoreError::NotFound)?;
        let end = start.checked_add(length).filter(|end| *end <= pack.len()).ok_or(StoreError::NotFound)?;
        Ok(pack.slice(start..end))
    }

    async fn delete(&self, id: PackId) -> Result<()> {
        self.packs.lock().remove(&id);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<(PackId, Timestamp)>> {
        Ok(self.packs.lock().keys().map(|id| (*id, Timestamp(0))).collect())
    }

    async fn space(&self) -> Result<Option<Space>> {
        Ok(None)
    }
}

struct MemoryWriter {
    packs: Packs,
    id: PackId,
    bytes: BytesMut,
}

#[async_trait]
impl BlobWriter for MemoryWriter {
    async fn write(&mut self, part: Bytes) -> Result<()> {
        self.bytes.extend_from_slice(&part);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<()> {
        self.packs.lock().insert(self.id, self.bytes.freeze());
        Ok(())
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
