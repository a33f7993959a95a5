//! When each platform cancels a job in its own rhythm, is the grant gone within what the platform leaves?

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use system_tests::broker::Broker;
use system_tests::runner::{Blow, Whom, cancel};

use super::example::{Set, argo_workflow, azure_devops, buildkite, kubernetes_job, shell};

const WAITS: &str = "echo $CLOUDANIX_GRANT_ID >grant; until test -e go; do sleep 0.05; done";

#[test]
fn a_cancelled_job_gives_its_grant_back_at_the_first_signal() {
    type Case = (&'static str, fn(Broker) -> Set, &'static str, &'static str, u64, Vec<Blow>);
    let cases: [Case; 4] = [
        (
            "buildkite",
            buildkite,
            "TERM to the group, KILL after 9 s",
            "SIGTERM",
            9000,
            vec![Blow::first("TERM", Whom::Group), Blow::then(9000, "KILL", Whom::Group)],
        ),
        (
            "azure-devops",
            azure_devops,
            "INT to the task, which ends bash by TERM; TERM after 7.5 s, KILL after 10 s",
            "SIGTERM",
            10_000,
            vec![
                Blow::first("INT", Whom::Entry),
                Blow::then(7500, "TERM", Whom::Entry),
                Blow::then(10_000, "KILL", Whom::Tree),
            ],
        ),
        (
            "kubernetes",
            kubernetes_job,
            "TERM to the first process, KILL after 30 s",
            "SIGTERM",
            30_000,
            vec![Blow::first("TERM", Whom::Entry), Blow::then(30_000, "KILL", Whom::Tree)],
        ),
        (
            "argo",
            argo_workflow,
            "TERM to the group, KILL after 30 s",
            "SIGTERM",
            30_000,
            vec![Blow::first("TERM", Whom::Group), Blow::then(30_000, "KILL", Whom::Tree)],
        ),
    ];
    for (name, set, rhythm, signal, budget, blows) in cases {
        let set = set(Broker::start());
        let step = set.start(Some(WAITS));
        set.machine.line_in("grant");
        assert_eq!(set.stage.scene.broker.live().len(), 1, "{name}");
        let cancelled = cancel(step.pid, blows);
        set.stage.assert_ended(&format!("interrupted · {signal}"));
        let taken = cancelled.began.elapsed();
        println!("cancel · {name} · {rhythm} · {budget} ms · {} ms", taken.as_millis());
        assert!(taken < Duration::from_millis(budget), "{name}: {taken:?}");
        cancelled.finish();
        step.finish();
        set.assert_no_leak();
    }
}

#[test]
fn a_script_of_several_commands_gives_back_when_it_is_told_to_end() {
    let set = shell(Broker::start(), "several.sh");
    set.machine.program("aws", "#!/bin/sh\necho waits >grant\nuntil test -e go; do sleep 0.05; done\n");
    let step = set.start(None);
    set.machine.line_in("grant");
    assert_eq!(set.stage.scene.broker.live().len(), 1);
    let cancelled = cancel(step.pid, vec![Blow::first("TERM", Whom::Group)]);
    assert_eq!(step.finish(), Some(143), "{}", set.machine.logs());
    assert!(set.stage.scene.broker.live().is_empty());
    println!("cancel · shell · TERM to the group · – · {} ms", cancelled.began.elapsed().as_millis());
    cancelled.finish();
}

/// Two jobs of one agent: the end of one, cancelled, is not the end of the other.
#[test]
fn two_pods_of_one_agent_do_not_end_each_others_grant() {
    let set = kubernetes_job(Broker::start());
    let first = set.start(Some("echo $CLOUDANIX_GRANT_ID >grant; until test -e go; do sleep 0.05; done"));
    let second = set.start(Some("echo $CLOUDANIX_GRANT_ID >other; until test -e go; do sleep 0.05; done"));
    let (goes, stays) = (set.machine.line_in("grant"), set.machine.line_in("other"));
    let cancelled = cancel(first.pid, vec![Blow::first("TERM", Whom::Entry)]);
    assert_eq!(first.finish(), Some(143));
    cancelled.finish();
    let live: Vec<Value> = set.stage.scene.broker.live().iter().map(|grant| grant["id"].clone()).collect();
    assert_eq!(live, [json!(stays)], "not {goes}");
    fs::write(set.machine.path("workspace/go"), "").unwrap();
    assert_eq!(second.finish(), Some(0));
    set.stage.scene.broker.wait_until_nothing_is_live();
}
