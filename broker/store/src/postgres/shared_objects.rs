//! Locks shared objects, and counts their references.

use protocol::{GrantId, Timestamp};
use sqlx::PgConnection;

use crate::columns::Columns;
use crate::error::corrupt;
use crate::resource_lock::Certain;
use crate::{AfterUpdate, LockPurpose, LockRequest, Ownership, ResourceLock, StoreError, rows};

const LOCK: &str = "
    INSERT INTO shared_objects (object, locked_until, fencing_token) VALUES ($1, $3, 1)
    ON CONFLICT (object) DO UPDATE SET locked_until = excluded.locked_until, fencing_token = shared_objects.fencing_token + 1
       WHERE shared_objects.locked_until IS NULL OR shared_objects.locked_until <= $2
    RETURNING fencing_token";

/// A statement of its own, because a statement that waited for the object's row counts references from before it waited.
const FACTS: &str = "
    WITH others AS MATERIALIZED (
        SELECT status IN ('applying', 'active') AS live, requested_at
        FROM shared_object_refs JOIN grants ON number = grant_number
        WHERE object = $1 AND id <> $3 AND status NOT IN ('denied', 'failed', 'revoked')
    )
    SELECT fencing_token, ownership, write_may_land_until, delete_may_land_until,
           (SELECT count(*) FROM others WHERE live) AS others,
           (SELECT min(requested_at) FROM others WHERE NOT live) AS ending_since,
           ($4::BIGINT IS NULL OR EXISTS (SELECT 1 FROM grants WHERE id = $3 AND version = $4))::INT::BIGINT
               AS grant_is_current
    FROM shared_objects WHERE object = $1 AND fencing_token = $2";

pub(super) async fn lock(
    connection: &mut PgConnection,
    request: &LockRequest<'_>,
) -> Result<Option<ResourceLock>, StoreError> {
    let LockRequest { object, grant, purpose, now, until } = *request;
    let locked = sqlx::query(LOCK)
        .bind(object)
        .bind(now.as_millis())
        .bind(until.as_millis())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(locked) = locked else { return Ok(None) };
    let version = match purpose {
        LockPurpose::Attach { version } => Some(version),
        LockPurpose::Detach { .. } | LockPurpose::Inspect => None,
    };
    let row = sqlx::query(FACTS)
        .bind(object)
        .bind(locked.number("fencing_token")?)
        .bind(grant.as_str())
        .bind(version)
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let (lock, certain) = request.decide(rows::lock_facts(&row)?);
    let Some(Certain { ownership, delete_may_land_until }) = certain else { return Ok(Some(lock)) };
    let is_recorded =
        update(connection, &lock, ownership, delete_may_land_until, AfterUpdate::KeepLock).await?;
    Ok(is_recorded.then_some(lock))
}

pub(super) async fn update(
    connection: &mut PgConnection,
    lock: &ResourceLock,
    ownership: Ownership,
    delete_may_land_until: Option<Timestamp>,
    after: AfterUpdate,
) -> Result<bool, StoreError> {
    let (ownership, write_may_land_until) = rows::ownership_columns(ownership);
    let changed = sqlx::query(
        "UPDATE shared_objects SET ownership = $3, write_may_land_until = $4, delete_may_land_until = $5,
                locked_until = CASE WHEN $6 THEN locked_until END
         WHERE object = $1 AND fencing_token = $2",
    )
    .bind(&lock.object)
    .bind(lock.fencing_token)
    .bind(ownership)
    .bind(write_may_land_until)
    .bind(delete_may_land_until.map(Timestamp::as_millis))
    .bind(after == AfterUpdate::KeepLock)
    .execute(connection)
    .await?;
    Ok(changed.rows_affected() == 1)
}

pub(super) async fn other_references(
    connection: &mut PgConnection,
    object: &str,
    grant: &GrantId,
) -> Result<u32, StoreError> {
    let row = sqlx::query(
        "SELECT count(*) AS others FROM shared_object_refs JOIN grants ON number = grant_number
         WHERE object = $1 AND id <> $2 AND status IN ('applying', 'active')",
    )
    .bind(object)
    .bind(grant.as_str())
    .fetch_one(connection)
    .await?;
    let others = row.number("others")?;
    u32::try_from(others).map_err(|_| corrupt("the number of references", others))
}
