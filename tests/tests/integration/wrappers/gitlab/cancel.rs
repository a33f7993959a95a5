//! However a runner stops a job, its grant ends within the runner's grace period, or within the lease.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use system_tests::broker::Broker;
use system_tests::fixture::Fixture;
use system_tests::runner::{Recipients, ScheduledSignal, cancel, recipients};

use super::project::Project;
use super::runner_job::Job;

/// Each job writes its grant's id and waits; with `TRAP` it ignores every signal that a process can ignore.
const PIPELINE: &str = r#"
stages: [deploy]
include:
  - component: $CI_SERVER_FQDN/$CI_PROJECT_PATH/elevate@$CI_COMMIT_SHA
    inputs: { job-name: component, image: unused, policy: orders-read, run: "WAITS" }
  - local: cloudanix-jit.gitlab-ci.yml
one-command:
  extends: .cloudanix-elevate
  stage: deploy
  variables: { CLOUDANIX_POLICY: orders-read }
  script: ["cloudanix_run sh -c 'WAITS'"]
whole-script:
  extends: .cloudanix-elevate-script
  stage: deploy
  variables: { CLOUDANIX_POLICY: orders-read }
  script: ["WAITS"]
"#;
const WAITS: &str =
    "${TRAP:-:} INT TERM HUP; echo $CLOUDANIX_GRANT_ID >grant; while test -e grant; do sleep 0.02 || :; done";

static JOBS: LazyLock<Value> =
    LazyLock::new(|| Project::with(Some(&PIPELINE.replace("WAITS", WAITS))).preview());

/// The shell of Alpine images, which most jobs use.
const ALPINE: &str = "busybox sh";

struct Rhythm {
    name: &'static str,
    budget: Duration,
    signals: fn() -> Vec<ScheduledSignal>,
}

const SHELL: Rhythm = Rhythm {
    name: "shell executor · TERM to the group, KILL",
    budget: Duration::from_secs(600),
    signals: || {
        vec![
            ScheduledSignal::first("TERM", Recipients::Group),
            ScheduledSignal::then(600_000, "KILL", Recipients::Group),
        ]
    },
};
const DOCKER: Rhythm = Rhythm {
    name: "docker executor · TERM to every process, KILL",
    budget: Duration::from_secs(10),
    signals: || {
        vec![
            ScheduledSignal::first("TERM", Recipients::Tree),
            ScheduledSignal::then(10_000, "KILL", Recipients::Tree),
        ]
    },
};

