//! Who may change a shared object now, and who needs it?

use protocol::{GrantId, GrantStatus, Timestamp};
use sqlx::PgConnection;

use crate::columns::Columns;
use crate::faults::corrupt;
use crate::{Hold, StoreError, Then, Whose, rows};

pub(super) async fn hold(
    connection: &mut PgConnection,
    object: &str,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<Hold>, StoreError> {
    let row = sqlx::query(
        "INSERT INTO shared (object, held_until, fence) VALUES ($1, $3, 1)
         ON CONFLICT (object) DO UPDATE SET held_until = excluded.held_until, fence = shared.fence + 1
            WHERE shared.held_until IS NULL OR shared.held_until <= $2
         RETURNING fence, whose, ours_until, may_go_until",
    )
    .bind(object)
    .bind(now.as_millis())
    .bind(until.as_millis())
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(rows::hold(&row, object.to_owned(), until)?))
}

pub(super) async fn note(
    connection: &mut PgConnection,
    hold: &Hold,
    whose: Whose,
    may_go_until: Option<Timestamp>,
    then: Then,
) -> Result<bool, StoreError> {
    let (whose, ours_until) = rows::whose_columns(whose);
    let changed = sqlx::query(
        "UPDATE shared SET whose = $3, ours_until = $4, may_go_until = $5,
                held_until = CASE WHEN $6 THEN held_until END
         WHERE object = $1 AND fence = $2",
    )
    .bind(&hold.object)
    .bind(hold.fence)
    .bind(whose)
    .bind(ours_until)
    .bind(may_go_until.map(Timestamp::as_millis))
    .bind(then == Then::Keep)
    .execute(connection)
    .await?;
    Ok(changed.rows_affected() == 1)
}

pub(super) async fn needed_by_others(
    connection: &mut PgConnection,
    object: &str,
    grant: &GrantId,
) -> Result<u32, StoreError> {
    count(
        connection,
        "SELECT count(*) AS others FROM needs JOIN grants ON n = grant_n
         WHERE object = $1 AND id <> $2 AND status IN ($3, $4)",
        object,
        grant,
    )
    .await
}

pub(super) async fn being_taken_back(
    connection: &mut PgConnection,
    object: &str,
    grant: &GrantId,
) -> Result<u32, StoreError> {
    count(
        connection,
        "SELECT count(*) AS others FROM needs JOIN grants ON n = grant_n
         WHERE object = $1 AND id <> $2 AND status NOT IN ($3, $4, 'denied', 'failed', 'revoked')",
        object,
        grant,
    )
    .await
}

async fn count(
    connection: &mut PgConnection,
    text: &'static str,
    object: &str,
    grant: &GrantId,
) -> Result<u32, StoreError> {
    let row = sqlx::query(text)
        .bind(object)
        .bind(grant.as_str())
        .bind(GrantStatus::Applying.as_str())
        .bind(GrantStatus::Active.as_str())
        .fetch_one(connection)
        .await?;
    let others = row.number("others")?;
    u32::try_from(others).map_err(|_| corrupt("how many grants need an object", others))
}
