//! `rules`: its output, its exit codes, and its requests to the broker.

use std::collections::BTreeMap;
use std::fs;

use predicates::prelude::PredicateBooleanExt as _;
use predicates::str::contains;
use protocol::rules::{
    ApplyRules, Comparison, Decided, DecisionKind, Explanation, Flip, Outcome, RecordedDecision,
    ReplayRequest, RolloutRequest, RuleSetDigest, RuleSetFiles, RuleSetRole, RulesAction, RulesApplied,
    RulesHistory, RulesState, Verdict,
};
use protocol::{ErrorCode, Timestamp};
use serde_json::{Value, json as value};

use crate::program::{Printed as _, Program, grant_id};
use crate::scripted::{Reply, ScriptedBroker, json, problem};

fn digest(digit: char) -> RuleSetDigest {
    digit.to_string().repeat(64).parse().unwrap()
}

fn at() -> Timestamp {
    "2026-06-08T14:00:14Z".parse().unwrap()
}

fn state(action: RulesAction) -> RulesState {
    RulesState {
        version: 7,
        active: Some(digest('a')),
        candidate: Some(digest('b')),
        rollout: Vec::new(),
        action,
        at: at(),
        by: "alice \u{1b}[31m".to_owned(),
    }
}

fn applied(changed: bool) -> Reply {
    json(
        200,
        RulesApplied {
            digest: digest('b'),
            rules: 12,
            cases: 3,
            warnings: vec!["`old` decides nothing".to_owned()],
            changed,
            state: state(RulesAction::Apply),
        },
    )
}

/// An operator's command in a folder with `rules/hours.cedar` and, if there are any, test cases.
fn with_rules(broker: &ScriptedBroker, line: &[&str], cases: Option<&str>) -> Program {
    let program = Program::operator(&broker.url(), line);
    let folder = program.folder().join("rules");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("hours.cedar"), "permit (principal, action, resource);").unwrap();
    if let Some(cases) = cases {
        fs::write(folder.join("hours.toml"), cases).unwrap();
    }
    program
}

fn sent(broker: &ScriptedBroker) -> ApplyRules {
    serde_json::from_str(&broker.seen().first().unwrap().body).unwrap()
}

#[test]
fn check_sends_the_rules_alone_and_test_sends_the_cases_too() {
    let broker = ScriptedBroker::start([applied(false)]);
    let finished = with_rules(&broker, &["rules", "check", "rules"], Some("[[case]]")).assert();
    finished
        .code(0)
        .stderr(contains("✓ check    rule set bbbbbbbbbbbb · 12 rules · 3 test cases passed\n"))
        .stderr(contains("! check    `old` decides nothing"));
    let rules = sent(&broker);
    assert_eq!(broker.lines(), ["POST /v2/rules"]);
    assert_eq!(rules.files["hours.cedar"], "permit (principal, action, resource);");
    assert!(rules.cases.is_empty() && rules.check_only);
    assert_eq!(broker.seen()[0].header("authorization"), Some("Bearer operator-token-of-the-test"));

    let broker = ScriptedBroker::start([applied(false)]);
    let line = ["rules", "test", "rules", "--output", "json"];
    let finished = with_rules(&broker, &line, Some("[[case]]")).assert();
    let printed: Value = serde_json::from_str(&finished.code(0).printed()).unwrap();
    assert_eq!(printed["cases"], 3);
    let rules = sent(&broker);
    assert!(rules.check_only);
    assert_eq!(rules.cases["hours.toml"], "[[case]]");
}

#[test]
fn apply_names_the_role_and_says_if_nothing_changed() {
    for (option, role, changed, said) in [
        (None, RuleSetRole::Active, true, "3 test cases passed · active\n"),
        (None, RuleSetRole::Active, false, "is active already"),
        (Some("--candidate"), RuleSetRole::Candidate, true, "3 test cases passed · candidate\n"),
        (Some("--candidate"), RuleSetRole::Candidate, false, "is the candidate already"),
    ] {
        let broker = ScriptedBroker::start([applied(changed)]);
        let line: Vec<&str> = ["rules", "apply", "rules"].into_iter().chain(option).collect();
        with_rules(&broker, &line, Some("[[case]]")).assert().code(0).stderr(contains(said));
        let rules = sent(&broker);
        assert_eq!((rules.role, rules.check_only, rules.cases.len()), (role, false, 1));
    }
}

