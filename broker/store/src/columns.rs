//! Reads a row of either database by the names of its columns.

use sqlx::{ColumnIndex, Decode, Row, Type};

use crate::StoreError;

/// Texts and numbers are all types that the tables use.
pub(crate) trait Columns {
    fn text(&self, name: &str) -> Result<&str, StoreError>;
    fn maybe_text(&self, name: &str) -> Result<Option<&str>, StoreError>;
    fn number(&self, name: &str) -> Result<i64, StoreError>;
    fn maybe_number(&self, name: &str) -> Result<Option<i64>, StoreError>;
}

impl<R: Row> Columns for R
where
    for<'n> &'n str: ColumnIndex<R> + Decode<'n, R::Database> + Type<R::Database>,
    for<'r> i64: Decode<'r, R::Database> + Type<R::Database>,
{
    fn text(&self, name: &str) -> Result<&str, StoreError> {
        Ok(self.try_get(name)?)
    }

    fn maybe_text(&self, name: &str) -> Result<Option<&str>, StoreError> {
        Ok(self.try_get(name)?)
    }

    fn number(&self, name: &str) -> Result<i64, StoreError> {
        Ok(self.try_get(name)?)
    }

    fn maybe_number(&self, name: &str) -> Result<Option<i64>, StoreError> {
        Ok(self.try_get(name)?)
    }
}
