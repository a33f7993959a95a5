//! Tests of the client's commands for observations and rules against a real broker.

mod rules;
mod steps;
