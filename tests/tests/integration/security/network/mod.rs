//! Tests of attackers who can reach the network or hold an auth token alone.

mod connections;
mod flood;
mod http_2;
mod log_lines;
mod time;