#[test]
fn a_set_that_the_broker_refuses_is_exit_code_2_with_every_line_of_the_reason() {
    for command in ["check", "test", "apply"] {
        let broker = ScriptedBroker::start([problem(
            ErrorCode::InvalidRules,
            "hours.cedar:1:1: unexpected token\n::error::hours.cedar:2:1: no such attribute",
        )]);
        with_rules(&broker, &["rules", command, "rules"], Some("[[case]]"))
            .assert()
            .code(2)
            .stderr(contains("hours.cedar:1:1: unexpected token"))
            .stderr(contains("  | \\u{3a}:error::hours.cedar:2:1"))
            .stderr(contains("a hint of the broker"));
    }
}

#[test]
fn a_folder_without_rules_or_cases_sends_no_request() {
    let broker = ScriptedBroker::start([]);
    let no_rules = Program::operator(&broker.url(), &["rules", "apply", "."]).assert();
    no_rules.code(2).stderr(contains("`.`: expected `*.cedar` files, found none"));
    let no_folder = Program::operator(&broker.url(), &["rules", "check", "nowhere"]).assert();
    no_folder.code(2).stderr(contains("the rules in `nowhere`"));
    let no_cases = with_rules(&broker, &["rules", "test", "rules"], None).assert();
    no_cases.code(2).stderr(contains("`*.toml` files with test cases, found none"));
    let no_token = Program::new(&broker.url(), &["rules", "show"]).assert();
    no_token.code(2).stderr(contains("CLOUDANIX_OPERATOR_TOKEN"));
    assert!(broker.lines().is_empty());
}

#[test]
fn show_prints_the_state() {
    let rolled_out = RulesState { rollout: vec!["agent-web-*".to_owned()], ..state(RulesAction::Rollout) };
    let broker = ScriptedBroker::start([json(200, &rolled_out), json(200, &rolled_out)]);
    let finished = Program::operator(&broker.url(), &["rules", "show"]).assert();
    insta::assert_snapshot!("rules-show", finished.code(0).printed());
    let finished = Program::operator(&broker.url(), &["rules", "show", "--output", "json"]).assert();
    let printed: Value = serde_json::from_str(&finished.code(0).printed()).unwrap();
    assert_eq!(printed["rollout"], value!(["agent-web-*"]));

    let none = RulesState {
        version: 0,
        active: None,
        candidate: None,
        rollout: Vec::new(),
        action: RulesAction::None,
        at: Timestamp::from_secs(0),
        by: String::new(),
    };
    let broker = ScriptedBroker::start([json(200, &none), json(200, &none)]);
    let finished = Program::operator(&broker.url(), &["rules", "show"]).assert();
    insta::assert_snapshot!("rules-show-none", finished.code(0).printed());
    let finished = Program::operator(&broker.url(), &["rules", "show", "candidate"]).assert();
    finished.code(2).stderr(contains("there is no candidate rule set"));
}

fn files() -> Reply {
    let text = "@id(\"hours\")\npermit (principal, action, resource); // \u{1b}[2J\n";
    json(
        200,
        RuleSetFiles {
            digest: digest('b'),
            files: BTreeMap::from([("hours.cedar".to_owned(), text.to_owned())]),
            created_at: at(),
            created_by: "alice".to_owned(),
        },
    )
}

