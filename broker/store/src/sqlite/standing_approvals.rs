//! Stores standing approvals.

use async_trait::async_trait;
use domain::StandingApproval;
use protocol::{AgentId, StandingApprovalId, Timestamp};
use sqlx::SqliteConnection;

use super::Sqlite;
use crate::standing_approvals::{KEPT_FOR, body, stored};
use crate::{StandingApprovals, StoreError};

#[async_trait]
impl StandingApprovals for Sqlite {
    async fn add_standing_approval(&self, new: &StandingApproval) -> Result<(), StoreError> {
        let new = new.clone();
        self.write(move |connection| Box::pin(add(connection, new))).await
    }

    async fn standing_approval(
        &self,
        id: &StandingApprovalId,
    ) -> Result<Option<StandingApproval>, StoreError> {
        let id = id.clone();
        self.read(move |connection| Box::pin(get(connection, id))).await
    }

    async fn standing_approvals(
        &self,
        agent: Option<&AgentId>,
        now: Timestamp,
    ) -> Result<Vec<StandingApproval>, StoreError> {
        let agent = agent.cloned();
        self.read(move |connection| Box::pin(list(connection, agent, now))).await
    }

    async fn change_standing_approval(
        &self,
        before: &StandingApproval,
        after: &StandingApproval,
    ) -> Result<bool, StoreError> {
        let (before, after) = (before.clone(), after.clone());
        self.write(move |connection| Box::pin(change(connection, before, after))).await
    }
}

async fn add(connection: &mut SqliteConnection, new: StandingApproval) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO standing_approvals (id, agent_id, body, until, forget_after) VALUES (?1, ?2, ?3, ?4, ?5)",
    )
    .bind(new.id.as_str())
    .bind(new.agent_id.as_str())
    .bind(body(&new)?)
    .bind(new.until.as_millis())
    .bind(new.until.plus(KEPT_FOR).as_millis())
    .execute(connection)
    .await?;
    Ok(())
}

async fn get(
    connection: &mut SqliteConnection,
    id: StandingApprovalId,
) -> Result<Option<StandingApproval>, StoreError> {
    let row = sqlx::query("SELECT body FROM standing_approvals WHERE id = ?1")
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(stored).transpose()
}

async fn list(
    connection: &mut SqliteConnection,
    agent: Option<AgentId>,
    now: Timestamp,
) -> Result<Vec<StandingApproval>, StoreError> {
    let rows = sqlx::query(
        "SELECT body FROM standing_approvals WHERE (?1 IS NULL OR agent_id = ?1) AND ?2 < until
         ORDER BY until, id",
    )
    .bind(agent.as_ref().map(AgentId::as_str))
    .bind(now.as_millis())
    .fetch_all(connection)
    .await?;
    rows.iter().map(stored).filter(|found| !matches!(found, Ok(standing) if standing.revoked)).collect()
}

async fn change(
    connection: &mut SqliteConnection,
    before: StandingApproval,
    after: StandingApproval,
) -> Result<bool, StoreError> {
    let done = sqlx::query("UPDATE standing_approvals SET body = ?3 WHERE id = ?1 AND body = ?2")
        .bind(before.id.as_str())
        .bind(body(&before)?)
        .bind(body(&after)?)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}
