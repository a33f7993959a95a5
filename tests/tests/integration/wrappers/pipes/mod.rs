//! Tests the CircleCI orb, the Bitbucket pipe and the examples against a live broker, with simulated runners that
//! follow their platforms.

mod approval;
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
