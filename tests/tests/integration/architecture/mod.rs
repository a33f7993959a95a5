//! Tests of the repository: the dependencies between crates and the inputs of a release.

mod dependencies;
mod release_inputs;
