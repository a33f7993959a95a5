//! Starts and drives the real processes that whole-system tests need.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails when something is not as expected"
)]

pub mod approvals;
pub mod aws;
pub mod broker;
pub mod browser;
pub mod certificates;
pub mod client;
pub mod fixture;
pub mod folder;
pub mod gate;
pub mod http;
pub mod leak_scan;
pub mod lossy_proxy;
mod node_script;
pub mod oidc_provider;
pub mod onlooker;
pub mod people;
pub mod programs;
pub mod replicas;
pub mod runner;
pub mod time;
pub mod waiting;
pub mod webhooks;
pub mod wrappers;
pub mod yaml_files;
