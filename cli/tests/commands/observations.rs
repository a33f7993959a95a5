//! `observations`: the report, and its request to the broker.

use std::collections::BTreeMap;

use predicates::str::contains;
use protocol::ErrorCode;
use protocol::observations::{ObservationReport, ObservedAgent, ObservedUse};
use serde_json::Value;

use crate::program::{Printed as _, Program};
use crate::scripted::{ScriptedBroker, json, problem};

const SINCE: &str = "2026-06-01T00:00:00Z";

fn counts(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
    counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

fn report() -> ObservationReport {
    let orders = ObservedAgent {
        agent_id: "orders-agent".parse().unwrap(),
        observations: 142,
        outcomes: counts(&[("allow", 142)]),
        ready: true,
        reasons: BTreeMap::new(),
        used: vec![ObservedUse {
            policies: vec!["orders-read".parse().unwrap(), "orders-write".parse().unwrap()],
            actions: counts(&[("s3:PutObject", 120), ("sts:GetCallerIdentity\u{1b}[2J", 142)]),
            suggested: vec!["s3:PutObject".to_owned()],
        }],
    };
    let web = ObservedAgent {
        agent_id: "web".parse().unwrap(),
        observations: 12,
        outcomes: counts(&[("allow", 9), ("deny", 2), ("needs_approval", 1)]),
        ready: false,
        reasons: counts(&[("outside\nof office hours", 2), ("a person has to approve", 1)]),
        used: vec![ObservedUse {
            policies: vec!["web-deploy".parse().unwrap()],
            actions: BTreeMap::new(),
            suggested: Vec::new(),
        }],
    };
    ObservationReport { since: SINCE.parse().unwrap(), agents: vec![orders, web] }
}

#[test]
fn the_report_says_which_agents_are_ready_and_what_they_used() {
    let broker = ScriptedBroker::start([json(200, report()), json(200, report())]);
    let line = ["observations", "report", "--since", SINCE];
    let finished = Program::operator(&broker.url(), &line).assert();
    insta::assert_snapshot!("observations-report", finished.code(0).printed());
    let line = ["observations", "report", "--since", SINCE, "--agent", "web", "--output", "json"];
    let finished = Program::operator(&broker.url(), &line).assert();
    let printed: Value = serde_json::from_str(&finished.code(0).printed()).unwrap();
    assert_eq!(printed["agents"][0]["ready"], true);
    let request = "GET /v2/observations/report?since=2026-06-01T00%3A00%3A00.000Z";
    assert_eq!(broker.lines(), [request.to_owned(), format!("{request}&agent=web")]);
}

#[test]
fn the_report_is_over_a_week_if_nothing_else_is_said() {
    let none = ObservationReport { since: SINCE.parse().unwrap(), agents: Vec::new() };
    let broker =
        ScriptedBroker::start([json(200, none), problem(ErrorCode::AuthTokenInvalid, "not an operator")]);
    let finished = Program::operator(&broker.url(), &["observations", "report"]).assert();
    finished.code(0).stdout("no step was observed since 2026-06-01T00:00:00.000Z\n");
    Program::operator(&broker.url(), &["observations", "report"])
        .assert()
        .code(4)
        .stderr(contains("not an operator"));
}
