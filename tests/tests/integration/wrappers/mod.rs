//! Tests of the wrappers on their platforms' own runners, or on the closest substitute.

mod action;
mod fetch_script;
mod gitlab;
mod inputs;
mod jenkins;
mod pipes;
