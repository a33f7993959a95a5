//! Does `run` behave as if it were not there, and does it give back whatever happens? The real binary around
//! real steps, against a broker that misbehaves as it is told.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot be set up has failed")]

mod auth_token_file;
mod aws;
mod endpoint;
mod ends;
mod fake_broker;
mod keeper;
mod live;
mod masks;
mod memory;
mod orphaned;
mod output;
mod signals;
mod state;
mod stepping;
mod terminal;
