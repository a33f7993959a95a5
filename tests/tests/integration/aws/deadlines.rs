//! AWS ends a grant at its deadline without any broker; a live broker also removes the grant's objects.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use system_tests::aws::calls::Keys;
use system_tests::aws::fixture::{AwsFixture, CLUSTER, Mode, POD_ROLE, Setting, keys_of};
use system_tests::aws::ministack::Ministack;
use system_tests::fixture::Agent;
use system_tests::http::Answer;
use system_tests::waiting::eventually;

const MINUTE: Duration = Duration::from_secs(60);
/// Shorter than the shortest session that STS issues.
const SHORT: &str = "5m";

fn fixture(emulator: &Ministack) -> AwsFixture<'_> {
    let launcher = emulator.clock().launcher();
    AwsFixture::with(emulator, &Setting { launcher, ..Setting::in_front_of(&emulator.url()) })
}

/// The keys that a grant gives permission to: the runner's, a pod's, or the grant's own.
fn keys(fixture: &AwsFixture<'_>, mode: Mode, grant: &Answer) -> Keys {
    match mode {
        Mode::StaticInline | Mode::StaticAttached => fixture.deploy_session(),
        Mode::UserInline | Mode::UserAttached => fixture.account.access_key("deployer"),
        Mode::Session | Mode::Role => keys_of(grant),
        Mode::Pod => {
            let tag = |key: &str, value: &str| json!({"Key": key, "Value": value});
            let tags = [
                tag("eks-cluster-name", CLUSTER),
                tag("kubernetes-namespace", "shop"),
                tag("kubernetes-service-account", "web"),
            ];
            let role = fixture.account.arn(&format!("role/{POD_ROLE}"));
            fixture.account.session(&fixture.pipeline, &role, json!({ "Tags": tags }))
        }
    }
}

fn may(fixture: &AwsFixture<'_>, keys: &Keys) -> bool {
    let outcome = fixture.emulator().calls().list_clusters(keys);
    assert!(outcome.is_allowed() || outcome.is_refused(), "{outcome:?}");
    outcome.is_allowed()
}

struct Given {
    mode: Mode,
    id: String,
    keys: Keys,
}

#[track_caller]
fn give(fixture: &AwsFixture<'_>, agent: &Agent, mode: Mode, by: &str) -> Given {
    let grant = fixture.elevate(agent, SHORT).expect(201);
    assert_eq!(grant.text_at("/enforced_by"), by, "{mode:?}");
    let keys = keys(fixture, mode, &grant);
    assert!(may(fixture, &keys), "{mode:?} during");
    Given { mode, id: grant.text_at("/id").to_owned(), keys }
}

fn status(fixture: &AwsFixture<'_>, id: &str) -> String {
    fixture
        .broker
        .operator(Method::GET, &format!("/v2/agentic/jit/{id}"))
        .expect(200)
        .text_at("/status")
        .to_owned()
}

fn kinds(timeline: &Value) -> Vec<&str> {
    let rows = timeline["events"].as_array().into_iter().flatten();
    rows.filter_map(|row| row["kind"].as_str()).collect()
}

/// Kills the broker and checks the access of these grants a minute before and a minute after their deadline.
fn without_a_broker(fixture: &mut AwsFixture<'_>, given: &[Given], after: bool) {
    fixture.broker.kill();
    let clock = fixture.emulator().clock();
    clock.advance(4 * MINUTE);
    for Given { mode, keys, .. } in given {
        assert!(may(fixture, keys), "{mode:?} a minute before its deadline");
    }
    clock.advance(2 * MINUTE);
    for Given { mode, keys, .. } in given {
        assert_eq!(may(fixture, keys), after, "{mode:?} a minute after its deadline");
    }
}

#[test]
fn target_enforced_deadline_ends_access_without_any_broker() {
    let emulator = Ministack::with_faketime();
    let mut fixture = fixture(&emulator);
    // Only one mode for the user: with both, each would also have the other's permission.
    let modes = [Mode::StaticInline, Mode::UserInline, Mode::Session, Mode::Role];
    let given = modes.map(|mode| give(&fixture, &fixture.agent(mode), mode, "cloud"));
    without_a_broker(&mut fixture, &given, false);
}

#[test]
fn broker_enforced_deadline_ends_access_when_a_broker_returns() {
    let emulator = Ministack::with_faketime();
    let mut fixture = fixture(&emulator);
    let modes = [Mode::StaticAttached, Mode::UserAttached, Mode::Pod];
    let given = modes.map(|mode| give(&fixture, &fixture.agent(mode), mode, "broker"));
    without_a_broker(&mut fixture, &given, true);
    assert_eq!(fixture.account.associations(CLUSTER).len(), 1);
    fixture.broker.restart();
    for Given { mode, id, keys } in &given {
        eventually(&format!("the end of {mode:?}"), || (!may(&fixture, keys)).then_some(()));
        eventually("its state", || (status(&fixture, id) == "revoked").then_some(()));
    }
    assert!(fixture.account.associations(CLUSTER).is_empty());
}

#[test]
fn running_broker_removes_access_at_the_deadline() {
    let emulator = Ministack::with_faketime();
    let fixture = fixture(&emulator);
    let agents = Mode::ALL.iter().map(|mode| (*mode, fixture.agent(*mode)));
    let agents: Vec<(Mode, Agent)> = agents.collect();
    let before = fixture.account.snapshot();
    for (mode, agent) in &agents {
        let by = match mode {
            Mode::StaticInline | Mode::UserInline | Mode::Session | Mode::Role => "cloud",
            Mode::StaticAttached | Mode::UserAttached | Mode::Pod => "broker",
        };
        let Given { id, keys, .. } = give(&fixture, agent, *mode, by);
        emulator.clock().advance(6 * MINUTE);
        eventually(&format!("the end of {mode:?}"), || (status(&fixture, &id) == "revoked").then_some(()));
        assert!(!may(&fixture, &keys), "{mode:?}");
        let timeline = fixture.broker.timeline(&id);
        let kinds = kinds(&timeline);
        let at = |kind: &str| kinds.iter().position(|found| *found == kind);
        assert!(at("expire").is_some() && at("expire") < at("revoked"), "{mode:?}: {kinds:?}");
    }
    // A session-deny policy stays as long as a cached session may last, and no longer.
    emulator.clock().advance(Duration::from_secs(14 * 3600));
    let mut changes = Vec::new();
    let clean = || {
        changes = before.changes_until(&fixture.account.snapshot());
        changes.retain(|change| !change.contains("/keys/"));
        changes.is_empty().then_some(())
    };
    eventually("an account as it was before", clean);
}
