//! Whether anybody has committed anything: `PRAGMA data_version`.
//!
//! Its number means something only on the connection that it was asked on, so this has one of its own.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;

use super::schema;
use crate::store::{Result, StoreError};

pub(super) struct Revision(Arc<Mutex<Option<Connection>>>);

impl Revision {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Revision(Arc::new(Mutex::new(Some(schema::open_reader(path)?)))))
    }

    /// Off the async threads: a look at the log's index in shared memory, or a wait for who asks at the same time.
    pub(super) async fn ask(&self) -> Result<u64> {
        let connection = self.0.clone();
        let asked = tokio::task::spawn_blocking(move || match &*connection.lock() {
            Some(connection) => {
                let version: i64 = connection.pragma_query_value(None, "data_version", |row| row.get(0))?;
                u64::try_from(version).map_err(|error| StoreError::Backend(error.into()))
            }
            None => Err(StoreError::Backend("the store is closed".into())),
        });
        asked.await.map_err(|error| StoreError::Backend(error.into()))?
    }

    /// Closes the connection.
    pub(super) fn close(&self) {
        *self.0.lock() = None;
    }
}
