//! Who may change a shared object now, and who needs it?

use domain::Grant;
use protocol::{GrantId, GrantStatus, Timestamp};
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use crate::{Hold, StoreError, Then, Whose, rows};

/// Adds the statement that writes down which shared objects a grant needs, if something more is so; nothing if there
/// are none.
pub(super) fn push_needs(text: &mut QueryBuilder<Sqlite>, grant: &Grant, and: &str) {
    let objects: Vec<&str> =
        grant.steps.iter().filter(|step| step.shared).map(|step| step.object.as_str()).collect();
    if objects.is_empty() {
        return;
    }
    text.push("INSERT OR IGNORE INTO needs (grant_n, object) SELECT n, new.* FROM grants, (");
    text.push_values(objects, |mut row, object| {
        row.push_bind(object.to_owned());
    });
    text.push(") AS new WHERE id = ").push_bind(grant.id.to_string()).push(and).push("; ");
}

pub(super) async fn hold(
    connection: &mut SqliteConnection,
    object: String,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<Hold>, StoreError> {
    let row = sqlx::query(
        "INSERT INTO shared (object, held_until, fence) VALUES (?1, ?3, 1)
         ON CONFLICT DO UPDATE SET held_until = excluded.held_until, fence = fence + 1
            WHERE held_until IS NULL OR held_until <= ?2
         RETURNING fence, whose, ours_until, may_go_until",
    )
    .bind(&object)
    .bind(now.as_millis())
    .bind(until.as_millis())
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(rows::hold(&row, object, until)?))
}

pub(super) async fn note(
    connection: &mut SqliteConnection,
    hold: Hold,
    whose: Whose,
    may_go_until: Option<Timestamp>,
    then: Then,
) -> Result<bool, StoreError> {
    let (whose, ours_until) = rows::whose_columns(whose);
    let changed = sqlx::query(
        "UPDATE shared SET whose = ?3, ours_until = ?4, may_go_until = ?5, held_until = CASE WHEN ?6 THEN held_until END
         WHERE object = ?1 AND fence = ?2",
    )
    .bind(hold.object)
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
    connection: &mut SqliteConnection,
    object: String,
    grant: GrantId,
) -> Result<u32, StoreError> {
    let row = sqlx::query(
        "SELECT count(*) AS others FROM needs JOIN grants ON n = grant_n
         WHERE object = ?1 AND id <> ?2 AND status IN (?3, ?4)",
    )
    .bind(object)
    .bind(grant.as_str())
    .bind(GrantStatus::Applying.as_str())
    .bind(GrantStatus::Active.as_str())
    .fetch_one(connection)
    .await?;
    Ok(row.try_get("others")?)
}

pub(super) async fn being_taken_back(
    connection: &mut SqliteConnection,
    object: String,
    grant: GrantId,
) -> Result<u32, StoreError> {
    let row = sqlx::query(
        "SELECT count(*) AS others FROM needs JOIN grants ON n = grant_n
         WHERE object = ?1 AND id <> ?2 AND NOT final AND status NOT IN (?3, ?4)",
    )
    .bind(object)
    .bind(grant.as_str())
    .bind(GrantStatus::Applying.as_str())
    .bind(GrantStatus::Active.as_str())
    .fetch_one(connection)
    .await?;
    Ok(row.try_get("others")?)
}
