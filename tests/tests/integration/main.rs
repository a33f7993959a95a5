//! Runs whole-system tests: the broker, the client, the wrappers and what they talk to are real processes.
//!
//! One folder for each subject: `cargo test --workspace --test integration aws::` runs one of them. All share one
//! process: a test changes nothing that belongs to the whole process (environment, working directory, limits,
//! signals), and what needs much of the machine enters a gate of `system_tests::gate` first.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails when something is not as expected"
)]

mod api;
mod architecture;
#[cfg(target_os = "linux")]
mod aws;
#[cfg(target_os = "linux")]
mod gitea;
mod identity;
#[cfg(target_os = "linux")]
mod lifecycle;
mod operations;
mod security;
#[cfg(target_os = "linux")]
mod wrappers;
