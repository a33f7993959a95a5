//! The broker ends the grant however its step ends.

use std::time::{Duration, Instant};

use serde_json::Value;
use system_tests::broker::Broker;
use system_tests::client::{Client, Running, is_alive, kill};
use system_tests::fixture::Fixture;
use system_tests::lossy_proxy::LossyProxy;
use system_tests::waiting::eventually;

/// Writes its grant's id to a file, then waits for the file `go`.
const WAITS: &str = "echo $$ > pid; echo $CLOUDANIX_GRANT_ID > grant; until test -e go || ! test -e grant; do sleep 0.01; done";
/// The same, but ignores every signal that a process can ignore.
const IGNORES_SIGNALS: &str = "trap '' INT TERM HUP; echo $$ > pid; echo $CLOUDANIX_GRANT_ID > grant; \
                    until test -e go || ! test -e grant; do sleep 0.01; done";

fn run(fixture: &Fixture, step: &[&str]) -> Client {
    fixture.client(&[&["run", "--policy", "orders-read", "--ttl", "15m", "--"], step].concat())
}

fn start(fixture: &Fixture, script: &str) -> (Running, i32) {
    let mut running = run(fixture, &["sh", "-c", script]).start();
    let step = running.line_in("pid").parse().unwrap();
    running.line_in("grant");
    assert_eq!(fixture.broker.live().len(), 1, "the step runs, so its grant is live");
    (running, step)
}

