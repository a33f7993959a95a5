//! Tests what the API grants, to whom, and how often.

mod agents;
mod idempotency;
mod operator_grants;
mod token_target;
