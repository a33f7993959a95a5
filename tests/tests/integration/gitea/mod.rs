//! Runs our GitHub Action on a real Gitea server with its own runner, and checks how every grant ends.
//!
//! `cargo xtask test` builds server and runner from the Go modules in `tests/gitea` and then runs these tests, which are
//! ignored otherwise; with `GITEA=long` those of the module `long` as well.

mod actions_runner;
mod first_line;
mod for_one_command;
mod for_the_job;
mod long;
mod lost;
mod no_oidc;
mod repository;
mod server;
mod site;
mod stopped;
mod workflow_run;
