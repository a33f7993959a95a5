//! Does the wrapper for GitLab do what it says: run by `gitlab-ci-local`, and stopped as a runner stops a job?

mod cancel;
mod definition;
mod hidden;
mod pipeline;
mod project;
mod runner_job;
mod shell;
