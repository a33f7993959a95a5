//! Who may change a shared object now, and who needs it?

use domain::Grant;
use protocol::{GrantId, GrantStatus, Timestamp};
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use super::change::{Change, IF_THE_LAST_DID};
use crate::{Hold, Holding, StoreError, Then, To, Whose, rows};

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

/// Takes away what was written down of a grant's needs, if it is final.
pub(super) fn push_no_needs(text: &mut QueryBuilder<Sqlite>, grant: &Grant) {
    if !grant.status().is_final() || !grant.steps.iter().any(|step| step.shared) {
        return;
    }
    text.push("DELETE FROM needs WHERE object IN (");
    let mut objects = text.separated(", ");
    for step in grant.steps.iter().filter(|step| step.shared) {
        objects.push_bind(step.object.clone());
    }
    text.push(") AND grant_n = (SELECT n FROM grants WHERE final AND id = ");
    text.push_bind(grant.id.to_string()).push("); ");
}

/// What [`Holding`] says, as it goes to the writer.
pub(super) struct Wanted {
    object: String,
    grant: GrantId,
    to: To,
    now: Timestamp,
    until: Timestamp,
}

impl From<Holding<'_>> for Wanted {
    fn from(holding: Holding<'_>) -> Self {
        let Holding { object, grant, to, now, until } = holding;
        Self { object: object.to_owned(), grant: grant.clone(), to, now, until }
    }
}

const OTHERS: &str = "SELECT 1 FROM needs JOIN grants ON n = grant_n WHERE object = shared.object AND id <> ";
const LIVE: &str = "status IN ('applying', 'active')";

/// In one text: holds it, looks, and writes down what is certain to be done.
pub(super) async fn hold(mut change: Change<'_>, wanted: Wanted) -> Result<Option<Hold>, StoreError> {
    let Wanted { object, grant, to, now, until } = wanted;
    let (now, id) = (now.as_millis(), grant.to_string());
    let mut text = change.text();
    text.push("INSERT INTO shared (object, held_until, fence) VALUES (");
    text.push_bind(object.clone()).push(", ").push_bind(until.as_millis());
    text.push(
        ", 1) ON CONFLICT DO UPDATE SET held_until = excluded.held_until, fence = fence + 1
            WHERE held_until IS NULL OR held_until <= ",
    );
    text.push_bind(now).push("; SELECT fence, whose, ours_until, may_go_until, (SELECT count(*) FROM (");
    text.push(OTHERS).push_bind(id.clone()).push(" AND ").push(LIVE).push(")) AS others, ");
    match to {
        To::Give { version } => {
            text.push("EXISTS (SELECT 1 FROM grants WHERE id = ").push_bind(id.clone());
            text.push(" AND version = ").push_bind(version).push(")");
        }
        To::TakeBack { .. } | To::Look => {
            text.push("1");
        }
    }
    text.push(" AS lasts FROM shared WHERE object = ").push_bind(object.clone()).push(IF_THE_LAST_DID);
    text.push("; ");
    push_what_is_certain(&mut text, &object, &id, to, now);
    let found = change.run_last(text).await?;
    let Some(row) = found.first() else { return Ok(None) };
    Ok(Some(rows::hold(row, object, until, to, found.len() > 1)?))
}

/// Gives a row if it is so.
fn push_what_is_certain(text: &mut QueryBuilder<Sqlite>, object: &str, id: &str, to: To, now: i64) {
    match to {
        To::Look => return,
        To::Give { version } => {
            text.push("UPDATE shared SET ours_until = NULL WHERE object = ").push_bind(object.to_owned());
            text.push(IF_THE_LAST_DID)
                .push(" AND whose = 'ours' AND (may_go_until IS NULL OR may_go_until <= ");
            text.push_bind(now)
                .push(") AND EXISTS (SELECT 1 FROM grants WHERE id = ")
                .push_bind(id.to_owned());
            text.push(" AND version = ").push_bind(version).push(") AND (ours_until > ").push_bind(now);
            // Those that were asked for after it was gone for good have written nothing.
            text.push(" OR EXISTS (").push(OTHERS).push_bind(id.to_owned());
            text.push(" AND NOT final AND NOT ").push(LIVE).push(" AND requested_at < ours_until))");
        }
        To::TakeBack { asked_at, may_go_until } => {
            text.push("UPDATE shared SET may_go_until = max(ifnull(may_go_until, 0), ");
            text.push_bind(may_go_until.as_millis()).push(") WHERE object = ").push_bind(object.to_owned());
            text.push(IF_THE_LAST_DID).push(" AND whose = 'ours' AND (ours_until IS NULL OR ours_until >= ");
            text.push_bind(asked_at.as_millis()).push(") AND NOT EXISTS (").push(OTHERS);
            text.push_bind(id.to_owned()).push(" AND ").push(LIVE).push(")");
        }
    }
    text.push(" RETURNING 1; ");
}

pub(super) async fn note(
    mut change: Change<'_>,
    hold: Hold,
    whose: Whose,
    may_go_until: Option<Timestamp>,
    then: Then,
) -> Result<bool, StoreError> {
    let mut text = change.text();
    push_note(&mut text, &hold, whose, may_go_until, then);
    text.push(" RETURNING 1; ");
    Ok(!change.run_last(text).await?.is_empty())
}

/// Adds the beginning of the statement that writes down what is known of it, for whoever holds it.
pub(super) fn push_note(
    text: &mut QueryBuilder<Sqlite>,
    hold: &Hold,
    whose: Whose,
    may_go_until: Option<Timestamp>,
    then: Then,
) {
    let (whose, ours_until) = rows::whose_columns(whose);
    text.push("UPDATE shared SET whose = ").push_bind(whose);
    text.push(", ours_until = ").push_bind(ours_until);
    text.push(", may_go_until = ").push_bind(may_go_until.map(Timestamp::as_millis));
    text.push(match then {
        Then::Keep => "",
        Then::Release => ", held_until = NULL",
    });
    text.push(" WHERE object = ").push_bind(hold.object.clone());
    text.push(" AND fence = ").push_bind(hold.fence);
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
