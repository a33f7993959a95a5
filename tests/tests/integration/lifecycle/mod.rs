//! Tests that every grant ends: when its step ends in any way, and when the broker is killed at any time.

mod broker_killed;
mod step_endings;
