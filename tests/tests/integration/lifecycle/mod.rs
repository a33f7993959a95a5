//! Tests that every grant ends, however its step ends and whenever the broker is killed.

mod broker_killed;
mod step_endings;
