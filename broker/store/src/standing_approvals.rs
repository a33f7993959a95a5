//! Standing approvals as rows.

use std::time::Duration;

use domain::StandingApproval;

use crate::StoreError;
use crate::columns::Columns;
use crate::error::corrupt;

/// How long a standing approval is kept after its end: a vote that it cast counts as long as it was not revoked.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// In JSON, with the same text for the same value: a change compares it.
pub(crate) fn body(standing: &StandingApproval) -> Result<String, StoreError> {
    serde_json::to_string(standing).map_err(|error| corrupt("a standing approval to be stored", error))
}

/// From a row with `body`.
pub(crate) fn stored(row: &impl Columns) -> Result<StandingApproval, StoreError> {
    serde_json::from_str(row.text("body")?).map_err(|error| corrupt("a standing approval", error))
}
