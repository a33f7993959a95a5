//! Do the wrappers without a runner of their own here (the CircleCI orb, the Bitbucket pipe, the examples) hold
//! against a live broker, played as their platforms play them?
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, whatever is not as expected is a failure"
)]

mod bitbucket;
mod bitbucket_step;
mod bitbucket_stopped;
mod circleci;
mod circleci_cancelled;
mod circleci_job;
mod example;
mod examples;
mod examples_cancelled;
mod handed_over;
mod hidden;
mod inputs;
mod machine;
mod orb;
mod orb_review;
mod platform;
mod readme;
mod scripts;
mod token_endpoint;
mod yaml;
