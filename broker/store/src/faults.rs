//! What does an error of the database mean to the caller?

use sqlx::error::ErrorKind;

use crate::StoreError;

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if is_our_mistake(&error) {
            Self::Corrupt { what: error.to_string() }
        } else {
            Self::Unavailable(Box::new(error))
        }
    }
}

/// Whether trying again would give the same: a row that breaks a rule of the tables, a column of another type,
/// a damaged file.
fn is_our_mistake(error: &sqlx::Error) -> bool {
    if let sqlx::Error::Database(refusal) = error {
        // SQLite's numbers, and PostgreSQL's codes.
        let damaged = matches!(refusal.code().as_deref(), Some("11" | "26" | "XX001" | "XX002"));
        return damaged || !matches!(refusal.kind(), ErrorKind::Other);
    }
    matches!(
        error,
        sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::TypeNotFound { .. }
    )
}

/// Turns what cannot be parsed into the error that says which thing it was.
pub(crate) fn corrupt(thing: &str, problem: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt { what: format!("{thing}: {problem}") }
}
