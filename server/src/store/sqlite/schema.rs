//! The database file: how it is made, recognised, brought up to date and opened.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::audit;
use crate::store::{Result, StoreError};

/// `3SMD`: says that a file is 3S metadata.
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"3SMD");

/// Each takes the schema from its index to the next number. Released ones never change.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/001.sql"),
    include_str!("migrations/002.sql"),
    include_str!("migrations/003.sql"),
    include_str!("migrations/004.sql"),
    include_str!("migrations/005.sql"),
    include_str!("migrations/006.sql"),
    include_str!("migrations/007.sql"),
    include_str!("migrations/008.sql"),
];

/// How long to wait for another process that writes (`3s-server user add` beside a running server).
const BUSY: Duration = Duration::from_secs(15);

/// Makes a new database, mode 0600; `Exists` when there is a file.
pub(super) fn create(path: &Path) -> Result<()> {
    let mut options = OpenOptions::new();
    match options.write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => drop(file),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(StoreError::Exists),
        Err(error) => return Err(StoreError::Backend(Box::new(error))),
    }
    let mut connection = Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_READ_WRITE))?;
    // Takes effect only before the first page is written.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    prepare_writer(&connection)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    migrate(&transaction, 0)?;
    transaction.commit()?;
    sss_common::durable::sync_folder_of(path).map_err(|failed| StoreError::Backend(Box::new(failed)))
}

/// The connection that writes; brings an older schema up to date. `NotFound` when there is no file.
pub(super) fn open_writer(path: &Path) -> Result<Connection> {
    if !path.try_exists().map_err(|e| StoreError::Backend(Box::new(e)))? {
        return Err(StoreError::NotFound);
    }
    let mut connection = Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_READ_WRITE))?;
    connection.busy_timeout(BUSY)?;
    recognise(&connection)?;
    prepare_writer(&connection)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = schema(&transaction)?; // again, now that nobody else can migrate
    migrate(&transaction, found)?;
    transaction.commit()?;
    Ok(connection)
}

/// A connection that only reads. The writer's must be open, as it makes the files that readers share.
pub(super) fn open_reader(path: &Path) -> Result<Connection> {
    let connection = Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_READ_ONLY))?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "cache_size", -4096)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// No mutex: each connection is used by one thread at a time.
fn flags(mode: OpenFlags) -> OpenFlags {
    mode | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn prepare_writer(connection: &Connection) -> Result<()> {
    connection.busy_timeout(BUSY)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Backend(
            format!("the file system gives journal mode {mode}, not wal").into(),
        ));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -16384)?;
    connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(())
}

pub(super) fn recognise(connection: &Connection) -> Result<()> {
    let id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if id != APPLICATION_ID {
        return Err(StoreError::Damaged("the file is no 3S metadata".into()));
    }
    schema(connection).map(drop)
}

fn schema(connection: &Connection) -> Result<u32> {
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    if found > known { Err(StoreError::Newer { found, known }) } else { Ok(found) }
}

fn migrate(connection: &Connection, found: u32) -> Result<()> {
    for (number, script) in (1u32..).zip(MIGRATIONS).skip(found as usize) {
        connection.execute_batch(script)?;
        if number == 3 {
            audit::begin_chain(connection)?; // SQL has no SHA-256
        }
        connection.pragma_update(None, "user_version", number)?;
    }
    Ok(())
}
