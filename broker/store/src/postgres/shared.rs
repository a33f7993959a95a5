//! Who may change a shared object now, and who needs it?

use protocol::{GrantId, Timestamp};
use sqlx::PgConnection;

use crate::columns::Columns;
use crate::faults::corrupt;
use crate::{Hold, Holding, StoreError, Then, To, Whose, rows};

const HOLD: &str = "
    INSERT INTO shared (object, held_until, fence) VALUES ($1, $3, 1)
    ON CONFLICT (object) DO UPDATE SET held_until = excluded.held_until, fence = shared.fence + 1
       WHERE shared.held_until IS NULL OR shared.held_until <= $2
    RETURNING fence";

/// A statement of its own: one that has waited for the object's row would look at the grants as they were before it
/// waited. Those that were asked for after it was gone for good have written nothing.
const LOOK: &str = "
    WITH others AS MATERIALIZED (
        SELECT status IN ('applying', 'active') AS live, requested_at
        FROM needs JOIN grants ON n = grant_n
        WHERE object = $1 AND id <> $3 AND status NOT IN ('denied', 'failed', 'revoked')
    ),
    seen AS MATERIALIZED (
        SELECT fence, whose, ours_until, may_go_until,
               (SELECT count(*) FROM others WHERE live) AS others,
               $4::BIGINT IS NULL OR EXISTS (SELECT 1 FROM grants WHERE id = $3 AND version = $4) AS lasts
        FROM shared WHERE object = $1 AND fence = $2
    ),
    given AS (
        UPDATE shared SET ours_until = NULL FROM seen
        WHERE object = $1 AND shared.fence = $2 AND $4 IS NOT NULL AND lasts AND seen.whose = 'ours'
          AND (seen.may_go_until IS NULL OR seen.may_go_until <= $5)
          AND (seen.ours_until > $5
               OR EXISTS (SELECT 1 FROM others WHERE NOT live AND requested_at < seen.ours_until))
        RETURNING 1
    ),
    taken_back AS (
        UPDATE shared SET may_go_until = greatest(seen.may_go_until, $7) FROM seen
        WHERE object = $1 AND shared.fence = $2 AND $7::BIGINT IS NOT NULL AND others = 0 AND seen.whose = 'ours'
          AND (seen.ours_until IS NULL OR seen.ours_until >= $6)
        RETURNING 1
    )
    SELECT fence, whose, ours_until, may_go_until, others, lasts::INT::BIGINT AS lasts,
           (SELECT count(*) FROM given) + (SELECT count(*) FROM taken_back) AS certain
    FROM seen";

pub(super) async fn hold(
    connection: &mut PgConnection,
    holding: &Holding<'_>,
) -> Result<Option<Hold>, StoreError> {
    let Holding { object, grant, to, now, until } = *holding;
    let held = sqlx::query(HOLD)
        .bind(object)
        .bind(now.as_millis())
        .bind(until.as_millis())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(held) = held else { return Ok(None) };
    let (version, taking_back) = match to {
        To::Give { version } => (Some(version), None),
        To::TakeBack { asked_at, may_go_until } => (None, Some((asked_at, may_go_until))),
        To::Look => (None, None),
    };
    let row = sqlx::query(LOOK)
        .bind(object)
        .bind(held.number("fence")?)
        .bind(grant.as_str())
        .bind(version)
        .bind(now.as_millis())
        .bind(taking_back.map(|(asked_at, _)| asked_at.as_millis()))
        .bind(taking_back.map(|(_, may_go_until)| may_go_until.as_millis()))
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let is_certain = row.number("certain")? > 0;
    Ok(Some(rows::hold(&row, object.to_owned(), until, to, is_certain)?))
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
    let row = sqlx::query(
        "SELECT count(*) AS others FROM needs JOIN grants ON n = grant_n
         WHERE object = $1 AND id <> $2 AND status IN ('applying', 'active')",
    )
    .bind(object)
    .bind(grant.as_str())
    .fetch_one(connection)
    .await?;
    let others = row.number("others")?;
    u32::try_from(others).map_err(|_| corrupt("how many grants need an object", others))
}
