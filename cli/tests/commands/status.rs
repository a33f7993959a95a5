//! The output of `status` and `timeline`.

use std::collections::BTreeMap;

use predicates::str::contains;
use protocol::{ErrorCode, EventKind, GrantStatus, Source, Timeline, TimelineEvent};

use crate::program::{Printed as _, Program, grant, grant_id};
use crate::scripted::{ScriptedBroker, json, problem};

fn timeline(intact: bool) -> Timeline {
    let event = TimelineEvent {
        grant_id: grant_id(),
        seq: 1,
        at: "2026-06-08T14:00:14Z".parse().unwrap(),
        kind: EventKind::Elevate,
        source: Source::Broker,
        actor: None,
        text: "test-agent · orders-read · 15m".to_owned(),
        data: BTreeMap::new(),
        prev_hash: "0".repeat(64),
        hash: "1".repeat(64),
    };
    Timeline { grant: grant(GrantStatus::Active), events: vec![event], intact, broken: None }
}

#[test]
fn the_state_the_deadline_and_who_enforces_it() {
    let ended = protocol::Grant {
        ended_at: Some("2026-06-08T14:00:52Z".parse().unwrap()),
        end_reason: Some("step finished · exit 0".to_owned()),
        ..grant(GrantStatus::Revoked)
    };
    let broker = ScriptedBroker::start([json(200, ended)]);
    let finished = Program::new(&broker.url(), &["status", grant_id().as_str()]).assert();
    insta::assert_snapshot!("status-ended", finished.code(0).printed());
    let broker = ScriptedBroker::start([json(200, grant(GrantStatus::Active))]);
    Program::new(&broker.url(), &["status"])
        .env("CLOUDANIX_GRANT_ID", grant_id().as_str())
        .assert()
        .stdout(contains("deadline  2026-06-08T14:15:14.000Z ("))
        .stdout(contains("enforced  by the broker"));
}

#[test]
fn json_is_the_grant_as_the_broker_sent_it() {
    let broker = ScriptedBroker::start([json(200, grant(GrantStatus::Active))]);
    let finished = Program::new(&broker.url(), &["status", grant_id().as_str(), "--output", "json"]).assert();
    let printed: serde_json::Value = serde_json::from_str(&finished.printed()).unwrap();
    assert_eq!(printed, serde_json::to_value(grant(GrantStatus::Active)).unwrap());
}

#[test]
fn an_unknown_grant_is_an_error_with_the_broker_s_words() {
    let broker = ScriptedBroker::start([problem(ErrorCode::GrantNotFound, "no grant of this agent")]);
    let finished = Program::new(&broker.url(), &["status", grant_id().as_str()]).assert();
    insta::assert_snapshot!("status-unknown", finished.code(2).said());
}

#[test]
fn a_timeline_is_text_or_json() {
    let broker = ScriptedBroker::start([json(200, timeline(true)), json(200, timeline(true))]);
    let line = ["timeline", grant_id().as_str()].map(str::to_owned);
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    Program::new(&broker.url(), &line)
        .assert()
        .code(0)
        .stdout(contains("[14:00:14]  ELEVATE      test-agent · orders-read · 15m\n"));
    let finished = Program::new(&broker.url(), &[&line[..], &["--output", "json"]].concat()).assert();
    let printed: Timeline = serde_json::from_str(&finished.code(0).printed()).unwrap();
    assert_eq!(printed.events, timeline(true).events);
}

#[test]
fn text_of_others_cannot_move_the_cursor_hide_itself_or_command_a_ci_platform() {
    let hostile = "a\u{9b}2J\u{202e}b\u{200b}\u{feff}\n##vso[task.setvariable variable=PATH]/tmp\n::add-mask::x ##[group]y";
    let mut tampered = timeline(true);
    tampered.events[0].text = hostile.to_owned();
    tampered.grant.reason = Some(hostile.to_owned());
    let id = grant_id();
    for options in [&[][..], &["--output", "json"]] {
        let broker = ScriptedBroker::start([json(200, tampered.clone())]);
        let line = [&["timeline", id.as_str()], options].concat();
        let shown = Program::new(&broker.url(), &line).assert().code(0).printed();
        let unseen = |c: &char| c.is_control() && *c != '\n' || "\u{202e}\u{200b}\u{feff}".contains(*c);
        assert_eq!(shown.chars().find(unseen), None, "{shown:?}");
        assert!(!shown.contains("##vso[") && !shown.contains("##["), "{shown}");
        assert!(!shown.lines().any(|line| line.trim_start().starts_with("::")), "{shown}");
        if !options.is_empty() {
            let printed: Timeline = serde_json::from_str(&shown).unwrap();
            assert_eq!(printed.events[0].text, hostile, "still the same document");
        }
    }
}

#[test]
fn a_timeline_that_was_tampered_with_is_a_failure() {
    let broker = ScriptedBroker::start([json(200, timeline(false))]);
    Program::new(&broker.url(), &["timeline", grant_id().as_str()])
        .assert()
        .code(1)
        .stderr(contains("this timeline is not intact: rows were changed or removed"));
}
