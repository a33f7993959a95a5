//! GitHub cancels a job: INT to the action's process alone, TERM 7.5 s later, KILL 2.5 s later. Then `post` runs,
//! unless the cancel was forced or the runner is lost. The grant ends within that time.

use std::time::{Duration, Instant};

use system_tests::broker::Broker;
use system_tests::client::{is_alive, kill};
use system_tests::lossy_proxy::LossyProxy;
use system_tests::runner::{Recipients, ScheduledSignal, cancel, kill_the_machine, recipients};
use system_tests::waiting::{eventually, eventually_within};

use super::hub::Hub;
use super::step::{Running, Step, line_in};

const BUDGET: Duration = Duration::from_millis(7500);
/// Runs until the file `go` exists.
const WAITS: &str = "echo $$ > pid; until test -e go; do sleep 0.05; done";
/// The same, but ignores every signal that a process can ignore.
const IGNORES_SIGNALS: &str = "trap '' INT TERM HUP; echo $$ > pid; until test -e go; do sleep 0.05; done";

/// Starts a step and waits until its command runs in its shell.
fn under_way(hub: &Hub, script: &str) -> (Step, Running, i32) {
    let step = Step::of(hub).input("run", script);
    let main = step.start("main.js");
    let shell = line_in(&step.in_workspace("pid")).parse().unwrap();
    assert_eq!(hub.broker.live().len(), 1, "the command runs, so its grant is live");
    (step, main, shell)
}

fn schedule() -> Vec<ScheduledSignal> {
    vec![
        ScheduledSignal::first("INT", Recipients::Entry),
        ScheduledSignal::then(7500, "TERM", Recipients::Entry),
        ScheduledSignal::then(10_000, "KILL", Recipients::Entry),
    ]
}

fn tell(schedule: &str, budget: Duration, began: Instant) {
    println!("cancel · github · {schedule} · {} ms · {} ms", budget.as_millis(), began.elapsed().as_millis());
}

#[test]
fn a_command_that_obeys_is_gone_at_the_first_signal() {
    let hub = Hub::start();
    let (step, main, shell) = under_way(&hub, WAITS);
    let cancelled = cancel(main.pid(), schedule());
    hub.broker.wait_until_nothing_is_live();
    tell("INT", BUDGET, cancelled.began);
    assert!(cancelled.began.elapsed() < BUDGET);
    main.finish().assert_code(130);
    assert!(cancelled.began.elapsed() < BUDGET, "no process is left for TERM and KILL");
    assert!(!is_alive(shell));
    cancelled.finish();
    assert_eq!(step.output("revoked"), "true");
    assert_eq!(step.run("post.js").assert_code(0).annotations("warning"), Vec::<&str>::new());
    hub.assert_ended(1, "interrupted · SIGINT");
}

#[test]
fn command_that_ignores_signals_continues_without_a_grant() {
    let hub = Hub::start();
    let (step, main, shell) = under_way(&hub, IGNORES_SIGNALS);
    let cancelled = cancel(main.pid(), schedule());
    hub.broker.wait_until_nothing_is_live();
    tell("INT, TERM, KILL, command that ignores signals", BUDGET, cancelled.began);
    assert!(cancelled.began.elapsed() < BUDGET);
    assert!(is_alive(shell), "the command ignores the signals");
    cancelled.finish();
    assert_eq!(main.finish().code, None, "killed at the end");
    assert_eq!(step.run("post.js").assert_code(0).annotations("warning"), Vec::<&str>::new());
    hub.assert_ended(1, "interrupted · SIGINT");
    // GitHub finds this process by RUNNER_TRACKING_ID when the job has ended.
    kill(shell, "KILL");
}

