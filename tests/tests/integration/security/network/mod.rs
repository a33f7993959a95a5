//! What can an outsider do who has nothing but the network, or the auth token alone?

mod connections;
mod flood;
mod http_2;
mod log_lines;
mod time;
