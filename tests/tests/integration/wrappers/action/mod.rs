//! Does the GitHub Action give back what it was given, however its step and its job end?
//!
//! Its JavaScript runs on the Node that GitHub runs it on, one process for each half of a step; whole workflows
//! run under `act`. Asked is the broker, never the action.

mod act;
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
