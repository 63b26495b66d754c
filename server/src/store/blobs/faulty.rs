//! A blob store that fails where a test says so.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use sss_common::{PackId, Timestamp};

use crate::store::{BlobStore, BlobWriter, Result, Space, StoreError};

/// What can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// [`BlobStore::begin`].
    Begin,
    /// [`BlobWriter::write`].
    Write,
    /// [`BlobWriter::finish`]; the pack does not come to be.
    Finish,
    /// [`BlobStore::read`].
    Read,
    /// [`BlobStore::delete`].
    Delete,
}

#[derive(Default)]
struct Plan {
    /// How many more calls succeed, and the failure of the one after.
    failures: HashMap<Operation, (usize, StoreError)>,
    flips: HashMap<PackId, u64>,
}

impl Plan {
    fn due(&mut self, operation: Operation) -> Result<()> {
        match self.failures.remove(&operation) {
            Some((0, failure)) => Err(failure),
            Some((left, failure)) => {
                self.failures.insert(operation, (left - 1, failure));
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// Passes everything on to another store, except what a test wants to go wrong.
pub struct FaultyBlobs {
    inner: Arc<dyn BlobStore>,
    plan: Arc<Mutex<Plan>>,
}

impl FaultyBlobs {
    /// Without faults so far.
    pub fn new(inner: Arc<dyn BlobStore>) -> Self {
        FaultyBlobs { inner, plan: Arc::default() }
    }

    /// Lets `after` more calls succeed and the next one fail, once, with `failure`.
    pub fn fail(&self, operation: Operation, after: usize, failure: StoreError) {
        self.plan.lock().failures.insert(operation, (after, failure));
    }

    /// Turns every bit of one byte of a pack, in all that is read from now on.
    pub fn flip(&self, id: PackId, offset: u64) {
        self.plan.lock().flips.insert(id, offset);
    }

    /// Forgets all faults.
    pub fn heal(&self) {
        *self.plan.lock() = Plan::default();
    }
}

#[async_trait]
impl BlobStore for FaultyBlobs {
    async fn begin(&self, id: PackId) -> Result<Box<dyn BlobWriter>> {
        self.plan.lock().due(Operation::Begin)?;
        let inner = self.inner.begin(id).await?;
        Ok(Box::new(FaultyWriter { inner, plan: self.plan.clone() }))
    }

    async fn read(&self, id: PackId, offset: u64, length: usize) -> Result<Bytes> {
        self.plan.lock().due(Operation::Read)?;
        let bytes = self.inner.read(id, offset, length).await?;
        let flip = self.plan.lock().flips.get(&id).and_then(|at| at.checked_sub(offset));
        let Some(at) = flip.and_then(|at| usize::try_from(at).ok()).filter(|at| *at < bytes.len()) else {
            return Ok(bytes);
        };
        let mut flipped = BytesMut::from(&bytes[..]);
        flipped[at] ^= 0xff;
        Ok(flipped.freeze())
    }

    async fn delete(&self, id: PackId) -> Result<()> {
        self.plan.lock().due(Operation::Delete)?;
        self.inner.delete(id).await
    }

    async fn list(&self) -> Result<Vec<(PackId, Timestamp)>> {
        self.inner.list().await
    }

    async fn space(&self) -> Result<Option<Space>> {
        self.inner.space().await
    }
}

struct FaultyWriter {
    inner: Box<dyn BlobWriter>,
    plan: Arc<Mutex<Plan>>,
}

#[async_trait]
impl BlobWriter for FaultyWriter {
    async fn write(&mut self, part: Bytes) -> Result<()> {
        self.plan.lock().due(Operation::Write)?;
        self.inner.write(part).await
    }

    async fn finish(self: Box<Self>) -> Result<()> {
        let due = self.plan.lock().due(Operation::Finish);
        match due {
            Ok(()) => self.inner.finish().await,
            Err(failure) => {
                self.inner.abort().await?;
                Err(failure)
            }
        }
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.inner.abort().await
    }
}
