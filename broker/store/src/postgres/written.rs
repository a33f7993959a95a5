//! What does a statement take that writes many rows? Columns, each as one value.

use domain::Grant;
use protocol::Timestamp;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

use super::characters;
use crate::chain::Chained;

/// The rows of `events`, column by column.
#[derive(Debug, Default)]
pub(super) struct Events {
    seq: Vec<i64>,
    at: Vec<i64>,
    kind: Vec<&'static str>,
    source: Vec<&'static str>,
    text: Vec<String>,
    data: Vec<String>,
    prev_hash: Vec<String>,
    hash: Vec<String>,
}

impl Events {
    pub(super) fn of(rows: Vec<Chained>) -> Self {
        let mut all = Self::default();
        for Chained { row, data } in rows {
            all.seq.push(i64::from(row.seq));
            all.at.push(row.at.as_millis());
            all.kind.push(row.kind.as_str());
            all.source.push(row.source.as_str());
            all.text.push(characters::stored(&row.text).into_owned());
            all.data.push(data);
            all.prev_hash.push(row.prev_hash);
            all.hash.push(row.hash);
        }
        all
    }

    /// Eight values, in the order of the table's columns.
    pub(super) fn bind<'q>(
        &'q self,
        query: Query<'q, Postgres, PgArguments>,
    ) -> Query<'q, Postgres, PgArguments> {
        query
            .bind(&self.seq)
            .bind(&self.at)
            .bind(&self.kind)
            .bind(&self.source)
            .bind(&self.text)
            .bind(&self.data)
            .bind(&self.prev_hash)
            .bind(&self.hash)
    }
}

/// What is about to be done for a grant, and which shared objects that needs.
#[derive(Debug, Default)]
pub(super) struct Steps {
    action: Vec<String>,
    object: Vec<String>,
    opened_at: i64,
    needs: Vec<String>,
}

impl Steps {
    pub(super) fn of(grant: &Grant) -> Self {
        Self {
            action: grant.steps.iter().map(|step| step.action.clone()).collect(),
            object: grant.steps.iter().map(|step| step.object.clone()).collect(),
            opened_at: grant.requested_at.as_millis(),
            needs: shared_by(grant),
        }
    }

    /// Four values: actions, objects, when the intents were opened, needs.
    pub(super) fn bind<'q>(
        &'q self,
        query: Query<'q, Postgres, PgArguments>,
    ) -> Query<'q, Postgres, PgArguments> {
        query.bind(&self.action).bind(&self.object).bind(self.opened_at).bind(&self.needs)
    }
}

/// The objects of a grant that others may need too.
pub(super) fn shared_by(grant: &Grant) -> Vec<String> {
    grant.steps.iter().filter(|step| step.shared).map(|step| step.object.clone()).collect()
}

pub(super) fn millis(at: Option<Timestamp>) -> Option<i64> {
    at.map(Timestamp::as_millis)
}
