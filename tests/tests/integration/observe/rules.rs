//! The commands of `rules` against a real broker: a rule set from its check to its rollback.

use serde_json::{Value, json};
use system_tests::client::Finished;
use system_tests::fixture::Fixture;

const PERMIT: &str = r#"@id("all") permit (principal, action, resource);"#;
const SHORT: &str = r#"@id("all") permit (principal, action, resource);
@id("short") @hint("ask for five minutes")
forbid (principal, action, resource) when { context.request.ttl > duration("5m") };"#;

/// Runs a command of `rules` in a folder with these rules in `rules/`.
fn rules(fixture: &Fixture, text: &str, line: &[&str]) -> Finished {
    let client = fixture.operator_client(&[&["rules"], line].concat());
    client.folder_with("rules", &[("rules.cedar", text)]).finish()
}

#[track_caller]
fn done(finished: &Finished) -> &Finished {
    assert!(finished.status.success(), "{}", finished.stderr);
    finished
}

#[test]
fn a_set_is_checked_tried_applied_explained_and_rolled_back() {
    let fixture = Fixture::start();
    let broken = rules(&fixture, "permit (principal, action", &["check", "rules"]);
    assert_eq!(broken.status.code(), Some(2), "{}", broken.stderr);
    assert!(broken.stderr.contains("rules.cedar"), "{}", broken.stderr);

    let applied = rules(&fixture, PERMIT, &["apply", "rules"]);
    assert!(done(&applied).stderr.contains("· 1 rules · 0 test cases passed · active"), "{}", applied.stderr);
    let granted = fixture.elevate().expect(201);

    let replay = ["replay", "--since", "1h", "--candidate", "rules", "--fail-on"];
    let narrower = rules(&fixture, SHORT, &[&replay[..], &["any"]].concat());
    assert_eq!(narrower.status.code(), Some(8), "{}", narrower.stderr);
    assert!(narrower.stdout.contains("allow → deny"), "{}", narrower.stdout);
    assert!(narrower.stdout.ends_with("1 decisions, 1 differ (0 wider)\n"), "{}", narrower.stdout);
    done(&rules(&fixture, SHORT, &[&replay[..], &["wider"]].concat()));

    done(&rules(&fixture, SHORT, &["apply", "rules", "--candidate"]));
    fixture.elevate().expect(201);
    let report = rules(&fixture, "", &["diff-report", "--since", "1h"]);
    assert!(done(&report).stdout.contains("by short"), "{}", report.stdout);

    done(&rules(&fixture, "", &["rollout", "--agents", "orders-*"]));
    assert_eq!(fixture.elevate().outcome(), (403, "rule_denied"));
    done(&rules(&fixture, "", &["rollback"]));
    fixture.elevate().expect(201);
    done(&rules(&fixture, "", &["promote"]));
    assert_eq!(fixture.elevate().outcome(), (403, "rule_denied"));

    let explained = rules(&fixture, "", &["explain", granted.text_at("/id")]);
    assert!(done(&explained).stdout.contains("decided  allow · by all"), "{}", explained.stdout);
    assert!(explained.stdout.contains("agent.id = orders-agent"), "{}", explained.stdout);

    let history = rules(&fixture, "", &["history", "--output", "json"]);
    let history: Value = serde_json::from_str(&done(&history).stdout).unwrap();
    let actions: Vec<&Value> = history.as_array().unwrap().iter().map(|change| &change["action"]).collect();
    let expected = ["promote", "rollback", "rollout", "apply_candidate", "apply"].map(|action| json!(action));
    assert_eq!(actions, expected.iter().collect::<Vec<_>>());
    let shown = rules(&fixture, "", &["show", "active"]);
    assert!(done(&shown).stdout.contains("@hint(\"ask for five minutes\")"), "{}", shown.stdout);
}
