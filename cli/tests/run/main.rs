//! `run` is transparent for its step and revokes however it ends: the real binary around real steps, against a fake
//! broker that fails as planned.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot be set up has failed")]

mod auth_token_file;
mod aws;
mod aws_call_log;
mod endpoint;
mod ends;
mod fake_broker;
mod harness;
mod keeper;
mod masks;
mod memory;
mod observe;
mod orphaned;
mod output;
mod signals;
mod state;
mod terminal;
