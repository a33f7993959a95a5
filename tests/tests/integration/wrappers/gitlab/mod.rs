//! Tests the GitLab wrapper with `gitlab-ci-local`, and with jobs that stop as a runner stops them.

mod approval;
mod cancel;
mod definition;
mod hidden;
mod pipeline;
mod project;
mod runner_job;
mod shell;
