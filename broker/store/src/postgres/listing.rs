//! Which grants are there?

use std::collections::BTreeMap;

use protocol::GrantStatus;
use sqlx::{PgConnection, Postgres, QueryBuilder};

use crate::{Listing, StoreError, Stored, rows};

/// In the words of the partial indexes, or they would not be used.
const LIVE: &str = " AND status NOT IN ('denied', 'failed', 'revoked')";
const FINAL: &str = " AND status IN ('denied', 'failed', 'revoked')";

pub(super) fn query(listing: &Listing) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new(
        "SELECT body, version, beat_every, last_beat, denials, denied_at FROM grants WHERE true",
    );
    if let Some(agent) = &listing.agent {
        query.push(" AND agent_id = ").push_bind(agent.to_string());
    }
    if let Some(live) = listing.live {
        query.push(if live { LIVE } else { FINAL });
    }
    if let Some(after) = &listing.after {
        query.push(" AND n < (SELECT n FROM grants WHERE id = ").push_bind(after.to_string()).push(")");
    }
    query.push(" ORDER BY n DESC LIMIT ").push_bind(i64::from(listing.limit));
    query
}

pub(super) async fn page(
    connection: &mut PgConnection,
    listing: &Listing,
) -> Result<Vec<Stored>, StoreError> {
    let found = query(listing).build().fetch_all(connection).await?;
    found.iter().map(|row| Ok(Stored { denials: rows::denials(row)?, ..rows::grant(row)? })).collect()
}

pub(super) async fn count(connection: &mut PgConnection) -> Result<BTreeMap<GrantStatus, u64>, StoreError> {
    let counted = sqlx::query(
        "SELECT status, sum(change)::BIGINT AS grants FROM grant_counts GROUP BY status HAVING sum(change) > 0",
    )
    .fetch_all(connection)
    .await?;
    rows::counts(&counted)
}
