//! A few read-only connections. A read never waits for the writer.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{Connection, Transaction};
use tokio::sync::Semaphore;

use super::schema;
use crate::store::{Result, StoreError};

/// More than the machine has cores help only where reads wait for the disk.
const CONNECTIONS: usize = 4;

/// The connections, and the right to take one.
pub(super) struct Readers {
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    /// Opens all of them.
    pub(super) fn open(path: &Path) -> Result<Arc<Self>> {
        let idle = (0..CONNECTIONS).map(|_| schema::open_reader(path)).collect::<Result<_>>()?;
        Ok(Arc::new(Readers { idle: Mutex::new(idle), permits: Arc::new(Semaphore::new(CONNECTIONS)) }))
    }

    /// Runs `work` in one read transaction off the async threads: all that it sees is of one moment.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let permit = self.permits.clone().acquire_owned().await.map_err(backend)?;
        let readers = self.clone();
        let outcome = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let mut lent = Lent { connection: readers.idle.lock().pop(), readers: &readers };
            let connection = lent.connection.as_mut().ok_or_else(|| backend("no connection is left"))?;
            let transaction = connection.transaction()?;
            let outcome = work(&transaction);
            transaction.finish()?;
            outcome
        });
        outcome.await.map_err(backend)?
    }

    /// Closes the connections that nobody uses.
    pub(super) fn close(&self) {
        self.permits.close();
        self.idle.lock().clear();
    }
}

/// A connection that comes back even when the work panics.
struct Lent<'a> {
    connection: Option<Connection>,
    readers: &'a Readers,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if !self.readers.permits.is_closed() {
            self.readers.idle.lock().push(connection);
        }
    }
}

fn backend(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Backend(error.into())
}
