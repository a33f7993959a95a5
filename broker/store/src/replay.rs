//! Binds the use of an OIDC token to a job or a request.

use domain::ReplayGuard;
use protocol::{AgentId, IdempotencyKey};

/// The prefix keeps the two apart: no job can be named like another agent's key.
pub(crate) fn bound_to(guard: &ReplayGuard, agent: &AgentId, key: Option<&IdempotencyKey>) -> String {
    match &guard.bound_to {
        Some(job) => format!("job {job}"),
        None => format!("once {agent} {}", key.map_or("", IdempotencyKey::as_str)),
    }
}
