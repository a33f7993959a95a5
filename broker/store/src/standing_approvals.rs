//! Standing approvals.

use std::time::Duration;

use async_trait::async_trait;
use domain::StandingApproval;
use protocol::{AgentId, StandingApprovalId, Timestamp};

use crate::StoreError;
use crate::columns::Columns;
use crate::error::corrupt;

/// How long a standing approval is kept after its end: a vote that it cast counts as long as it was not revoked.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// What persons approved in advance.
#[async_trait]
pub trait StandingApprovals: Send + Sync {
    /// Stores a standing approval. The id is new.
    async fn add_standing_approval(&self, new: &StandingApproval) -> Result<(), StoreError>;
    /// One standing approval, also for a day after its end, and when it was revoked.
    async fn standing_approval(
        &self,
        id: &StandingApprovalId,
    ) -> Result<Option<StandingApproval>, StoreError>;
    /// Standing approvals in force, of one agent or of all, the first to end first.
    async fn standing_approvals(
        &self,
        agent: Option<&AgentId>,
        now: Timestamp,
    ) -> Result<Vec<StandingApproval>, StoreError>;
    /// Replaces a standing approval. False if it is not as it was before.
    async fn change_standing_approval(
        &self,
        before: &StandingApproval,
        after: &StandingApproval,
    ) -> Result<bool, StoreError>;
}

/// In JSON, with the same text for the same value: a change compares it.
pub(crate) fn body(standing: &StandingApproval) -> Result<String, StoreError> {
    serde_json::to_string(standing).map_err(|error| corrupt("a standing approval to be stored", error))
}

/// From a row with `body`.
pub(crate) fn stored(row: &impl Columns) -> Result<StandingApproval, StoreError> {
    serde_json::from_str(row.text("body")?).map_err(|error| corrupt("a standing approval", error))
}
