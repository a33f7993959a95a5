//! Every command from outside: the real binary and a scripted broker.
#![expect(clippy::unwrap_used, reason = "the functions around the tests fail as the tests do")]

mod agent;
mod doctor;
mod elevate;
mod gitea;
mod grants;
mod help;
mod observations;
mod program;
mod revoke;
mod rules;
mod scripted;
mod status;
mod trust;