#[test]
fn show_finds_a_set_by_its_role_its_digest_or_the_first_digits() {
    let set = format!("GET /v2/rules/sets/{}", digest('b'));
    let broker = ScriptedBroker::start([json(200, state(RulesAction::Apply)), files()]);
    let finished = Program::operator(&broker.url(), &["rules", "show", "candidate"]).assert();
    insta::assert_snapshot!("rules-show-files", finished.code(0).printed());
    assert_eq!(broker.lines(), ["GET /v2/rules", &set]);

    let broker = ScriptedBroker::start([files()]);
    Program::operator(&broker.url(), &["rules", "show", digest('b').as_str()]).assert().code(0);
    assert_eq!(broker.lines(), [set.as_str()]);

    let changes = vec![state(RulesAction::Promote), state(RulesAction::Apply)];
    let history = || json(200, RulesHistory { changes: changes.clone(), next: None });
    let broker = ScriptedBroker::start([history(), files(), history()]);
    Program::operator(&broker.url(), &["rules", "show", "bbbbbbbbbbbb"]).assert().code(0);
    assert_eq!(broker.lines(), ["GET /v2/rules/history?limit=100", &set]);
    let unknown = Program::operator(&broker.url(), &["rules", "show", "cccccccc"]).assert();
    unknown.code(2).stderr(contains("no rule set has a digest that begins with `cccccccc`"));
    let no_digest = Program::operator(&broker.url(), &["rules", "show", "activ"]).assert();
    no_digest.code(2).stderr(contains("expected `active`, `candidate` or at least 8 digits"));
}

#[test]
fn history_follows_the_pages() {
    let page = |action, next| json(200, RulesHistory { changes: vec![state(action)], next });
    let broker =
        ScriptedBroker::start([page(RulesAction::Promote, Some(7)), page(RulesAction::ApplyCandidate, None)]);
    let finished = Program::operator(&broker.url(), &["rules", "history"]).assert();
    insta::assert_snapshot!("rules-history", finished.code(0).printed());
    assert_eq!(
        broker.lines(),
        ["GET /v2/rules/history?limit=100", "GET /v2/rules/history?limit=100&before=7"]
    );
}

#[test]
fn changes_of_the_state_print_what_decides_now() {
    for (line, request, action) in [
        (&["rules", "promote"][..], "POST /v2/rules/promote", RulesAction::Promote),
        (&["rules", "rollback"], "POST /v2/rules/rollback", RulesAction::Rollback),
        (&["rules", "clear-candidate"], "DELETE /v2/rules/candidate", RulesAction::ClearCandidate),
    ] {
        let broker = ScriptedBroker::start([json(200, state(action))]);
        let finished = Program::operator(&broker.url(), line).assert();
        finished.code(0).stderr(contains(" · candidate bbbbbbbbbbbb")).stdout("");
        assert_eq!(broker.lines(), [request]);
    }
    let rolled_out = RulesState { rollout: vec!["a-*".to_owned()], ..state(RulesAction::Rollout) };
    let broker = ScriptedBroker::start([json(200, rolled_out)]);
    let line = ["rules", "rollout", "--agents", "a-*", "b,c", "--output", "json"];
    let finished = Program::operator(&broker.url(), &line).assert();
    let finished = finished.code(0).stderr(contains("decides for a-*"));
    assert_eq!(serde_json::from_str::<Value>(&finished.printed()).unwrap()["version"], 7);
    let rollout: RolloutRequest = serde_json::from_str(&broker.seen()[0].body).unwrap();
    assert_eq!(rollout.agents, ["a-*", "b", "c"]);
}

#[test]
fn a_change_whose_answer_was_lost_is_not_sent_again() {
    for command in ["promote", "rollback", "clear-candidate"] {
        let broker = ScriptedBroker::start([Reply::HangUp, json(200, state(RulesAction::Rollback))]);
        Program::operator(&broker.url(), &["rules", command]).assert().code(5);
        assert_eq!(broker.lines().len(), 1, "{command}");
        let refused = ScriptedBroker::start([problem(ErrorCode::RulesChanged, "someone else was first")]);
        let finished = Program::operator(&refused.url(), &["rules", command]).assert();
        finished.code(1).stderr(contains("someone else was first"));
    }
}

fn flip(agent: &str, before: Outcome, after: Outcome, rules: &[&str], count: u64) -> Flip {
    Flip {
        agent: agent.parse().unwrap(),
        before,
        after,
        rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
        count,
        example: 4711,
        grant: (before == Outcome::Allow).then(grant_id),
    }
}

