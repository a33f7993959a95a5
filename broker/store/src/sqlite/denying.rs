//! How is a refused request recorded once, and counted from then on?

use domain::ReplayGuard;
use domain::grant::Moved;
use protocol::Timestamp;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use super::change::{Change, IF_THE_LAST_DID};
use super::forgetting::{Left, PIECE};
use super::timeline;
use crate::columns::Columns;
use crate::faults::corrupt;
use crate::rows::{self, Use};
use crate::{DENIALS_KEPT, Denying, Recorded, StoreError};

/// A refused request, to be sent to the writer.
pub(super) struct Wanted {
    moved: Moved,
    used: Option<Use>,
}

impl From<Denying<'_>> for Wanted {
    fn from(denying: Denying<'_>) -> Self {
        let Denying { moved, key, replay } = denying;
        let used = |guard: &ReplayGuard| Use::by(guard.clone(), &moved.grant.agent_id, Some(key));
        Self { moved: moved.clone(), used: replay.map(used) }
    }
}

// There is one writer: what is looked up here is still so when the second text runs.

pub(super) async fn record(mut change: Change<'_>, wanted: Wanted) -> Result<Recorded, StoreError> {
    let Wanted { moved, used } = wanted;
    let (agent, hash) = (moved.grant.agent_id.to_string(), moved.grant.request_hash.clone());
    let mut text = change.text();
    text.push("SELECT (SELECT bound_to FROM used_tokens WHERE token_hash = ");
    text.push_bind(used.as_ref().map(|used| used.guard.token_hash.clone()));
    text.push(") AS bound_to, EXISTS (SELECT 1 FROM grants WHERE agent_id = ").push_bind(agent.clone());
    text.push(" AND denied_hash = ").push_bind(hash.clone());
    text.push(") AS known, (SELECT count(*) FROM grants WHERE denied_hash IS NOT NULL AND agent_id = ");
    text.push_bind(agent.clone()).push(") AS kept; ");
    let found = change.run(text).await?;
    let found = found.first().ok_or_else(|| corrupt("what is known of a refused request", "found no row"))?;
    let bound_to = found.maybe_text("bound_to")?;
    if bound_to.is_some_and(|bound_to| used.as_ref().is_some_and(|used| used.bound_to != bound_to)) {
        return Ok(Recorded::Replayed);
    }
    let mut text = change.text();
    if let Some(Use { guard, bound_to }) = used {
        text.push("INSERT INTO used_tokens SELECT ").push_bind(guard.token_hash);
        text.push(", ").push_bind(bound_to).push(", ").push_bind(guard.forget_after.as_millis());
        text.push(" WHERE true ON CONFLICT DO NOTHING; ");
    }
    let recorded = if found.try_get("known")? {
        text.push("UPDATE grants SET denials = denials + 1, denied_at = max(denied_at, ");
        text.push_bind(moved.grant.requested_at.as_millis()).push(") WHERE agent_id = ").push_bind(agent);
        text.push(" AND denied_hash = ").push_bind(hash).push("; ");
        Recorded::Again
    } else if found.number("kept")? >= i64::from(DENIALS_KEPT) {
        Recorded::Full
    } else {
        push_denied(&mut text, &moved)?;
        Recorded::New
    };
    change.run_last(text).await?;
    Ok(recorded)
}

fn push_denied(text: &mut QueryBuilder<Sqlite>, moved: &Moved) -> Result<(), StoreError> {
    let grant = &moved.grant;
    text.push(
        "INSERT INTO grants (id, agent_id, status, requested_at, version, body, denied_hash, denials, denied_at)
         SELECT ",
    );
    text.separated(", ")
        .push_bind(grant.id.to_string())
        .push_bind(grant.agent_id.to_string())
        .push_bind(grant.status().as_str())
        .push_bind(grant.requested_at.as_millis())
        .push_bind(1_i64)
        .push_bind(rows::body(grant)?)
        .push_bind(grant.request_hash.clone())
        .push_bind(1_i64)
        .push_bind(grant.requested_at.as_millis());
    text.push("; ");
    timeline::push(text, &grant.id, IF_THE_LAST_DID, None, &moved.events)?;
    Ok(())
}

/// Deletes some of the refused requests that did not come again since, with their timelines.
pub(super) async fn forget(
    connection: &mut SqliteConnection,
    not_since: Timestamp,
) -> Result<Left, StoreError> {
    let mut forgotten = 0;
    for what in FORGET {
        let done =
            sqlx::query(what).bind(not_since.as_millis()).bind(PIECE).execute(&mut *connection).await?;
        forgotten = done.rows_affected();
    }
    Ok(if forgotten < u64::from(PIECE) { Left::Nothing } else { Left::Perhaps })
}

macro_rules! of_the_forgotten {
    ($delete:literal) => {
        concat!(
            $delete,
            " IN (SELECT n FROM grants WHERE status = 'denied' AND denied_at <= ?1
                  ORDER BY denied_at, n LIMIT ?2)"
        )
    };
}

/// Their rows first, which refer to them.
pub(super) const FORGET: [&str; 2] =
    [of_the_forgotten!("DELETE FROM events WHERE grant_n"), of_the_forgotten!("DELETE FROM grants WHERE n")];
