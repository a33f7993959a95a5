//! Reads what a decision is made from.

use domain::facts::COUNTED;
use sqlx::PgConnection;

use super::nul_escaping;
use crate::context_rows::{self, since};
use crate::{ContextRequest, DecisionContext, StoreError};

// The texts below have the limit in digits.
const _: () = assert!(COUNTED == 250, "the limit in `counted!` is another one");

/// Counts grants of an agent (and a run) up to 250; a grant without a known run counts for every run. Beside the conditions
/// of the partial indexes, one grant may be left out.
macro_rules! counted {
    ($agent:literal, $run:literal, $except:literal, $which:literal) => {
        concat!(
            "(SELECT count(*) FROM (SELECT 1 FROM grants WHERE agent_id = ",
            $agent,
            $run,
            $which,
            $except,
            " LIMIT 250) AS counted)"
        )
    };
}
pub(super) use counted;

/// One statement, so that everything is of one moment. `$2` is '' without a known run.
pub(super) const READ: &str = concat!(
    "SELECT (SELECT coalesce(max(version), 0) FROM rules_history) AS rules_version,
            (SELECT revision FROM agents WHERE id = $1) AS agent_revision,
            CASE WHEN $2 <> '' THEN ",
    counted!("$1", " AND run IN ('', $2)", " AND number IS DISTINCT FROM (SELECT number FROM grants WHERE id = $5)", " AND status IN ('pending_approval', 'applying', 'active')"),
    " END AS live,
            CASE WHEN $2 <> '' THEN ",
    counted!("$1", " AND run IN ('', $2)", " AND number IS DISTINCT FROM (SELECT number FROM grants WHERE id = $5)", " AND requested_at > $6"),
    " END AS last_hour, ",
    counted!("$1", "", " AND number IS DISTINCT FROM (SELECT number FROM grants WHERE id = $5)", " AND status IN ('pending_approval', 'applying', 'active')"),
    " AS agent_live, ",
    counted!("$1", "", " AND number IS DISTINCT FROM (SELECT number FROM grants WHERE id = $5)", " AND requested_at > $6"),
    " AS agent_last_hour,
            (SELECT coalesce(max(seq), 0) FROM posture WHERE subject = ANY ($3)) AS posture_seq,
            (SELECT coalesce(json_agg(json_build_array(source, subject, ok, as_of, expires_at, received_at)), '[]')::TEXT
             FROM posture WHERE subject = ANY ($3) AND expires_at > $4) AS posture"
);

pub(super) fn escaped(subjects: &[String]) -> Vec<String> {
    subjects.iter().map(|subject| nul_escaping::escaped(subject).into_owned()).collect()
}

pub(super) async fn read(
    connection: &mut PgConnection,
    request: &ContextRequest<'_>,
) -> Result<DecisionContext, StoreError> {
    let ContextRequest { agent, run, subjects, except, now } = request;
    let row = sqlx::query(READ)
        .bind(agent.as_str())
        .bind(run.unwrap_or_default())
        .bind(escaped(subjects))
        .bind(now.as_millis())
        .bind(except.map(|grant| grant.as_str()))
        .bind(since(*now))
        .fetch_one(connection)
        .await?;
    context_rows::context(&row, *now, subjects.to_vec(), nul_escaping::unescaped)
}