#[test]
fn cancelled_step_is_revoked_when_the_broker_returns() {
    let mut hub = Hub::start();
    let (step, main, shell) = under_way(&hub, WAITS);
    hub.broker.kill();
    let cancelled = cancel(main.pid(), schedule());
    let ended = main.finish();
    assert!(cancelled.began.elapsed() < Duration::from_secs(10), "before it is killed");
    let warnings = ended.assert_code(130).annotations("warning");
    let grant = step.output("grant-id");
    assert_eq!(
        warnings,
        [format!("it is not confirmed that {grant} has ended; it is tried again when the job ends")]
    );
    assert_eq!(step.output("revoked"), "false");
    assert!(!is_alive(shell));
    cancelled.finish();
    hub.broker.restart();
    assert_eq!(step.run("post.js").assert_code(0).annotations("warning"), Vec::<&str>::new());
    assert!(hub.broker.live().is_empty());
}

#[test]
fn a_step_that_still_asks_gets_nothing() {
    let hub = Hub::start();
    for run in ["", "touch ran"] {
        let proxy = LossyProxy::in_front_of(hub.broker.url());
        proxy.lose("POST /v2/agentic/jit ", 1000);
        let step = Step::of(&hub).input("url", &proxy.url()).input("run", run);
        let main = step.start("main.js");
        eventually("a lost answer", || (proxy.lost() > 0).then_some(()));
        let cancelled = cancel(main.pid(), schedule());
        main.finish().assert_code(130);
        tell("INT, still asking", BUDGET, cancelled.began);
        assert!(cancelled.began.elapsed() < BUDGET);
        cancelled.finish();
        assert!(hub.broker.live().is_empty() && !step.in_workspace("ran").exists());
        step.run("post.js").assert_code(0);
    }
    assert_eq!(hub.broker.given().len(), 2);
}

#[test]
fn post_revokes_the_grant_of_the_job() {
    let hub = Hub::start();
    let step = Step::of(&hub);
    step.run("main.js").assert_code(0);
    // The runner stops the current step, and then runs this half of the earlier one.
    let began = Instant::now();
    step.run("post.js").assert_code(0);
    assert!(hub.broker.live().is_empty());
    tell("post", Duration::from_secs(285), began);
    hub.assert_ended(1, "asked by the client");
}

/// The runner of Gitea and Forgejo sends SIGKILL to the step's direct process for every kind of stop.
#[test]
fn a_runner_that_kills_the_main_half_alone_ends_command_and_grant() {
    for (command, script) in [("", WAITS), (", command that ignores signals", IGNORES_SIGNALS)] {
        let hub = Hub::start();
        let (_step, main, shell) = under_way(&hub, script);
        let cancelled = cancel(main.pid(), vec![ScheduledSignal::first("KILL", Recipients::Entry)]);
        hub.broker.wait_until_nothing_is_live();
        tell(&format!("KILL to main alone, no post{command}"), Duration::ZERO, cancelled.began);
        hub.assert_ended(1, "interrupted · the client's parent process ended");
        cancelled.finish();
        main.finish();
        if script == IGNORES_SIGNALS {
            assert!(is_alive(shell), "the command ignores the signals");
            kill(shell, "KILL");
        }
        eventually("the command's end", || (!is_alive(shell)).then_some(()));
    }
}

#[test]
fn a_forced_stop_or_a_lost_runner_ends_with_the_heartbeats() {
    let hub = Hub::with(Broker::with_heartbeat("1s"));
    let (_step, main, _) = under_way(&hub, IGNORES_SIGNALS);
    let began = Instant::now();
    let all = recipients(main.pid(), &Recipients::Tree);
    assert!(all.len() >= 4, "main, client, keeper, command: {all:?}");
    kill_the_machine(&[main.pid()]);
    eventually_within(Duration::from_secs(30), "the end of every grant", || {
        hub.broker.live().is_empty().then_some(())
    });
    tell("KILL to all, no post, a heartbeat each second", Duration::ZERO, began);
    assert_eq!(main.finish().code, None);
    hub.assert_ended(1, "no heartbeat within the lease");
}
