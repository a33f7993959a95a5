//! Scenarios that take minutes.

use std::process::{Child, Stdio};
use std::time::Instant;

use super::first_line::no_log_has_a_token;
use super::repository::Repository;
use super::server::killed_with_the_test;
use super::site::Site;
use super::stopped::{QUIET, UnderWay, nothing_is_left};

#[test]
#[ignore = "takes most of an hour: GITEA=long cargo xtask test"]
fn a_thousand_commands_never_show_the_token_in_their_first_line_at_load() {
    let cores = std::thread::available_parallelism().unwrap().get();
    let _load: Vec<Burner> = (0..cores * 2).map(|_| Burner::start()).collect();
    let site = Site::start();
    no_log_has_a_token(&site, 25, 40);
}

#[test]
#[ignore = "takes more than a minute: GITEA=long cargo xtask test"]
fn a_step_that_takes_longer_than_it_may_ends_with_its_grant() {
    let site = Site::start();
    // The step's time limit, because this runner ignores the job's.
    let limited = QUIET.replace("./action/run\n", "./action/run\n        timeout-minutes: 1\n");
    let step = UnderWay::on(&site, Repository::with(&limited));
    step.ends_in_time_after_node("timeout-minutes", Instant::now());
    step.post_has_run();
    step.run.finish().expect("failure");
    nothing_is_left(&site);
}

/// A process that keeps one core busy; dropping it kills the process.
struct Burner(Child);

impl Burner {
    fn start() -> Self {
        let mut busy = killed_with_the_test("sh".into());
        busy.args(["-c", "while :; do :; done"]).stdin(Stdio::null());
        Self(busy.spawn().unwrap())
    }
}

impl Drop for Burner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
