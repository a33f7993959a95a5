//! Does the wrapper for GitLab do what it says: run by `gitlab-ci-local`, and stopped as a runner stops a job?
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    reason = "in a test, whatever is not as expected is a failure"
)]

mod cancel;
mod definition;
mod hidden;
mod pipeline;
mod project;
mod shell;
mod stage;
