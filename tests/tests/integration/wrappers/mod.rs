//! Tests the wrappers on their platforms' own runners, or on the nearest real thing.

mod action;
mod fetch_script;
mod gitlab;
mod inputs;
mod jenkins;
mod pipes;