/// Two pages: 4812 decisions, of which 7 differ, 2 of them wider.
fn pages() -> [Reply; 2] {
    let narrower = |count| flip("orders-agent", Outcome::Allow, Outcome::Deny, &["office-hours"], count);
    let first = Comparison {
        decisions: 4000,
        same: 3996,
        flips: vec![narrower(2), flip("web-agent", Outcome::NeedsApproval, Outcome::Allow, &["night"], 2)],
        rules: BTreeMap::from([("office-hours".to_owned(), 10), ("frozen\u{1b}[2J".to_owned(), 0)]),
        next: Some(4000),
    };
    let second = Comparison {
        decisions: 812,
        same: 809,
        flips: vec![narrower(1), flip("orders-agent", Outcome::Allow, Outcome::NeedsApproval, &[], 2)],
        rules: BTreeMap::from([("night".to_owned(), 1), ("frozen\u{1b}[2J".to_owned(), 0)]),
        next: None,
    };
    [json(200, first), json(200, second)]
}

const SINCE: &str = "2026-06-01T00:00:00Z";

#[test]
fn replay_adds_the_pages_and_prints_what_differs() {
    let broker = ScriptedBroker::start(pages());
    let line = ["rules", "replay", "--since", SINCE, "--candidate", "rules", "--agent", "orders-agent"];
    let finished = with_rules(&broker, &line, Some("[[case]]")).assert();
    insta::assert_snapshot!("rules-replay", finished.code(0).printed());
    let requests: Vec<ReplayRequest> =
        broker.seen().iter().map(|request| serde_json::from_str(&request.body).unwrap()).collect();
    assert_eq!(broker.lines(), ["POST /v2/rules/replay"; 2]);
    assert_eq!((requests[0].after, requests[1].after), (None, Some(4000)));
    assert_eq!(requests[1].since, SINCE.parse().unwrap());
    assert_eq!(requests[1].agent.as_ref().unwrap().as_str(), "orders-agent");
    assert_eq!(requests[1].files.keys().collect::<Vec<_>>(), ["hours.cedar"]);
}

#[test]
fn replay_fails_on_the_differences_that_it_is_told_to_fail_on() {
    let page = |flips: &[Flip]| {
        let same = 9 - flips.len() as u64;
        json(200, Comparison { decisions: 9, same, flips: flips.to_vec(), ..Comparison::default() })
    };
    let same = page(&[]);
    let narrower = page(&[flip("orders-agent", Outcome::Allow, Outcome::Error, &[], 1)]);
    let wider = page(&[flip("orders-agent", Outcome::Error, Outcome::Deny, &[], 1)]);
    for (page, fail_on, code) in [
        (&same, None, 0),
        (&same, Some("wider"), 0),
        (&same, Some("any"), 0),
        (&narrower, None, 0),
        (&narrower, Some("wider"), 0),
        (&narrower, Some("any"), 8),
        (&wider, Some("wider"), 8),
        (&wider, Some("any"), 8),
    ] {
        let broker = ScriptedBroker::start([page.clone()]);
        let option = fail_on.iter().flat_map(|fail_on| ["--fail-on", fail_on]);
        let line: Vec<&str> =
            ["rules", "replay", "--since", "30d", "--candidate", "rules"].into_iter().chain(option).collect();
        let finished = with_rules(&broker, &line, None).assert().code(code);
        assert!(finished.printed().contains("9 decisions, "), "{}", finished.printed());
        assert_eq!(finished.said().contains("1 of 9 decisions would "), code == 8, "{}", finished.said());
    }
}

#[test]
fn a_broker_that_repeats_a_page_does_not_keep_a_report_running() {
    let page = || json(200, Comparison { decisions: 1, same: 1, next: Some(1), ..Comparison::default() });
    let broker = ScriptedBroker::start([page(), page()]);
    let line = ["rules", "diff-report", "--since", SINCE];
    Program::operator(&broker.url(), &line).assert().code(0).stdout(contains("2 decisions, 0 differ"));
    assert_eq!(broker.lines().len(), 2);
}