#[track_caller]
fn end_of_the_only_grant(fixture: &Fixture) -> String {
    let grants = fixture.broker.given();
    assert_eq!(grants.len(), 1, "{grants:?}");
    fixture.broker.timeline(grants[0]["id"].as_str().unwrap());
    grants[0]["end_reason"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_cancelled_job_has_no_grant_within_the_budget_of_its_executor() {
    for (schedule, shell) in [(SHELL, "bash"), (SHELL, "sh"), (DOCKER, "bash"), (DOCKER, ALPINE)] {
        for (job, end) in [
            ("component", "interrupted · SIGTERM"),
            ("one-command", "interrupted · SIGTERM"),
            ("whole-script", "asked by the client"),
        ] {
            let fixture = Fixture::start();
            let taken = Job::taken(&JOBS[job], shell, &fixture, &[]);
            let mut working = taken.start();
            taken.line_in("grant", &working);
            let cancelled = cancel(working.entry(), (schedule.signals)());
            fixture.broker.wait_until_nothing_is_live();
            let took = cancelled.began.elapsed();
            println!(
                "cancel · gitlab · {} · {job}, {shell} · {:?} · {} ms",
                schedule.name,
                schedule.budget,
                took.as_millis()
            );
            assert!(took < schedule.budget, "{took:?}");
            working.wait();
            cancelled.finish();
            let after = taken.after_script("canceled");
            assert!(after.status.success() && after.stderr.is_empty(), "{after:?}");
            assert_eq!(end_of_the_only_grant(&fixture), end, "{job}: {}", working.printed());
        }
    }
}

#[test]
fn command_that_ignores_the_cancel_continues_without_its_grant() {
    for job in ["component", "one-command"] {
        let fixture = Fixture::start();
        let taken = Job::taken(&JOBS[job], "bash", &fixture, &[("TRAP", "trap :")]);
        let mut working = taken.start();
        taken.line_in("grant", &working);
        let cancelled = cancel(working.entry(), vec![ScheduledSignal::first("TERM", Recipients::Group)]);
        fixture.broker.wait_until_nothing_is_live();
        println!(
            "cancel · gitlab · {} · {job}, ignores signals · {:?} · {} ms",
            SHELL.name,
            SHELL.budget,
            cancelled.began.elapsed().as_millis()
        );
        assert!(
            !recipients(working.entry(), &Recipients::Group).is_empty(),
            "a command that ignores signals continues"
        );
        cancelled.finish();
        cancel(working.entry(), vec![ScheduledSignal::first("KILL", Recipients::Group)]).finish();
        working.wait();
        assert_eq!(end_of_the_only_grant(&fixture), "interrupted · SIGTERM");
    }
}

#[test]
fn after_script_revokes_for_a_script_that_was_killed() {
    let fixture = Fixture::start();
    let taken = Job::taken(&JOBS["whole-script"], "bash", &fixture, &[]);
    let mut working = taken.start();
    let grant = taken.line_in("grant", &working);
    cancel(working.entry(), vec![ScheduledSignal::first("KILL", Recipients::Tree)]).finish();
    working.wait();
    assert_eq!(fixture.broker.live()[0]["id"], json!(grant), "the client revoked although it was killed");
    let after = taken.after_script("canceled");
    let said = String::from_utf8_lossy(&after.stderr).into_owned();
    assert!(after.status.success() && said.contains("ended as canceled"), "{said}");
    assert!(fixture.broker.live().is_empty(), "{said}");
    assert_eq!(end_of_the_only_grant(&fixture), "asked by the client");
}

#[test]
fn failed_revoke_in_after_script_is_reported_and_fails_nothing() {
    let fixture = Fixture::start();
    let mut taken = Job::taken(&JOBS["whole-script"], "bash", &fixture, &[("CLOUDANIX_TTL", "5s")]);
    let mut working = taken.start();
    taken.line_in("grant", &working);
    cancel(working.entry(), vec![ScheduledSignal::first("KILL", Recipients::Tree)]).finish();
    working.wait();
    taken.set("CLOUDANIX_JIT_BINARY", "/not/there");
    let after = taken.after_script("canceled");
    let said = String::from_utf8_lossy(&after.stderr).into_owned();
    assert!(after.status.success() && said.contains("ends the grant at its deadline"), "{said}");
    fixture.broker.wait_until_nothing_is_live();
    assert_eq!(end_of_the_only_grant(&fixture), "deadline reached");
}

#[test]
fn a_job_without_a_client_fails_and_says_what_to_do() {
    for (job, shell) in [("component", ALPINE), ("one-command", "sh"), ("whole-script", "bash")] {
        let fixture = Fixture::start();
        let taken = Job::taken(&JOBS[job], shell, &fixture, &[("CLOUDANIX_JIT_BINARY", "/not/there")]);
        let mut working = taken.start();
        assert_eq!(working.wait().code(), Some(125), "{}", working.printed());
        assert!(working.printed().contains("which is not a program\n  hint: "), "{}", working.printed());
        let after = taken.after_script("failed");
        assert!(after.status.success() && after.stderr.is_empty(), "{after:?}");
        assert!(fixture.broker.grants("all").is_empty());
    }
}

#[test]
fn lost_machine_ends_command_by_heartbeat_and_script_by_deadline() {
    for (job, ttl, end) in [
        ("component", "10m", "no heartbeat within the lease"),
        ("one-command", "10m", "no heartbeat within the lease"),
        ("whole-script", "3s", "deadline reached"),
    ] {
        let fixture = Fixture::with(Broker::with_heartbeat("1s"));
        let taken = Job::taken(&JOBS[job], "bash", &fixture, &[("CLOUDANIX_TTL", ttl)]);
        let mut working = taken.start();
        taken.line_in("grant", &working);
        // Kills all processes with one command, keepers first, so that none can react to the death of another.
        let mut processes = recipients(working.entry(), &Recipients::Tree);
        processes.sort_by_key(|pid| !is_keeper(*pid));
        let lost = Instant::now();
        // One of the processes may be a `sleep` of the step that has ended by now.
        let pids = processes.iter().map(i32::to_string);
        let _ = Command::new("kill").args(["-s", "KILL", "--"]).args(pids).stderr(Stdio::null()).status();
        fixture.broker.wait_until_nothing_is_live();
        println!(
            "cancel · gitlab · machine lost, KILL to all · {job} · none · {} ms",
            lost.elapsed().as_millis()
        );
        working.wait();
        assert_eq!(end_of_the_only_grant(&fixture), end, "{job}");
    }
}

fn is_keeper(pid: i32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with(b"\0keeper\0"))
}
