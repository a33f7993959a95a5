//! A job waits for a person, with the real client on both sides.

use std::path::Path;

use serde_json::Value;
use system_tests::client::Running;
use system_tests::people::ProviderOptions;
use system_tests::waiting::eventually;

use super::{Person, Signing};

pub(super) const ONE: &str = r#"
@id("all") permit (principal, action, resource);
@id("people") @hint("ask in #platform") forbid (principal, action == Action::"elevate_unattended", resource);
"#;

/// A broker whose rules ask a person. Persons have their account at GitLab in a claim.
pub(super) fn asking(rules: &str) -> Signing {
    let accounts = "accounts = { gitlab = \"preferred_username\" }";
    let signing = Signing::with(ProviderOptions::default(), accounts);
    let applied = signing.fixture.operator_client(&["rules", "apply", "rules"]);
    applied.folder_with("rules", &[("people.cedar", rules)]).finish().assert_code(0);
    signing
}

/// A job that waits for approval, and its grant.
pub(super) fn waiting(signing: &Signing, more: &[&str]) -> (Running, String) {
    let line =
        [&["run", "--policy", "orders-read", "--ttl", "15m"], more, &["--", "sh", "-c", "echo ran >> ran"]];
    let mut running = signing.fixture.client(&line.concat()).start();
    let shown = running.line_in("stderr");
    let (_, after) = shown.split_once("waiting for approval · ").unwrap_or_else(|| panic!("{shown}"));
    let id = after.split_whitespace().next().unwrap().to_owned();
    (running, id)
}

fn request(signing: &Signing, person: &Person, id: &str) -> Value {
    person.run(signing, &["requests", id, "--output", "json"]).assert_code(0).json()
}

fn digest(signing: &Signing, person: &Person, id: &str) -> String {
    request(signing, person, id)["grant"]["approval"]["digest"].as_str().unwrap().to_owned()
}

fn ran(folder: &Path) -> bool {
    folder.join("ran").exists()
}

