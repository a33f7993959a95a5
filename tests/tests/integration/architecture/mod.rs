//! Tests the repository itself: which crate uses which, and what a release is built with.

mod dependencies;
mod release_inputs;
