//! Locks shared objects, and counts their references.

use domain::Grant;
use protocol::{GrantId, GrantStatus, Timestamp};
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use super::batch::{Change, IF_PREVIOUS_CHANGED_ROWS};
use crate::resource_lock::Certain;
use crate::{AfterUpdate, LockPurpose, LockRequest, Ownership, ResourceLock, StoreError, rows};

/// Adds the statement that writes a grant's references, under a further condition; nothing if it has none.
pub(super) fn push_references(text: &mut QueryBuilder<Sqlite>, grant: &Grant, and: &str) {
    let objects: Vec<&str> =
        grant.steps.iter().filter(|step| step.shared).map(|step| step.object.as_str()).collect();
    if objects.is_empty() {
        return;
    }
    text.push(
        "INSERT OR IGNORE INTO shared_object_refs (grant_number, object) SELECT number, new.* FROM grants, (",
    );
    text.push_values(objects, |mut row, object| {
        row.push_bind(object.to_owned());
    });
    text.push(") AS new WHERE id = ").push_bind(grant.id.to_string()).push(and).push("; ");
}

/// Adds the statement that deletes the references of a final grant.
pub(super) fn push_reference_removal(text: &mut QueryBuilder<Sqlite>, grant: &Grant) {
    if !grant.status().is_final() || !grant.steps.iter().any(|step| step.shared) {
        return;
    }
    text.push("DELETE FROM shared_object_refs WHERE object IN (");
    let mut objects = text.separated(", ");
    for step in grant.steps.iter().filter(|step| step.shared) {
        objects.push_bind(step.object.clone());
    }
    text.push(") AND grant_number = (SELECT number FROM grants WHERE final AND id = ");
    text.push_bind(grant.id.to_string()).push("); ");
}

/// An owned [`LockRequest`], for the writer.
pub(super) struct Wanted {
    object: String,
    grant: GrantId,
    purpose: LockPurpose,
    now: Timestamp,
    until: Timestamp,
}

impl From<LockRequest<'_>> for Wanted {
    fn from(request: LockRequest<'_>) -> Self {
        let LockRequest { object, grant, purpose, now, until } = request;
        Self { object: object.to_owned(), grant: grant.clone(), purpose, now, until }
    }
}

impl Wanted {
    fn request(&self) -> LockRequest<'_> {
        let Self { object, grant, purpose, now, until } = self;
        LockRequest { object, grant, purpose: *purpose, now: *now, until: *until }
    }
}

const OTHER_REFERENCES: &str = "FROM shared_object_refs JOIN grants ON number = grant_number WHERE object = shared_objects.object AND id <> ";
const LIVE: &str = " AND status IN ('applying', 'active')";
const ENDING: &str = " AND NOT final AND status NOT IN ('applying', 'active')";

/// Acquires the lock and reads the facts in one text; records what they make certain in a second one.
pub(super) async fn lock(mut change: Change<'_>, wanted: Wanted) -> Result<Option<ResourceLock>, StoreError> {
    let request = wanted.request();
    let LockRequest { object, grant, purpose, now, until } = request;
    let mut text = change.statement();
    text.push("INSERT INTO shared_objects (object, locked_until, fencing_token) VALUES (");
    text.push_bind(object.to_owned()).push(", ").push_bind(until.as_millis());
    text.push(
        ", 1) ON CONFLICT DO UPDATE SET locked_until = excluded.locked_until, fencing_token = fencing_token + 1
            WHERE locked_until IS NULL OR locked_until <= ",
    );
    text.push_bind(now.as_millis());
    text.push(
        "; SELECT fencing_token, ownership, write_may_land_until, delete_may_land_until, (SELECT count(*) ",
    );
    text.push(OTHER_REFERENCES).push_bind(grant.to_string()).push(LIVE);
    text.push(") AS others, (SELECT min(requested_at) ");
    text.push(OTHER_REFERENCES).push_bind(grant.to_string()).push(ENDING).push(") AS ending_since, ");
    match purpose {
        LockPurpose::Attach { version } => {
            text.push("EXISTS (SELECT 1 FROM grants WHERE id = ").push_bind(grant.to_string());
            text.push(" AND version = ").push_bind(version).push(")");
        }
        LockPurpose::Detach { .. } | LockPurpose::Inspect => {
            text.push("1");
        }
    }
    text.push(" AS grant_is_current FROM shared_objects WHERE object = ").push_bind(object.to_owned());
    text.push(IF_PREVIOUS_CHANGED_ROWS).push("; ");
    let found = change.run(text).await?;
    let Some(row) = found.first() else { return Ok(None) };
    let (lock, certain) = request.decide(rows::lock_facts(row)?);
    if let Some(Certain { ownership, delete_may_land_until }) = certain {
        let mut text = change.statement();
        push_update(&mut text, &lock, ownership, delete_may_land_until, AfterUpdate::KeepLock);
        text.push("; ");
        change.run_and_commit(text).await?;
    }
    Ok(Some(lock))
}

pub(super) async fn update(
    mut change: Change<'_>,
    lock: ResourceLock,
    ownership: Ownership,
    delete_may_land_until: Option<Timestamp>,
    after: AfterUpdate,
) -> Result<bool, StoreError> {
    let mut text = change.statement();
    push_update(&mut text, &lock, ownership, delete_may_land_until, after);
    text.push(" RETURNING 1; ");
    Ok(!change.run_and_commit(text).await?.is_empty())
}

/// Adds the statement that updates an object, without its end.
pub(super) fn push_update(
    text: &mut QueryBuilder<Sqlite>,
    lock: &ResourceLock,
    ownership: Ownership,
    delete_may_land_until: Option<Timestamp>,
    after: AfterUpdate,
) {
    let (ownership, write_may_land_until) = rows::ownership_columns(ownership);
    text.push("UPDATE shared_objects SET ownership = ").push_bind(ownership);
    text.push(", write_may_land_until = ").push_bind(write_may_land_until);
    text.push(", delete_may_land_until = ").push_bind(delete_may_land_until.map(Timestamp::as_millis));
    text.push(match after {
        AfterUpdate::KeepLock => "",
        AfterUpdate::ReleaseLock => ", locked_until = NULL",
    });
    text.push(" WHERE object = ").push_bind(lock.object.clone());
    text.push(" AND fencing_token = ").push_bind(lock.fencing_token);
}

pub(super) async fn other_references(
    connection: &mut SqliteConnection,
    object: String,
    grant: GrantId,
) -> Result<u32, StoreError> {
    let row = sqlx::query(
        "SELECT count(*) AS others FROM shared_object_refs JOIN grants ON number = grant_number
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
