//! Tests of the HTTP API: agents, idempotency, operator requests and token grants.

mod agents;
mod idempotency;
mod operator_grants;
mod token_target;
