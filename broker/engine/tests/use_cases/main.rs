//! Tests the use cases through the engine, with a broker that can be killed at any point.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed precondition fails the test"
)]

mod approvals;
mod break_glass;
mod crashes;
mod endings;
mod fixture;
mod health;
mod keys;
mod lapsed;
mod overlap;
mod people;
mod registrations;
mod resumed;
mod rules;
mod scopes;
mod slow;
mod worker;
