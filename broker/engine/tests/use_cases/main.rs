//! The use cases from outside, in a fixture in which the broker can die anywhere.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what a test cannot do without fails it"
)]

mod crashes;
mod endings;
mod fixture;
mod keys;
mod lapsed;
mod overlap;
mod registrations;
mod slow;
mod worker;
