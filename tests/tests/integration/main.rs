//! System tests: the broker, the client, the wrappers and their peers run as real processes.
//!
//! Each subject has its folder; `cargo test --workspace --test integration aws::` runs one of them. All tests share one
//! process, so a test changes no state of the process (environment, working directory, limits, signals), and a test
//! that needs much of the machine first enters a gate of `system_tests::gate`.

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
#[cfg(target_os = "linux")]
mod observe;
mod operations;
#[cfg(target_os = "linux")]
mod people;
mod rules;
mod security;
#[cfg(target_os = "linux")]
mod wrappers;
