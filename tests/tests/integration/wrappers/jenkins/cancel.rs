//! The grant of a build ends when Jenkins aborts the build, kills its processes or loses its agent.

use std::process::Command;
use std::time::{Duration, Instant};

use system_tests::broker::Broker;
use system_tests::runner::{self, ScheduledSignal, recipients};
use system_tests::waiting::eventually;

use super::BLOCK;
use super::build::{Build, Fixture};

/// How long Jenkins waits for a step after it has asked the step to end.
const FOR_A_STEP: Duration = Duration::from_secs(20);

/// Waits for the end of every grant, and prints how long that took.
fn nothing_is_live(fixture: &Fixture, schedule: &str, began: Instant, budget: Duration) {
    fixture.broker.wait_until_nothing_is_live();
    let took = began.elapsed();
    println!("cancel · jenkins · {schedule} · {} s · {} ms", budget.as_secs(), took.as_millis());
    assert!(budget.is_zero() || took < budget, "{took:?}");
}

/// Starts a build and waits for its block; returns the build and the token of its grant.
fn running(fixture: &Fixture, number: u32) -> (Build, String) {
    let mut build = fixture.build(number, BLOCK);
    build.line_in("running");
    assert_eq!(fixture.broker.live().len(), 1);
    let token = build.grant_token();
    (build, token)
}

#[test]
fn an_abort_ends_the_grant_and_then_the_block() {
    let fixture = Fixture::with(Broker::start());
    let (mut build, token) = running(&fixture, 151);
    let schedule = vec![ScheduledSignal::first("TERM", build.marked())];
    build.interrupt();
    let cancel = runner::cancel(0, schedule);
    let began = cancel.began;
    cancel.finish();
    nothing_is_live(&fixture, "abort: TERM to all of the workspace, finally runs", began, FOR_A_STEP);
    assert_eq!(build.result(), "ABORTED somebody");
    assert!(build.left_behind().is_empty(), "{:?}", build.left_behind());
    fixture.assert_no_leak(&build, Some(&token));
}

#[test]
fn a_build_that_is_killed_without_its_finally_leaves_no_grant() {
    let fixture = Fixture::with(Broker::start());
    let (mut build, token) = running(&fixture, 152);
    let marked = build.marked();
    build.kill();
    let cancel = runner::cancel(0, vec![ScheduledSignal::first("KILL", marked)]);
    let began = cancel.began;
    cancel.finish();
    nothing_is_live(&fixture, "kill: no finally, KILL to all of the workspace", began, Duration::ZERO);
    assert_eq!(fixture.broker.introspect(&token)["active"], false);
}

#[test]
fn lost_jenkins_agent_stops_its_heartbeats() {
    let fixture = Fixture::with(Broker::with_heartbeat("1s"));
    let (mut build, token) = running(&fixture, 153);
    let (holder, marked) = (build.holder(), build.marked());
    build.kill();
    let began = Instant::now();
    // Kills both with one command, keeper first, so that neither can revoke when the other dies.
    let pids = holder.map(|pid| pid.to_string());
    assert!(Command::new("kill").args(["-s", "KILL"]).args(pids).status().unwrap().success());
    let cancel = runner::cancel(0, vec![ScheduledSignal::first("KILL", marked.clone())]);
    cancel.finish();
    eventually("the end of the agent's processes", || recipients(0, &marked).is_empty().then_some(()));
    nothing_is_live(
        &fixture,
        "agent lost: all processes dead, a heartbeat every second",
        began,
        Duration::ZERO,
    );
    let reason = fixture.broker.grants("all")[0]["end_reason"].to_string();
    assert!(reason.contains("no heartbeat within the lease"), "{reason}");
    assert_eq!(fixture.broker.introspect(&token)["active"], false);
}
