//! Binds many rows to one statement, each column as an array.

use domain::Grant;
use protocol::Timestamp;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

use super::nul_escaping;
use crate::chain::Chained;
use crate::origin::Origin;

/// The rows of `events`, column by column.
#[derive(Debug, Default)]
pub(super) struct Events {
    seq: Vec<i64>,
    at: Vec<i64>,
    kind: Vec<&'static str>,
    source: Vec<&'static str>,
    actor: Vec<Option<String>>,
    text: Vec<String>,
    data: Vec<String>,
    prev_hash: Vec<String>,
    hash: Vec<String>,
}

impl Events {
    pub(super) fn of(rows: Vec<Chained>) -> Self {
        let mut all = Self::default();
        for Chained { row, actor, data } in rows {
            all.seq.push(i64::from(row.seq));
            all.at.push(row.at.as_millis());
            all.kind.push(row.kind.as_str());
            all.source.push(row.source.as_str());
            all.actor.push(actor);
            all.text.push(nul_escaping::escaped(&row.text).into_owned());
            all.data.push(data);
            all.prev_hash.push(row.prev_hash);
            all.hash.push(row.hash);
        }
        all
    }

    /// Binds the arrays in the order of the table's columns.
    pub(super) fn bind<'q>(
        &'q self,
        query: Query<'q, Postgres, PgArguments>,
    ) -> Query<'q, Postgres, PgArguments> {
        query
            .bind(&self.seq)
            .bind(&self.at)
            .bind(&self.kind)
            .bind(&self.source)
            .bind(&self.actor)
            .bind(&self.text)
            .bind(&self.data)
            .bind(&self.prev_hash)
            .bind(&self.hash)
    }
}

/// Binds by what a grant is found, in the order of the columns; without the time.
pub(super) fn origin<'q>(
    query: Query<'q, Postgres, PgArguments>,
    grant: &Grant,
) -> Query<'q, Postgres, PgArguments> {
    let Origin { repository, commit, actor, .. } = Origin::of(grant);
    let stored = |fact: Option<String>| fact.map(|fact| nul_escaping::escaped(&fact).into_owned());
    query.bind(stored(repository)).bind(stored(commit)).bind(stored(actor))
}

/// The objects of a grant that other grants may reference too.
pub(super) fn shared_objects_of(grant: &Grant) -> Vec<String> {
    grant.steps.iter().filter(|step| step.shared).map(|step| step.object.clone()).collect()
}

pub(super) fn millis(at: Option<Timestamp>) -> Option<i64> {
    at.map(Timestamp::as_millis)
}