/// Asserts that no grant is live, and that the only grant ended for this reason with an intact timeline.
#[track_caller]
fn assert_ended(broker: &Broker, reason: &str) {
    broker.wait_until_nothing_is_live();
    let grants = broker.given();
    assert_eq!(grants.len(), 1, "{grants:?}");
    let text = |name: &str| grants[0].get(name).and_then(Value::as_str).unwrap_or_default();
    assert_eq!((text("status"), text("end_reason")), ("revoked", reason));
    let timeline = broker.timeline(text("id"));
    let kinds: Vec<&str> =
        timeline["events"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
    // A retry that was on its way when its client was killed can be recorded after the end.
    let last = kinds.iter().rfind(|kind| **kind != "retry");
    assert_eq!((kinds.first(), last), (Some(&"elevate"), Some(&"revoked")), "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "revoked").count(), 1, "{kinds:?}");
}

#[test]
fn the_step_ends_by_itself_in_every_way_that_a_step_can() {
    for (step, code, reason) in [
        (&["true"][..], 0, "step finished · exit 0"),
        (&["sh", "-c", "exit 3"], 3, "step finished · exit 3"),
        (&["./not-there"], 127, "step could not be started"),
        (&["/"], 126, "step could not be started"),
        (&["sh", "-c", "kill -KILL $$"], 137, "step killed · SIGKILL"),
        (&["sh", "-c", "kill -SEGV $$"], 139, "step killed · SIGSEGV"),
    ] {
        let fixture = Fixture::start();
        let finished = run(&fixture, step).finish();
        finished.assert_code(code);
        // The client waits for the broker's response, so the revoke has happened when the client exits.
        assert!(fixture.broker.live().is_empty(), "{step:?}");
        assert_ended(&fixture.broker, reason);
        assert_eq!(finished.left_behind(), Vec::<std::path::PathBuf>::new(), "{step:?}");
    }
}

#[test]
fn a_signal_to_the_wrapper_ends_the_grant_and_reaches_the_step() {
    for (signal, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        let fixture = Fixture::start();
        let (running, step) = start(&fixture, WAITS);
        running.signal(signal);
        assert_ended(&fixture.broker, &format!("interrupted · SIG{signal}"));
        running.finish().assert_code(128 + number);
        assert!(!is_alive(step), "the step received the signal too");
    }
}

#[test]
fn cancelled_github_job_loses_its_grant_at_the_first_signal() {
    let fixture = Fixture::start();
    let (mut running, step) = start(&fixture, IGNORES_SIGNALS);
    let keeper = running.keeper();
    // The runner sends INT, TERM 7.5 s later and KILL 2.5 s later. The client finishes its work after INT, so the other
    // signals may follow at once.
    running.signal("INT");
    fixture.broker.wait_until_nothing_is_live();
    assert!(is_alive(step) && !running.has_ended(), "a step that ignores signals continues without a grant");
    running.signal("TERM");
    running.signal("KILL");
    kill(step, "KILL");
    eventually("the keeper's end", || (!is_alive(keeper)).then_some(()));
    assert_ended(&fixture.broker, "interrupted · SIGINT");
}

#[test]
fn cancelled_job_is_revoked_when_the_broker_returns() {
    let mut fixture = Fixture::start();
    let (running, step) = start(&fixture, IGNORES_SIGNALS);
    fixture.broker.kill();
    running.signal("INT");
    running.signal("TERM");
    running.signal("KILL");
    kill(step, "KILL");
    fixture.broker.restart();
    fixture.broker.wait_until_nothing_is_live();
    assert_ended(&fixture.broker, "wrapper killed · keeper revoked the grant");
}

#[test]
fn keeper_revokes_when_the_client_is_killed_at_once() {
    let fixture = Fixture::start();
    let (running, step) = start(&fixture, WAITS);
    let keeper = running.keeper();
    running.signal("KILL");
    fixture.broker.wait_until_nothing_is_live();
    eventually("the keeper's end", || (!is_alive(keeper)).then_some(()));
    kill(step, "KILL");
    assert_ended(&fixture.broker, "wrapper killed · keeper revoked the grant");
}

#[test]
fn lost_machine_stops_its_heartbeats() {
    let fixture = Fixture::with(Broker::with_heartbeat("1s"));
    let (running, step) = start(&fixture, WAITS);
    let keeper = running.keeper();
    for pid in [keeper, running.pid(), step] {
        kill(pid, "KILL");
    }
    assert_ended(&fixture.broker, "no heartbeat within the lease");
}

#[test]
fn heartbeats_keep_a_grant_beyond_one_lease() {
    let fixture = Fixture::with(Broker::with_heartbeat("1s"));
    let (mut running, _) = start(&fixture, WAITS);
    let grant = running.line_in("grant");
    let began = Instant::now();
    eventually("five seconds of a live grant", || {
        assert_eq!(fixture.broker.live().len(), 1, "{}", fixture.broker.timeline(&grant));
        (began.elapsed() > Duration::from_secs(5)).then_some(())
    });
    running.touch("go");
    running.finish().assert_code(0);
    assert_ended(&fixture.broker, "step finished · exit 0");
}

#[test]
fn deadline_ends_the_grant_of_a_running_step() {
    let fixture = Fixture::start();
    let script = ["run", "--policy", "orders-read", "--ttl", "2s", "--", "sh", "-c", WAITS];
    let mut running = fixture.client(&script).start();
    running.line_in("grant");
    fixture.broker.wait_until_nothing_is_live();
    assert!(!running.has_ended(), "{}", running.stderr());
    running.touch("go");
    let finished = running.finish();
    finished.assert_code(0);
    assert!(finished.stderr.contains("the step goes on without it"), "{}", finished.stderr);
    assert_ended(&fixture.broker, "deadline reached");
}

#[test]
fn missed_deadline_is_enforced_when_the_broker_returns() {
    let mut fixture = Fixture::start();
    let script = ["run", "--policy", "orders-read", "--ttl", "1s", "--", "sh", "-c", WAITS];
    let mut running = fixture.client(&script).start();
    running.line_in("grant");
    let keeper = running.keeper();
    fixture.broker.kill();
    let killed = Instant::now();
    for pid in [keeper, running.pid()] {
        kill(pid, "KILL");
    }
    eventually("the deadline", || (killed.elapsed() > Duration::from_millis(1100)).then_some(()));
    fixture.broker.restart();
    assert_ended(&fixture.broker, "deadline reached");
    running.touch("go");
}

#[test]
fn keeper_revokes_a_step_that_ends_while_the_broker_is_away() {
    let mut fixture = Fixture::start();
    let (running, _) = start(&fixture, WAITS);
    let keeper = running.keeper();
    fixture.broker.kill();
    running.touch("go");
    let finished = running.finish();
    finished.assert_code(0);
    assert!(finished.stderr.contains("not confirmed yet"), "{}", finished.stderr);
    assert!(is_alive(keeper), "the client stopped retrying");
    fixture.broker.restart();
    assert_ended(&fixture.broker, "step finished · exit 0");
    eventually("the keeper's end", || (!is_alive(keeper)).then_some(()));
}

#[test]
fn a_reply_that_is_lost_costs_a_retry_and_no_second_grant() {
    let fixture = Fixture::start();
    let proxy = LossyProxy::in_front_of(fixture.broker.url());
    proxy.lose("POST /v2/agentic/jit ", 2);
    let step =
        ["run", "--policy", "orders-read", "--ttl", "15m", "--", "sh", "-c", "echo $CLOUDANIX_GRANT_ID"];
    let finished = fixture.client_at(&proxy.url(), &step).finish();
    finished.assert_code(0);
    assert_eq!((proxy.lost(), proxy.count("POST /v2/agentic/jit ")), (2, 3));
    assert_ended(&fixture.broker, "step finished · exit 0");
    assert_eq!(finished.stdout.trim(), fixture.broker.given()[0]["id"], "the step had this very grant");
}

#[test]
fn when_every_reply_is_lost_nothing_stays_behind() {
    let fixture = Fixture::start();
    let proxy = LossyProxy::in_front_of(fixture.broker.url());
    proxy.lose("POST /v2/agentic/jit ", usize::MAX);
    let step =
        ["run", "--policy", "orders-read", "--ttl", "15m", "--timeout", "2s", "--", "sh", "-c", "echo ran"];
    let finished = fixture.client_at(&proxy.url(), &step).finish();
    finished.assert_code(125);
    assert_eq!(finished.stdout, "", "no step without a grant");
    assert!(proxy.lost() >= 2);
    assert_ended(&fixture.broker, "step could not be started");
}

#[test]
fn a_wrapper_killed_before_the_reply_leaves_nothing_behind() {
    let fixture = Fixture::start();
    let proxy = LossyProxy::in_front_of(fixture.broker.url());
    proxy.lose("POST /v2/agentic/jit ", usize::MAX);
    let step = ["run", "--policy", "orders-read", "--ttl", "15m", "--", "sh", "-c", "echo ran > ran"];
    let running = fixture.client_at(&proxy.url(), &step).start();
    eventually("a lost reply", || (proxy.lost() > 0).then_some(()));
    assert_eq!(fixture.broker.live().len(), 1, "the broker issued the grant and its response was lost");
    running.signal("KILL");
    assert_ended(&fixture.broker, "wrapper killed · keeper revoked the grant");
    assert!(!running.folder().join("ran").exists());
}

#[test]
fn a_reply_to_the_revoke_that_is_lost_changes_nothing() {
    let fixture = Fixture::start();
    let proxy = LossyProxy::in_front_of(fixture.broker.url());
    proxy.lose("DELETE ", 2);
    let step = ["run", "--policy", "orders-read", "--ttl", "15m", "--", "true"];
    let finished = fixture.client_at(&proxy.url(), &step).finish();
    finished.assert_code(0);
    assert!(finished.stderr.contains("✓ revoke"), "{}", finished.stderr);
    assert_ended(&fixture.broker, "step finished · exit 0");
}