#[test]
fn a_step_waits_until_a_person_has_approved_and_its_timeline_names_the_person() {
    let signing = asking(ONE);
    let alice = signing.signed_in("alice");
    let (running, id) = waiting(&signing, &[]);
    assert!(running.stderr().contains(&format!("cloudanix-jit approve {id}")), "{}", running.stderr());
    let listed = alice.run(&signing, &["requests"]);
    let line = listed.assert_code(0).stdout.clone();
    for part in [id.as_str(), "orders-agent", "0/1", "15m", "orders-read", "octo/my-app"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let shown = alice.run(&signing, &["requests", &id]);
    for part in ["token orders:read", "octocat", "people", "ask in #platform", "0 of 1"] {
        assert!(shown.assert_code(0).stdout.contains(part), "{part}: {}", shown.stdout);
    }
    let unseen = alice.run(&signing, &["approve", &id]);
    assert!(unseen.assert_code(2).stderr.contains("--digest"), "{}", unseen.stderr);
    let wrong = alice.run(&signing, &["approve", &id, "--digest", &"0".repeat(64)]);
    assert!(wrong.assert_code(1).stderr.contains("request_changed"), "{}", wrong.stderr);
    assert!(!ran(running.folder()));

    let digest = digest(&signing, &alice, &id);
    let approved = alice.run(&signing, &["approve", &id, "--digest", &digest, "--because", "release 1.4"]);
    assert!(approved.assert_code(0).stderr.contains("· approved"), "{}", approved.stderr);
    let folder = running.folder().to_owned();
    eventually("the step", || ran(&folder).then_some(()));
    running.finish().assert_code(0);

    let timeline = signing.fixture.broker.timeline(&id);
    assert_eq!(timeline["intact"], true, "{timeline}");
    assert_eq!(timeline["grant"]["status"], "revoked");
    let events = timeline["events"].as_array().unwrap();
    let vote = events.iter().find(|event| event["data"]["approval"] == "given").unwrap();
    assert_eq!(vote["text"], "approved by Alice Example: release 1.4 · 1 of 1");
    assert_eq!(vote["actor"]["subject"], "alice");
    assert_eq!(vote["data"]["digest"].as_str().unwrap(), digest);
}

#[test]
fn a_step_that_a_person_denies_does_not_run_and_exits_with_6() {
    let signing = asking(ONE);
    let alice = signing.signed_in("alice");
    let (running, id) = waiting(&signing, &[]);
    alice.run(&signing, &["deny", &id, "--because", "not during the freeze"]).assert_code(0);
    let folder = running.folder().to_owned();
    let ended = running.finish();
    let told = &ended.assert_code(6).stderr;
    assert!(told.contains("denied by Alice Example: not during the freeze"), "{told}");
    assert!(!ran(&folder));
}

#[test]
fn a_step_gives_up_when_its_wait_is_over_and_leaves_no_request() {
    let signing = asking(ONE);
    let (running, id) = waiting(&signing, &["--wait", "1s"]);
    let ended = running.finish();
    assert!(ended.assert_code(6).stderr.contains("approval of"), "{}", ended.stderr);
    let timeline = signing.fixture.broker.timeline(&id);
    assert_eq!(timeline["grant"]["status"], "denied");
    let alice = signing.signed_in("alice");
    let listed = alice.run(&signing, &["requests"]);
    assert!(listed.assert_code(0).stderr.contains("none waits"), "{}", listed.stderr);
}

#[test]
fn a_job_that_is_cancelled_or_killed_withdraws_its_request() {
    let signing = asking(ONE);
    let alice = signing.signed_in("alice");
    for signal in ["TERM", "KILL"] {
        let (running, id) = waiting(&signing, &[]);
        running.signal(signal);
        eventually("the end of the request", || {
            let timeline = signing.fixture.broker.timeline(&id);
            (timeline["grant"]["status"] == "denied").then_some(())
        });
        let late = alice.run(&signing, &["approve", &id, "--digest", &digest(&signing, &alice, &id)]);
        assert!(late.assert_code(1).stderr.contains("request_decided"), "{signal}: {}", late.stderr);
        let folder = running.folder().to_owned();
        running.finish();
        assert!(!ran(&folder), "{signal}");
    }
}

#[test]
fn who_started_the_run_does_not_approve_it_not_even_as_an_administrator() {
    let signing = asking(ONE);
    let (octo, dana, alice) =
        (signing.signed_in("octo"), signing.signed_in("dana"), signing.signed_in("alice"));
    let (running, id) = waiting(&signing, &[]);
    let digest = digest(&signing, &alice, &id);
    let line = ["approve", &id, "--digest", &digest];
    let own = octo.run(&signing, &line);
    assert!(own.assert_code(3).stderr.contains("own_request"), "{}", own.stderr);
    let unknown = dana.run(&signing, &line);
    assert!(unknown.assert_code(3).stderr.contains("account_unknown"), "{}", unknown.stderr);
    let token = signing.fixture.operator_client(&line).finish();
    assert!(token.assert_code(3).stderr.contains("person_required"), "{}", token.stderr);
    assert_eq!(request(&signing, &alice, &id)["grant"]["approval"]["approved_by"], Value::Null);
    alice.run(&signing, &line).assert_code(0);
    running.finish().assert_code(0);
}

#[test]
fn a_standing_approval_lets_steps_run_until_its_uses_are_over_and_never_those_of_its_person() {
    let signing = asking(ONE);
    let allow = ["approvals", "allow", "--agent", "orders-agent", "--policy", "orders-read", "--uses", "2"];
    let octo = signing.signed_in("octo");
    octo.run(&signing, &allow).assert_code(0);
    let (running, id) = waiting(&signing, &["--wait", "1s"]);
    running.finish().assert_code(6);
    let own = signing.fixture.broker.timeline(&id);
    assert_eq!(own["grant"]["approval"]["approved_by"], Value::Null, "the person started the run");

    let alice = signing.signed_in("alice");
    let line = [&allow[..], &["--for", "2h", "--because", "release 1.4"]].concat();
    let made = alice.run(&signing, &line).assert_code(0).stderr.clone();
    let (_, after) = made.split_once("approvals").unwrap();
    let standing = after.split_whitespace().find(|word| word.starts_with("sa-")).unwrap();
    let step = ["run", "--policy", "orders-read", "--ttl", "15m", "--", "true"];
    for used in 1..=2 {
        signing.fixture.client(&step).start().finish().assert_code(0);
        let listed = alice.run(&signing, &["approvals", "list"]).assert_code(0).stdout.clone();
        let row = listed.lines().find(|row| row.starts_with(standing)).unwrap();
        for part in ["orders-agent", &format!("{used}/2"), "orders-read", "Alice Example"] {
            assert!(row.contains(part), "{part}: {row}");
        }
    }
    let (running, id) = waiting(&signing, &[]);
    alice.run(&signing, &["deny", &id, "--because", "no use is left"]).assert_code(0);
    running.finish().assert_code(6);

    let operator = signing.fixture.operator_client(&["approvals", "revoke", standing]).finish();
    assert!(operator.assert_code(0).stderr.contains("revoked, 2 of 2 uses made"), "{}", operator.stderr);
    let listed = signing.fixture.operator_client(&["approvals", "list", "--output", "json"]).finish();
    let left = listed.assert_code(0).json()["standing_approvals"].as_array().unwrap().len();
    assert_eq!(left, 1, "octo's");
    let operator = signing.fixture.operator_client(&allow).finish();
    assert!(operator.assert_code(3).stderr.contains("person_required"), "{}", operator.stderr);
    let long = alice.run(&signing, &[&allow[..], &["--for", "9h"]].concat());
    assert!(long.assert_code(2).stderr.contains("at most `8h`"), "{}", long.stderr);
}

#[test]
fn a_request_and_its_votes_survive_the_death_of_the_broker() {
    let mut signing = asking(&ONE.replace("@hint", "@quorum(\"2\") @hint"));
    let (running, id) = waiting(&signing, &[]);
    let (alice, erin) = (signing.signed_in("alice"), signing.signed_in("erin"));
    let digest = digest(&signing, &alice, &id);
    let voted = alice.run(&signing, &["approve", &id, "--digest", &digest]);
    assert!(voted.assert_code(0).stderr.contains("1 of 2 approvals"), "{}", voted.stderr);
    signing.fixture.broker.kill();
    signing.fixture.broker.restart();
    erin.run(&signing, &["approve", &id, "--digest", &digest]).assert_code(0);
    running.finish().assert_code(0);
    let timeline = signing.fixture.broker.timeline(&id);
    assert_eq!(timeline["intact"], true, "{timeline}");
    assert_eq!(timeline["grant"]["approval"]["approved_by"].as_array().unwrap().len(), 2);
}
