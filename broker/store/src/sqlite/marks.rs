//! Marks live grants to be decided again.

use protocol::{AgentId, Timestamp};
use sqlx::SqliteConnection;

use crate::StoreError;
use crate::posture::Subject;

/// A grant that is marked already keeps its place among the others.
macro_rules! mark {
    ($which:literal) => {
        concat!(
            "UPDATE grants SET reevaluate_at = min(coalesce(reevaluate_at, ?1), ?1), reevaluation = reevaluation + 1
             WHERE status IN ('pending_approval', 'applying', 'active') AND ",
            $which
        )
    };
}

pub(super) const EVERY_LIVE: &str = mark!("final = 0");
pub(super) const OF_AGENT: &str = mark!("agent_id = ?2");
/// The signed facts stand before the claimed ones, and no other key of a grant is named like a fact.
pub(super) const WITH_FACT: &str =
    mark!("final = 0 AND instr(substr(body, 1, instr(body, '\"claimed\":')), ?2) > 0");

pub(super) async fn every_live(connection: &mut SqliteConnection, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query(EVERY_LIVE).bind(now.as_millis()).execute(connection).await?;
    Ok(())
}

pub(super) async fn of_agent(
    connection: &mut SqliteConnection,
    agent: &AgentId,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(OF_AGENT).bind(now.as_millis()).bind(agent.as_str()).execute(connection).await?;
    Ok(())
}

pub(super) async fn of_subject(
    connection: &mut SqliteConnection,
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
