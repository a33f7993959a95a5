//! Lists and counts grants.

use std::collections::BTreeMap;

use protocol::GrantStatus;
use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::nul_escaping::escaped;
use crate::{GrantRecord, Listing, Only, StoreError, rows};

/// Worded like the partial indexes, which would not be used otherwise.
const LIVE: &str = " AND status NOT IN ('denied', 'failed', 'revoked')";
const FINAL: &str = " AND status IN ('denied', 'failed', 'revoked')";

pub(super) fn query(listing: &Listing) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new(
        "SELECT body, version, heartbeat_interval, last_heartbeat, reevaluate_at, reevaluation, denials, denied_at FROM ",
    );
    let number = if listing.origin.is_any() {
        query.push("grants WHERE true");
        "number"
    } else {
        query.push("grant_origins JOIN grants ON number = grant_number WHERE true");
        listing.origin.push(&mut query, |fact| escaped(fact).into_owned());
        "grant_number"
    };
    if let Some(agent) = &listing.agent {
        query.push(" AND agent_id = ").push_bind(agent.to_string());
    }
    if let Some(live) = listing.live {
        query.push(if live { LIVE } else { FINAL });
    }
    match listing.only {
        Some(Only::Waiting) => {
            query.push(" AND status = 'pending_approval'");
        }
        Some(Only::Stuck(at)) => {
            query.push(" AND (status = 'revoke_failing' OR due_at < ").push_bind(at.as_millis()).push(")");
        }
        Some(Only::BreakGlass) => {
            query.push(" AND break_glass");
        }
        None => {}
    }
    if let Some(after) = &listing.after {
        query
            .push(" AND ")
            .push(number)
            .push(" < (SELECT number FROM grants WHERE id = ")
            .push_bind(after.to_string())
            .push(")");
    }
    query.push(" ORDER BY ").push(number).push(" DESC LIMIT ").push_bind(i64::from(listing.limit));
    query
}

pub(super) async fn page(
    connection: &mut PgConnection,
    listing: &Listing,
) -> Result<Vec<GrantRecord>, StoreError> {
    let found = query(listing).build().fetch_all(connection).await?;
    found.iter().map(|row| Ok(GrantRecord { denials: rows::denials(row)?, ..rows::grant(row)? })).collect()
}

pub(super) async fn count(connection: &mut PgConnection) -> Result<BTreeMap<GrantStatus, u64>, StoreError> {
    let counted = sqlx::query(
        "SELECT status, sum(change)::BIGINT AS grants FROM grant_counts GROUP BY status HAVING sum(change) > 0",
    )
    .fetch_all(connection)
    .await?;
    rows::counts(&counted)
}
