//! Bounds the records of denied requests.
//!
//! A caller with both credentials of an agent can be denied as often as it likes. So a request is one row, however
//! often it is denied; an agent has a bounded number of such rows; and a row is deleted when the request does not come
//! again.

use std::time::Duration;

use domain::grant::Transition;
use domain::{Decision, ReplayGuard};
use protocol::IdempotencyKey;

/// How many different denied requests are kept for one agent.
pub const DENIALS_KEPT: u32 = 1000;

/// How long a denied request is kept after its last denial.
pub const DENIALS_KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

#[derive(Debug, Clone, Copy)]
pub struct DeniedRequest<'a> {
    /// The denied grant, with the hash of its request.
    pub transition: &'a Transition,
    /// The key of the request. A denial does not keep it, but the use of the OIDC token is bound to it.
    pub key: &'a IdempotencyKey,
    /// The OIDC token of the request, which is consumed.
    pub replay: Option<&'a ReplayGuard>,
    /// Why it was denied, if the rules decided.
    pub decision: Option<&'a Decision>,
}

/// What became of a denied request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenialOutcome {
    New,
    /// The request is on record, and its counter was raised.
    Again,
    /// The agent has [`DENIALS_KEPT`] others: only the use of the token was written.
    Full,
    /// The token was consumed by another request: nothing was written.
    Replayed,
}