#[test]
fn diff_report_has_the_same_form() {
    let broker = ScriptedBroker::start(pages());
    let line = ["rules", "diff-report", "--since", SINCE, "--agent", "orders-agent", "--output", "json"];
    let finished = Program::operator(&broker.url(), &line).assert().code(0);
    let printed: Value = serde_json::from_str(&finished.printed()).unwrap();
    assert_eq!((&printed["decisions"], &printed["flips"][0]["count"]), (&value!(4812), &value!(3)));
    assert_eq!(printed.get("next"), None);
    let first = "GET /v2/rules/diff-report?since=2026-06-01T00%3A00%3A00.000Z&agent=orders-agent";
    assert_eq!(broker.lines(), [first.to_owned(), format!("{first}&after=4000")]);
    let wrong = Program::operator(&broker.url(), &["rules", "diff-report", "--since", "7w"]).assert();
    wrong.code(2).stderr(contains("`7w`"));
}

fn explanation() -> Explanation {
    let mut verdict = Verdict::without_rules();
    verdict.outcome = Outcome::Deny;
    verdict.policy = Some("orders-write".parse().unwrap());
    verdict.rules = vec!["office-hours".to_owned()];
    verdict.hints = vec!["deploy between 8 and 18".to_owned()];
    verdict.errors = vec!["`night`: integer overflow".to_owned()];
    let first = RecordedDecision {
        number: 4711,
        at: at(),
        kind: DecisionKind::ReEvaluation,
        enforced: Decided { rules: Some(digest('a')), verdict },
        shadow: Some(Decided {
            rules: Some(digest('b')),
            verdict: Verdict { outcome: Outcome::NeedsApproval, ..Verdict::without_rules() },
        }),
        facts: value!({
            "agent": {"id": "orders-agent", "labels": {"team": "orders"}},
            "policies": [{"name": "orders-write", "sensitivity": 3}],
            "signed": {"repository": "octo/app", "ref": "main\u{1b}[2J"},
        }),
        facts_digest: "f".repeat(64),
    };
    let second = RecordedDecision {
        number: 4712,
        kind: DecisionKind::Elevate,
        enforced: Decided { rules: None, verdict: Verdict::without_rules() },
        shadow: None,
        facts: Value::Null,
        ..first.clone()
    };
    let third = RecordedDecision {
        number: 4713,
        enforced: Decided {
            rules: Some(digest('a')),
            verdict: Verdict::refused_by_boundary("the ttl is longer than `1h`"),
        },
        ..second.clone()
    };
    Explanation { grant_id: grant_id(), decisions: vec![first, second, third] }
}

#[test]
fn explain_prints_the_rules_and_the_facts_of_each_decision() {
    let broker = ScriptedBroker::start([json(200, explanation()), json(200, explanation())]);
    let id = grant_id().to_string();
    let finished = Program::operator(&broker.url(), &["rules", "explain", &id]).assert();
    insta::assert_snapshot!("rules-explain", finished.code(0).printed());
    // The agent of the grant may read its decisions too.
    let finished = Program::new(&broker.url(), &["rules", "explain", &id, "--output", "json"]).assert();
    let printed: Value = serde_json::from_str(&finished.code(0).printed()).unwrap();
    assert_eq!(printed["decisions"][0]["enforced"]["verdict"]["outcome"], "deny");
    assert_eq!(broker.lines(), vec![format!("GET /v2/agentic/jit/{id}/decisions"); 2]);

    let none = Explanation { grant_id: grant_id(), decisions: Vec::new() };
    let broker = ScriptedBroker::start([json(200, none), problem(ErrorCode::GrantNotFound, "no such grant")]);
    let finished = Program::operator(&broker.url(), &["rules", "explain", &id]).assert();
    finished.code(0).stdout(contains("no decision about").and(contains(&id)));
    Program::operator(&broker.url(), &["rules", "explain", &id]).assert().code(2);
}
