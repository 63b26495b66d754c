//! SQLite's errors in the store's words.

use rusqlite::ErrorCode;

use crate::store::StoreError;

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error::*;
        match &error {
            SqliteFailure(failure, _) => match failure.code {
                ErrorCode::DiskFull => StoreError::Full,
                // Callers check first what they may break, so a constraint that fires means rows that contradict.
                ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch => StoreError::Damaged(error.to_string()),
                _ => StoreError::Backend(Box::new(error)),
            },
            FromSqlConversionFailure(..)
            | IntegralValueOutOfRange(..)
            | InvalidColumnType(..)
            | QueryReturnedNoRows => StoreError::Damaged(error.to_string()),
            _ => StoreError::Backend(Box::new(error)),
        }
    }
}

/// The same failure once more, for each of those that shared a transaction.
pub(super) fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::Full => StoreError::Full,
        StoreError::Damaged(what) => StoreError::Damaged(what.clone()),
        StoreError::Unlogged(why) => StoreError::Unlogged(why.clone()),
        other => StoreError::Backend(other.to_string().into()),
    }
}
