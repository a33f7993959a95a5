//! Lists and counts grants.

use std::collections::BTreeMap;

use protocol::GrantStatus;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use crate::{GrantRecord, Listing, Only, StoreError, rows};

/// One of a few texts, each with an index that yields its rows in order.
pub(super) fn query(listing: &Listing) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(
        "SELECT body, version, heartbeat_interval, last_heartbeat, reevaluate_at, reevaluation, denials, denied_at FROM ",
    );
    let number = if listing.origin.is_any() {
        query.push("grants WHERE true");
        "number"
    } else {
        // `CROSS`: from the origins, of which an index has the wanted ones, to the grants.
        query.push("grant_origins CROSS JOIN grants ON number = grant_number WHERE true");
        listing.origin.push(&mut query, str::to_owned);
        "grant_number"
    };
    if let Some(agent) = &listing.agent {
        query.push(" AND agent_id = ").push_bind(agent.to_string());
    }
    if let Some(live) = listing.live {
        query.push(" AND final = ").push_bind(!live);
    }
    match listing.only {
        Some(Only::Waiting) => {
            query.push(" AND status = 'pending_approval'");
        }
        Some(Only::Stuck(at)) => {
            query.push(" AND (status = 'revoke_failing' OR due_at < ").push_bind(at.as_millis()).push(")");
        }
        Some(Only::BreakGlass) => {
            query.push(" AND break_glass = 1");
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
    query.push(" ORDER BY ").push(number).push(" DESC LIMIT ").push_bind(listing.limit);
    query
}

pub(super) async fn page(
    connection: &mut SqliteConnection,
    listing: Listing,
) -> Result<Vec<GrantRecord>, StoreError> {
    let found = query(&listing).build().fetch_all(connection).await?;
    found.iter().map(|row| Ok(GrantRecord { denials: rows::denials(row)?, ..rows::grant(row)? })).collect()
}

pub(super) async fn count(
    connection: &mut SqliteConnection,
) -> Result<BTreeMap<GrantStatus, u64>, StoreError> {
    let counted =
        sqlx::query("SELECT status, grants FROM grant_counts WHERE grants > 0").fetch_all(connection).await?;
    rows::counts(&counted)
}
