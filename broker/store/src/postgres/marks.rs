//! Marks live grants to be decided again.

use protocol::{AgentId, Timestamp};
use sqlx::PgConnection;

use crate::StoreError;
use crate::posture::Subject;

/// A grant that is marked already keeps its place among the others. Two changes lock the rows in the same order.
macro_rules! mark {
    ($which:literal) => {
        concat!(
            "WITH live AS MATERIALIZED (
                 SELECT number FROM grants WHERE status IN ('pending_approval', 'applying', 'active') AND ",
            $which,
            " ORDER BY number FOR NO KEY UPDATE
             )
             UPDATE grants SET reevaluate_at = least(reevaluate_at, $1), reevaluation = reevaluation + 1
             FROM live WHERE grants.number = live.number"
        )
    };
}

/// The first condition is the one of the partial index `grants_live`.
pub(super) const EVERY_LIVE: &str = mark!("status NOT IN ('denied', 'failed', 'revoked')");
pub(super) const OF_AGENT: &str = mark!("agent_id = $2");
/// The signed facts stand before the claimed ones, and no other key of a grant is named like a fact.
pub(super) const WITH_FACT: &str = mark!(
    "status NOT IN ('denied', 'failed', 'revoked') AND strpos(split_part(body, '\"claimed\":', 1), $2) > 0"
);

pub(super) async fn every_live(connection: &mut PgConnection, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query(EVERY_LIVE).bind(now.as_millis()).execute(connection).await?;
    Ok(())
}

pub(super) async fn of_agent(
    connection: &mut PgConnection,
    agent: &AgentId,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(OF_AGENT).bind(now.as_millis()).bind(agent.as_str()).execute(connection).await?;
    Ok(())
}

pub(super) async fn of_subject(
    connection: &mut PgConnection,
    subject: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    match Subject::of(subject) {
        Some(Subject::Agent(agent)) => of_agent(connection, &agent, now).await,
        Some(Subject::Fact(in_body)) => {
            sqlx::query(WITH_FACT).bind(now.as_millis()).bind(in_body).execute(connection).await?;
            Ok(())
        }
        None => Ok(()),
    }
}
