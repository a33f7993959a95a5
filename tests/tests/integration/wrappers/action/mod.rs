//! Tests that the GitHub Action revokes its grant however its step and its job end.
//!
//! Its JavaScript runs on GitHub's version of Node, with one process for each half of a step; whole workflows run
//! under `act`. The tests query the broker, never the action.

mod act;
mod approval;
mod cancelled;
mod definitions;
mod download;
mod early_revoke;
mod for_one_command;
mod for_the_job;
mod hidden;
mod hub;
mod leaks;
mod step;
mod web;
mod workflows;
