//! The grant of each example ends within its platform's time limit when the platform cancels the job.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use system_tests::broker::Broker;
use system_tests::runner::{Recipients, ScheduledSignal, cancel};

use super::example::{Set, argo_workflow, azure_devops, buildkite, kubernetes_job, shell};

const WAITS: &str = "echo $CLOUDANIX_GRANT_ID >grant; until test -e go; do sleep 0.05; done";

#[test]
fn cancelled_job_revokes_its_grant_at_the_first_signal() {
    type Case = (&'static str, fn(Broker) -> Set, &'static str, &'static str, u64, Vec<ScheduledSignal>);
    let cases: [Case; 4] = [
        (
            "buildkite",
            buildkite,
            "TERM to the group, KILL after 9 s",
            "SIGTERM",
            9000,
            vec![
                ScheduledSignal::first("TERM", Recipients::Group),
                ScheduledSignal::then(9000, "KILL", Recipients::Group),
            ],
        ),
        (
            "azure-devops",
            azure_devops,
            "INT to the task, which ends bash by TERM; TERM after 7.5 s, KILL after 10 s",
            "SIGTERM",
            10_000,
            vec![
                ScheduledSignal::first("INT", Recipients::Entry),
                ScheduledSignal::then(7500, "TERM", Recipients::Entry),
                ScheduledSignal::then(10_000, "KILL", Recipients::Tree),
            ],
        ),
        (
            "kubernetes",
            kubernetes_job,
            "TERM to the first process, KILL after 30 s",
            "SIGTERM",
            30_000,
            vec![
                ScheduledSignal::first("TERM", Recipients::Entry),
                ScheduledSignal::then(30_000, "KILL", Recipients::Tree),
            ],
        ),
        (
            "argo",
            argo_workflow,
            "TERM to the group, KILL after 30 s",
            "SIGTERM",
            30_000,
            vec![
                ScheduledSignal::first("TERM", Recipients::Group),
                ScheduledSignal::then(30_000, "KILL", Recipients::Tree),
            ],
        ),
    ];
    for (name, set, schedule, signal, budget, signals) in cases {
        let set = set(Broker::start());
        let step = set.start(Some(WAITS));
        set.machine.line_in("grant");
        assert_eq!(set.platform.fixture.broker.live().len(), 1, "{name}");
        let cancelled = cancel(step.pid, signals);
        set.platform.assert_ended(&format!("interrupted · {signal}"));
        let taken = cancelled.began.elapsed();
        println!("cancel · {name} · {schedule} · {budget} ms · {} ms", taken.as_millis());
        assert!(taken < Duration::from_millis(budget), "{name}: {taken:?}");
        cancelled.finish();
        step.finish();
        set.assert_no_leak();
    }
}

#[test]
fn script_revokes_when_it_is_terminated() {
    let set = shell(Broker::start(), "several.sh");
    set.machine.program("aws", "#!/bin/sh\necho waits >grant\nuntil test -e go; do sleep 0.05; done\n");
    let step = set.start(None);
    set.machine.line_in("grant");
    assert_eq!(set.platform.fixture.broker.live().len(), 1);
    let cancelled = cancel(step.pid, vec![ScheduledSignal::first("TERM", Recipients::Group)]);
    assert_eq!(step.finish(), Some(143), "{}", set.machine.logs());
    assert!(set.platform.fixture.broker.live().is_empty());
    println!("cancel · shell · TERM to the group · – · {} ms", cancelled.began.elapsed().as_millis());
    cancelled.finish();
}

/// Cancelling one of two jobs of an agent does not end the other's grant.
#[test]
fn two_pods_of_one_agent_do_not_end_each_others_grant() {
    let set = kubernetes_job(Broker::start());
    let first = set.start(Some("echo $CLOUDANIX_GRANT_ID >grant; until test -e go; do sleep 0.05; done"));
    let second = set.start(Some("echo $CLOUDANIX_GRANT_ID >other; until test -e go; do sleep 0.05; done"));
    let (goes, stays) = (set.machine.line_in("grant"), set.machine.line_in("other"));
    let cancelled = cancel(first.pid, vec![ScheduledSignal::first("TERM", Recipients::Entry)]);
    assert_eq!(first.finish(), Some(143));
    cancelled.finish();
    let live: Vec<Value> =
        set.platform.fixture.broker.live().iter().map(|grant| grant["id"].clone()).collect();
    assert_eq!(live, [json!(stays)], "not {goes}");
    fs::write(set.machine.path("workspace/go"), "").unwrap();
    assert_eq!(second.finish(), Some(0));
    set.platform.fixture.broker.wait_until_nothing_is_live();
}
