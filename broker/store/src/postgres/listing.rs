//! Lists and counts grants.

use std::collections::BTreeMap;

use protocol::GrantStatus;
use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::nul_escaping::escaped;
use crate::origin::{end_of_prefix, kept};
use crate::{GrantRecord, Listing, Only, OriginFilter, StoreError, rows};

/// Worded like the partial indexes, which would not be used otherwise.
const LIVE: &str = " AND status NOT IN ('denied', 'failed', 'revoked')";
const FINAL: &str = " AND status IN ('denied', 'failed', 'revoked')";

pub(super) fn query(listing: &Listing) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new(
        "SELECT body, version, heartbeat_interval, last_heartbeat, reevaluate_at, reevaluation, denials, denied_at FROM ",
    );
    if listing.origin.is_any() {
        query.push("grants WHERE true");
    } else {
        query.push("grant_origins JOIN grants ON number = grant_number WHERE true");
        push_origin(&mut query, &listing.origin);
    }
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
        Some(Only::BreakGlass) => {
            query.push(" AND break_glass");
        }
        None => {}
    }
    if let Some(after) = &listing.after {
        query
            .push(if listing.origin.is_any() { " AND number" } else { " AND grant_number" })
            .push(" < (SELECT number FROM grants WHERE id = ")
            .push_bind(after.to_string())
            .push(")");
    }
    let order = if listing.origin.is_any() { "number" } else { "grant_number" };
    query.push(" ORDER BY ").push(order).push(" DESC LIMIT ").push_bind(i64::from(listing.limit));
    query
}

fn push_origin(query: &mut QueryBuilder<Postgres>, origin: &OriginFilter) {
    let stored = |fact: &str| escaped(&kept(fact)).into_owned();
    if let Some(repository) = &origin.repository {
        query.push(" AND repository = ").push_bind(stored(repository));
    }
    if let Some(actor) = &origin.actor {
        query.push(" AND actor = ").push_bind(stored(actor));
    }
    if let Some(commit) = &origin.commit {
        let commit = stored(commit);
        query.push(" AND commit_id >= ").push_bind(commit.clone());
        query.push(" AND commit_id < ").push_bind(end_of_prefix(&commit));
    }
    if let Some((from, stored)) = origin.from.zip(origin.stored_before()) {
        query.push(" AND created_at >= ").push_bind(from.as_millis());
        query
            .push(" AND grant_number > coalesce((SELECT grant_number FROM grant_origins WHERE created_at < ");
        query.push_bind(stored.as_millis()).push(" ORDER BY created_at DESC LIMIT 1), 0)");
    }
    if let Some((until, stored)) = origin.until.zip(origin.stored_after()) {
        query.push(" AND created_at < ").push_bind(until.as_millis());
        query.push(
            " AND grant_number < coalesce((SELECT grant_number FROM grant_origins WHERE created_at >= ",
        );
        query.push_bind(stored.as_millis()).push(" ORDER BY created_at LIMIT 1), 9223372036854775807)");
    }
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
