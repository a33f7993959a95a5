//! Rules and health in the console.

use reqwest::Method;
use serde_json::json;
use system_tests::browser::Look;
use system_tests::http;
use system_tests::people::Browser;

use super::Signing;
use super::browser::{at, signed_in};

const ACTIVE: &str = r#"@id("all") permit (principal, action, resource);
@id("long") forbid (principal, action, resource) when { context.request.ttl > duration("4h") };"#;
const CANDIDATE: &str = r#"@id("all") permit (principal, action, resource);
@id("short") @hint("ask for five minutes")
forbid (principal, action, resource) when { context.request.ttl > duration("5m") };
@id("unused") forbid (principal in Group::"nobody-has-it", action, resource);"#;

/// A broker with an active set and a candidate that refuses what the active one allows, and a grant.
fn deciding() -> (Signing, String) {
    let signing = Signing::start();
    for (more, rules) in [(&[][..], ACTIVE), (&["--candidate"], CANDIDATE)] {
        let arguments = [&["rules", "apply", "rules"], more].concat();
        let applied = signing.fixture.operator_client(&arguments).folder_with("rules", &[("a.cedar", rules)]);
        applied.finish().assert_code(0);
    }
    let grant = signing.fixture.elevate().expect(201).text_at("/id").to_owned();
    (signing, grant)
}

#[test]
fn a_person_sees_the_sets_what_differs_and_which_rules_decide_nothing() {
    let (signing, grant) = deciding();
    for javascript in [true, false] {
        let alice = signed_in(&signing, "alice", Look { javascript, ..Look::default() });
        let state = alice.click("nav >> text=Rules");
        state.has("@id(\"long\") forbid").has("apply_candidate");
        alice.click("dl >> nth=0 >> a >> nth=1").has("Rule set").has("@id(\"unused\")");
        alice.back();
        let report = alice.click("text=What differs");
        report.has("1 decisions, 0 with the same outcome.").has("short").has("Decided nothing: all, unused.");
        report.has("Decided nothing: long.").has(&grant);
        let (name, file) = alice.download("text=CSV");
        assert_eq!(name, "rules-differences.csv");
        assert!(file.contains(&format!("orders-agent,allow,deny,false,short,1,{grant}")), "{file}");
        let later = alice.open(&at(&signing, "/console/rules/report?since=2100-01-01"));
        later.has("0 decisions, 0 with the same outcome.");
    }
}

#[test]
fn a_request_is_tried_on_both_sets_and_a_grant_gives_one_to_start_from() {
    let (signing, grant) = deciding();
    let alice = signed_in(&signing, "alice", Look::default());
    alice.open(&at(&signing, "/console/rules/test"));
    alice.click("button:has-text('Try')").has("a deployment on Friday evening: allow · all");
    alice.fill("[name=grant]", &grant);
    let recorded = alice.click("text=Take it from there");
    recorded.has(&format!("{grant}: allow · all")).has("deny · short").has("ask for five minutes");
    let case = alice.value("[name=cases]");
    assert!(case.contains("project_path = \"octo/my-app\"") && case.contains("ttl = \"15m\""), "{case}");
    alice.fill("[name=cases]", &case.replace("ttl = \"15m\"", "ttl = \"5m\""));
    let shorter = alice.click("button:has-text('Try')");
    assert!(!shorter.text.contains("short"), "{}", shorter.text);
    alice.fill("[name=cases]", "[[case]]\nname = 'x'");
    alice.click("button:has-text('Try')").has("missing field `expect`");
    assert_eq!(alice.value("[name=cases]"), "[[case]]\nname = 'x'");
    alice.fill("[name=grant]", "elev-0000000000000000");
    alice.click("text=Take it from there").has("no such grant");
}

#[test]
fn the_command_line_tries_requests_as_the_console_does() {
    let (signing, grant) = deciding();
    let of_grant = signing.fixture.operator_client(&["rules", "try", "--grant", &grant]).finish();
    let expected = format!(
        "active     {grant}  allow by all\n\
         candidate  {grant}  deny by short · ask for five minutes · expected allow, found deny by `short`\n"
    );
    assert_eq!(of_grant.assert_code(0).stdout, expected);
    let tried = signing.fixture.operator_client(&["rules", "try", "-f", "a.toml", "--output", "json"]);
    let tried = tried.file("a.toml", "[[case]]\nname = 'x'\nexpect = 'deny'\nttl = '5h'\n").finish();
    let answers = tried.assert_code(0).json();
    assert_eq!(answers["active"][0]["verdict"]["rules"], json!(["long"]));
    assert_eq!(answers["active"][0].get("failure"), None);
    let broker = &signing.fixture.broker;
    for body in [json!({}), json!({"cases": "", "grant": grant})] {
        let request = broker.request(Method::POST, "/v2/rules/test").json(&body);
        let refused = http::send(request.bearer_auth(broker.operator_token()));
        assert_eq!(refused.outcome(), (422, "invalid_request"));
    }
}

#[test]
fn without_rules_the_pages_say_so() {
    let signing = Signing::start();
    let alice = signed_in(&signing, "alice", Look::default());
    alice
        .open(&at(&signing, "/console/rules"))
        .has("whatever a boundary permits is granted")
        .has("None yet.");
    alice.open(&at(&signing, "/console/rules/report")).has("There is no candidate.").has("No set is active.");
    alice.open(&at(&signing, "/console/rules/test"));
    alice.click("button:has-text('Try')").has("No set is active").has("There is no candidate.");
}

#[test]
fn a_person_sees_the_health_of_the_broker_and_has_the_targets_compared() {
    let signing = Signing::start();
    signing.fixture.elevate().expect(201);
    let alice = signed_in(&signing, "alice", Look::default());
    let health = alice.click("nav >> text=Health");
    health
        .has("This broker is ready.")
        .has("None: every grant ended when it should have.")
        .has("None is late.");
    health.has("This broker has not compared the targets with the database yet.");
    alice.click("text=Compare the targets now").has("0 orphans, drift beside 0 live grants");
    let (name, file) = alice.download("text=JSON");
    assert!(name == "health.json" && file.contains("\"active\":1"), "{name}: {file}");
    let shown = signing.fixture.operator_client(&["health"]).finish();
    let text = &shown.assert_code(0).stdout;
    for part in [
        "broker        ready\n",
        "grants        1 active\n",
        "0 orphans",
        "notifications 0 late, 0 given up\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let mut bob = Browser::default();
    bob.sign_in(&at(&signing, "/console"), "bob");
    let refused = bob.get(&at(&signing, "/console/health"));
    assert!(refused.status == 403 && refused.text.contains("Bob Example may not view"), "{}", refused.text);
}
