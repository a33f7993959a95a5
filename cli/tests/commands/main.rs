//! Does each command keep its word, seen from outside: the real binary, a scripted broker, nothing else?
#![expect(clippy::unwrap_used, reason = "the functions around the tests fail as the tests do")]

mod agent;
mod doctor;
mod elevate;
mod gitea;
mod grants;
mod help;
mod program;
mod revoke;
mod scripted;
mod status;
mod trust;
