//! The runner is killed, alone or with its machine: its step's output has no reader, and no post half runs.

use std::fs;
use std::time::Instant;

use system_tests::broker::Broker;
use system_tests::client::{is_alive, kill};
use system_tests::runner::kill_the_machine;
use system_tests::waiting::{eventually, eventually_within};

use super::repository::Repository;
use super::site::{Identity, PATIENCE, Site, text};
use super::stopped::{QUIET, UnderWay, nothing_is_left};

#[test]
#[ignore = "needs Gitea, which `cargo xtask test` builds"]
fn quiet_command_keeps_its_grant_when_only_the_runner_is_killed() {
    let mut site = Site::start();
    {
        let step = UnderWay::on(&site, Repository::with(QUIET));
        kill(site.runner.pid(), "KILL");
        // Neither Node nor the client nor the command receives a signal.
        assert!(is_alive(step.node) && is_alive(step.shell));
        assert_eq!(site.broker.live().len(), 1);
    }
    site.runner.wait_for_its_end();
    fs::write(site.runner.outside("go"), "").unwrap();
    site.assert_ended(1, "step finished · exit 0");
    nothing_is_left(&site);
}

#[test]
#[ignore = "needs Gitea, which `cargo xtask test` builds"]
fn printing_command_and_its_grant_end_when_the_runner_is_killed() {
    let site = Site::start();
    let prints = QUIET.replace("$UNTIL_GO", "for _ in $(seq 3000); do echo tick; sleep 0.05; done");
    let step = UnderWay::on(&site, Repository::with(&prints));
    let began = Instant::now();
    kill(site.runner.pid(), "KILL");
    site.broker.wait_until_nothing_is_live();
    println!(
        "cancel · gitea · SIGKILL to the runner, command that prints · {} ms · {}",
        began.elapsed().as_millis(),
        text(&site.broker.given()[0], "/end_reason")
    );
    eventually("the end of the command", || (!is_alive(step.shell)).then_some(()));
    nothing_is_left(&site);
}

#[test]
#[ignore = "needs Gitea, which `cargo xtask test` builds"]
fn a_grant_of_the_job_ends_at_its_deadline_when_the_runner_is_killed() {
    let site = Site::start();
    let run = Repository::with(
        r#"      - uses: ./action
        with:
          policy: orders-read
          ttl: 20s
          $WHO
      - run: |
          echo $$ > "$OUTSIDE/pid"
          $UNTIL_GO
"#,
    )
    .push(&site);
    run.line_outside("pid");
    kill(site.runner.pid(), "KILL");
    eventually_within(PATIENCE, "the deadline", || site.broker.live().is_empty().then_some(()));
    let grants = site.broker.given();
    assert_eq!(text(&grants[0], "/end_reason"), "deadline reached", "{grants:?}");
}

#[test]
#[ignore = "needs Gitea, which `cargo xtask test` builds"]
fn a_lost_machine_ends_by_the_heartbeat() {
    let site = Site::with_broker(Broker::with_heartbeat("1s"), Identity::TokenFile);
    let step = UnderWay::on(&site, Repository::with(QUIET));
    let began = Instant::now();
    kill_the_machine(&[site.runner.pid()]);
    site.broker.wait_until_nothing_is_live();
    println!("cancel · gitea · machine lost · heartbeat: {} ms", began.elapsed().as_millis());
    eventually("the end of the command", || (!is_alive(step.shell)).then_some(()));
    let grants = site.broker.given();
    assert_eq!(text(&grants[0], "/end_reason"), "no heartbeat within the lease", "{grants:?}");
    nothing_is_left(&site);
}
