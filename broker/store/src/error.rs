//! Classifies errors of the database.

use sqlx::error::ErrorKind;

use crate::StoreError;

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if is_permanent(&error) {
            Self::Corrupt { what: error.to_string() }
        } else {
            Self::Unavailable(Box::new(error))
        }
    }
}

/// Whether a retry would fail again: a violated constraint, a column of another type, a damaged file.
fn is_permanent(error: &sqlx::Error) -> bool {
    if let sqlx::Error::Database(refusal) = error {
        // Codes of SQLite, and of PostgreSQL.
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

/// Names the value that cannot be parsed.
pub(crate) fn corrupt(thing: &str, problem: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt { what: format!("{thing}: {problem}") }
}
