//! What can an outsider do who has nothing but the network, or the auth token alone?
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in a test, whatever is not as expected is a failure"
)]

mod connections;
mod flood;
mod http_2;
mod log_lines;
mod time;
