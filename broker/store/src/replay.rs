//! What is the use of a token bound to?

use domain::{Grant, ReplayGuard};
use protocol::IdempotencyKey;

/// The beginning keeps the two apart: no job can be named like another agent's key.
pub(crate) fn bound_to(guard: &ReplayGuard, grant: &Grant) -> String {
    match &guard.bound_to {
        Some(job) => format!("job {job}"),
        None => {
            let key = grant.key.as_ref().map_or("", IdempotencyKey::as_str);
            format!("once {} {key}", grant.agent_id)
        }
    }
}
