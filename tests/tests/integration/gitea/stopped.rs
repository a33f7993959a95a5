//! How Gitea's runner stops a step, and how long the step's grant stays live after that.
//!
//! The runner sends SIGKILL to Node, the step's only direct process, and waits until the step's output is closed.
//! Neither the client nor the command receives a signal.

use std::fs;
use std::time::{Duration, Instant};

use system_tests::client::{is_alive, kill};
use system_tests::waiting::{eventually, eventually_within};

use super::repository::Repository;
use super::site::{PATIENCE, Site};
use super::workflow_run::WorkflowRun;

/// The longest time from the end of Node to the end of the grant. The aim is one second; at a load of 43 on two cores
/// it took two.
const BUDGET: Duration = Duration::from_secs(10);

pub(crate) const QUIET: &str = r#"      - uses: ./action/run
        with:
          policy: orders-read
          $WHO
          run: |
            echo $$ > "$OUTSIDE/pid"
            $UNTIL_GO
"#;

/// A step whose quiet command has begun.
pub(crate) struct UnderWay<'site> {
    site: &'site Site,
    pub(crate) run: WorkflowRun<'site>,
    pub(crate) node: i32,
    pub(crate) shell: i32,
}

impl<'site> UnderWay<'site> {
    #[track_caller]
    pub(crate) fn on(site: &'site Site, repository: Repository) -> Self {
        let run = repository.push(site);
        let shell = run.line_outside("pid").parse().unwrap();
        assert_eq!(site.broker.live().len(), 1, "the command runs, so its grant is live");
        Self { site, run, node: site.runner.main_half(), shell }
    }

    /// Waits for the end of Node, then for the end of the grant and of the command.
    #[track_caller]
    pub(crate) fn ends_in_time_after_node(&self, how: &str, began: Instant) {
        self.grant_ends_in_time_after_node(how, began);
        eventually("the end of the command", || (!is_alive(self.shell)).then_some(()));
    }

    /// Waits for the end of Node, then for the end of the grant. Prints and checks the time between.
    #[track_caller]
    fn grant_ends_in_time_after_node(&self, how: &str, began: Instant) {
        eventually_within(PATIENCE, "the end of Node", || (!is_alive(self.node)).then_some(()));
        let killed = Instant::now();
        self.site.broker.wait_until_nothing_is_live();
        let took = killed.elapsed();
        println!(
            "cancel · gitea · {how} · {} ms · {} ms after Node's end, which was after {} ms",
            BUDGET.as_millis(),
            took.as_millis(),
            killed.duration_since(began).as_millis()
        );
        assert!(took < BUDGET, "{took:?} after Node's end");
    }

    /// Waits until the post half has requested the timeline, which the killed main half could not.
    #[track_caller]
    pub(crate) fn post_has_run(&self) {
        eventually_within(PATIENCE, "post", || {
            self.site.runner.calls().contains(&"timeline".to_owned()).then_some(())
        });
    }
}

#[test]
#[ignore = "needs Gitea, which `cargo xtask test` builds"]
fn a_cancelled_run_ends_a_quiet_command_and_its_grant() {
    let site = Site::start();
    let step = UnderWay::on(&site, Repository::with(QUIET));
    let began = Instant::now();
    step.run.cancel();
    step.ends_in_time_after_node("cancel", began);
    step.post_has_run();
    step.run.finish().expect("cancelled");
    assert_eq!(site.broker.given().len(), 1);
    nothing_is_left(&site);
}

#[test]
#[ignore = "needs Gitea, which `cargo xtask test` builds"]
fn a_runner_that_is_stopped_ends_the_command_and_its_grant() {
    let mut site = Site::start();
    let began;
    {
        let step = UnderWay::on(&site, Repository::with(QUIET));
        began = Instant::now();
        kill(site.runner.pid(), "TERM");
        step.ends_in_time_after_node("SIGTERM to the runner", began);
        step.post_has_run();
    }
    site.runner.wait_for_its_end();
    println!("the runner ended {} ms after its SIGTERM", began.elapsed().as_millis());
    nothing_is_left(&site);
}

#[test]
#[ignore = "needs Gitea, which `cargo xtask test` builds"]
fn a_killed_node_ends_the_command_and_its_grant_and_post_runs() {
    let site = Site::start();
    let step = UnderWay::on(&site, Repository::with(QUIET));
    let began = Instant::now();
    kill(step.node, "KILL");
    step.ends_in_time_after_node("SIGKILL to Node", began);
    step.post_has_run();
    step.run.finish().expect("failure");
    nothing_is_left(&site);
}

#[test]
#[ignore = "needs Gitea, which `cargo xtask test` builds"]
fn command_that_ignores_signals_keeps_neither_grant_nor_job() {
    let site = Site::start();
    let ignores_signals = QUIET.replace("echo $$", "trap '' INT TERM HUP; echo $$");
    let step = UnderWay::on(&site, Repository::with(&ignores_signals));
    let began = Instant::now();
    step.run.cancel();
    step.grant_ends_in_time_after_node("cancel, command that ignores signals", began);
    step.post_has_run();
    println!(
        "post ran {} ms after the cancel of a command that ignores signals",
        began.elapsed().as_millis()
    );
    assert!(is_alive(step.shell), "the runner in host mode ends the process");
    step.run.finish().expect("cancelled");
    fs::write(site.runner.outside("go"), "").unwrap();
    nothing_is_left(&site);
}

#[test]
#[ignore = "needs Gitea, which `cargo xtask test` builds"]
fn a_cancelled_job_with_a_grant_of_its_own_ends_by_post() {
    let site = Site::start();
    let run = Repository::with(
        r#"      - uses: ./action
        with:
          policy: orders-read
          $WHO
      - run: |
          echo $$ > "$OUTSIDE/pid"
          $UNTIL_GO
"#,
    )
    .push(&site);
    run.line_outside("pid");
    assert_eq!(site.broker.live().len(), 1);
    let began = Instant::now();
    run.cancel();
    site.broker.wait_until_nothing_is_live();
    println!("cancel · gitea · cancel, `./action` for the job · {} ms by post", began.elapsed().as_millis());
    run.finish().expect("cancelled");
    site.assert_ended(1, "asked by the client");
    nothing_is_left(&site);
}

#[track_caller]
pub(crate) fn nothing_is_left(site: &Site) {
    eventually_within(PATIENCE, "the end of every process of the job", || {
        site.runner.processes_of_jobs().is_empty().then_some(())
    });
}
