//! Reconciling removes the orphans of an account and no foreign object.

use std::path::PathBuf;

use reqwest::Method;
use serde_json::{Value, json};
use system_tests::aws::fixture::{AwsFixture, Mode, Setting};
use system_tests::aws::policies::{allow, trusts};
use system_tests::fixture::Agent;
use system_tests::http;
use system_tests::waiting::eventually;

use crate::aws::SHARED;

/// A grant that the broker does not know, like one issued after the backup from which the database was restored.
const UNKNOWN: &str = "jit-elev-00000000000000aa";

fn compared_every_second(aws: &'static str) -> Setting {
    Setting { aws, ..Setting::in_front_of(&SHARED.url()) }
}

const REMOVING: &str = "reconcile_every = \"1s\"\norphan_grace = \"1s\"";
const REPORTING: &str = "reconcile_every = \"1s\"\norphan_grace = \"1s\"\norphans = \"report\"";

/// Creates orphans and foreign objects with similar names.
fn plant(fixture: &AwsFixture<'_>) {
    let document = allow(&["s3:ListAllMyBuckets"]);
    fixture.account.put_role_policy("deploy", UNKNOWN, &document);
    fixture.account.put_role_policy("deploy", "jit-elev-00000000000000aa-2", &document);
    for foreign in ["jit-tools", "jit-elev-and-more", "nightly"] {
        fixture.account.put_role_policy("deploy", foreign, &document);
    }
    let trust = trusts(&fixture.account.arn("user/pipeline")).to_string();
    for (name, path) in [(UNKNOWN, "/cloudanix-jit/"), ("jit-elev-00000000000000bb", "/other/")] {
        let role = json!({"RoleName": name, "Path": path, "AssumeRolePolicyDocument": trust});
        fixture.account.call("iam", "create_role", role);
    }
    // A person's inline policy, which prevents the deletion of the role.
    fixture.account.put_role_policy(UNKNOWN, "added", &document);
}

/// Registers the agents of the role modes and of the role-per-grant mode; returns the first.
fn agents(fixture: &AwsFixture<'_>) -> Agent {
    fixture.agent(Mode::Role);
    fixture.agent(Mode::StaticInline)
}

/// Recreates the object of an ended grant, as if its revert had been lost.
fn leave_behind(fixture: &AwsFixture<'_>, agent: &Agent) -> String {
    let grant = fixture.elevate(agent, "15m").expect(201).text_at("/id").to_owned();
    fixture.revoke(agent, &grant);
    fixture.broker.wait_until_nothing_is_live();
    let name = format!("jit-{grant}");
    fixture.account.put_role_policy("deploy", &name, &allow(&["s3:ListAllMyBuckets"]));
    name
}

fn reconcile(fixture: &AwsFixture<'_>, request: &Value) -> Value {
    let asked =
        fixture.broker.request(Method::POST, "/v2/reconcile").bearer_auth(fixture.broker.operator_token());
    http::send(asked.json(request)).expect(200).json
}

/// The objects of the orphans, each with its outcome.
fn outcomes(found: &Value, known: bool) -> Vec<(&str, &str)> {
    let orphans = found.get("orphans").and_then(Value::as_array).into_iter().flatten();
    let of_these = orphans.filter(|orphan| orphan.get("known") == Some(&json!(known)));
    let mut found: Vec<_> = of_these
        .filter_map(|orphan| Some((orphan.get("object")?.as_str()?, orphan.get("outcome")?.as_str()?)))
        .collect();
    found.sort_unstable();
    found
}

#[test]
fn orphans_of_an_ended_grant_are_removed_after_the_grace() {
    let fixture = AwsFixture::with(&SHARED, &compared_every_second(REMOVING));
    let left = leave_behind(&fixture, &fixture.agent(Mode::StaticInline));
    eventually("the end of the orphan", || {
        (!fixture.account.role_policies("deploy").contains(&left)).then_some(())
    });
    let grant = left.trim_start_matches("jit-");
    let text = eventually("a row", || text_of(&fixture, grant, "orphan"));
    assert!(text.contains(&left), "{text}");
}

#[test]
fn unknown_orphans_are_found_and_removed_only_by_an_operator() {
    let fixture = AwsFixture::with(&SHARED, &compared_every_second(REMOVING));
    let before = fixture.account.snapshot();
    plant(&fixture);
    let planted = fixture.account.snapshot();
    let agent = agents(&fixture);
    let found = reconcile(&fixture, &json!({}));
    let reported = outcomes(&found, false);
    assert_eq!(reported.len(), 3, "{found}");
    assert!(reported.iter().all(|(_, outcome)| *outcome == "reported"), "{found}");
    // The broker's periodic comparison removes the orphan of a known grant and none of unknown grants.
    let known = leave_behind(&fixture, &agent);
    eventually("the removal of the known orphan", || {
        (!fixture.account.role_policies("deploy").contains(&known)).then_some(())
    });
    assert_eq!(planted.changes_until(&fixture.account.snapshot()), Vec::<String>::new());

    let found = reconcile(&fixture, &json!({"remove_unknown": true}));
    let removed: Vec<_> = reported.iter().map(|(object, _)| (*object, "removed")).collect();
    assert_eq!(outcomes(&found, false), removed, "{found}");
    assert_eq!(fixture.account.roles_named("jit-"), ["jit-elev-00000000000000bb"]);
    let left = before.changes_until(&fixture.account.snapshot()).join("\n");
    assert!(!left.contains("00000000000000aa"), "{left}");
    for foreign in ["jit-tools", "jit-elev-and-more", "nightly"] {
        assert!(left.contains(foreign), "{left}");
    }
}

#[test]
fn a_live_grant_is_no_orphan() {
    let fixture = AwsFixture::with(&SHARED, &compared_every_second(REMOVING));
    let agent = fixture.agent(Mode::StaticInline);
    let grant = fixture.elevate(&agent, "15m").expect(201);
    let name = format!("jit-{}", grant.text_at("/id"));
    fixture.account.put_role_policy("deploy", UNKNOWN, &allow(&["s3:ListAllMyBuckets"]));
    reconcile(&fixture, &json!({"remove_unknown": true}));
    assert_eq!(fixture.account.role_policies("deploy"), [name]);
}

#[test]
fn orphans_are_only_reported_if_configured_so() {
    let fixture = AwsFixture::with(&SHARED, &compared_every_second(REPORTING));
    plant(&fixture);
    let left = leave_behind(&fixture, &agents(&fixture));
    let before = fixture.account.snapshot();
    eventually("a report", || fixture.broker.log().contains("only reported").then_some(()));
    let orphan = eventually("the orphan in the health of the broker", || {
        let health = fixture.broker.operator(Method::GET, "/v2/health").expect(200).json;
        let orphans = health["reconciled"]["orphans"].as_array().cloned().unwrap_or_default();
        orphans.into_iter().find(|orphan| orphan["object"].as_str().is_some_and(|name| name.contains(&left)))
    });
    assert_eq!((&orphan["outcome"], &orphan["known"]), (&json!("reported"), &json!(true)), "{orphan}");
    assert_eq!(before.changes_until(&fixture.account.snapshot()), Vec::<String>::new());
}

/// Restores a database from before some grants were issued and others revoked.
#[test]
fn restored_older_database_cuts_no_live_grant_and_finds_all_orphans() {
    let mut fixture = AwsFixture::with(&SHARED, &compared_every_second(REMOVING));
    let agent = fixture.agent(Mode::StaticInline);
    let elevate =
        |fixture: &AwsFixture<'_>| fixture.elevate(&agent, "15m").expect(201).text_at("/id").to_owned();
    let [over, kept] = [elevate(&fixture), elevate(&fixture)];
    fixture.broker.stop();
    let files = ["", "-wal", "-shm"].map(|end| {
        let path = PathBuf::from(format!("{}{end}", fixture.broker.database().display()));
        let held = std::fs::read(&path).ok();
        (path, held)
    });
    fixture.broker.restart();
    fixture.revoke(&agent, &over);
    let forgotten = elevate(&fixture);
    fixture.broker.stop();
    for (path, held) in files {
        match held {
            Some(held) => std::fs::write(path, held).unwrap(),
            None => drop(std::fs::remove_file(path)),
        }
    }
    fixture.broker.restart();

    let found = reconcile(&fixture, &json!({}));
    assert_eq!(outcomes(&found, false).len(), 1, "{found}");
    assert!(found.to_string().contains(&forgotten), "{found}");
    let live = |grant: &String| fixture.account.role_policies("deploy").contains(&format!("jit-{grant}"));
    // The periodic comparison reports the missing object of `over` and removes no object of a live grant.
    let text = eventually("a row", || text_of(&fixture, &over, "drift"));
    assert!(text.contains("removed outside the broker"), "{text}");
    assert!(live(&kept) && live(&forgotten));
    fixture.revoke(&agent, &kept);
    fixture.revoke(&agent, &over);
    fixture.broker.wait_until_nothing_is_live();
    assert!(!live(&kept) && live(&forgotten));
    reconcile(&fixture, &json!({"remove_unknown": true}));
    assert_eq!(fixture.account.role_policies("deploy"), Vec::<String>::new());
}

fn text_of(fixture: &AwsFixture<'_>, grant: &str, kind: &str) -> Option<String> {
    let timeline = fixture.broker.timeline(grant);
    let rows = timeline.get("events").and_then(Value::as_array)?;
    let row = rows.iter().find(|row| row.get("kind").is_some_and(|found| found == kind))?;
    Some(row.get("text")?.as_str()?.to_owned())
}

#[test]
fn manual_removal_is_reported_as_drift_and_not_repaired() {
    let fixture = AwsFixture::with(&SHARED, &compared_every_second(REMOVING));
    let (inline, attached) = (fixture.agent(Mode::StaticInline), fixture.agent(Mode::StaticAttached));
    let first = fixture.elevate(&inline, "15m").expect(201).text_at("/id").to_owned();
    fixture.account.delete_role_policy("deploy", &format!("jit-{first}"));
    let text = eventually("a row", || text_of(&fixture, &first, "drift"));
    assert!(text.contains("removed outside the broker"), "{text}");
    let second = fixture.elevate(&attached, "15m").expect(201).text_at("/id").to_owned();
    fixture.account.detach("deploy", &fixture.ecs);
    let text = eventually("a row", || text_of(&fixture, &second, "drift"));
    assert!(text.contains("is not attached to role/deploy"), "{text}");
    // Both are there at once, also the one that was told before.
    eventually("both in the health of the broker", || {
        let health = fixture.broker.operator(Method::GET, "/v2/health").expect(200).json;
        let drift = health["reconciled"]["drift"].as_array().cloned().unwrap_or_default();
        let names = |id: &String| drift.iter().any(|one| one["grant_id"] == id.as_str());
        (names(&first) && names(&second)).then_some(())
    });
    assert!(
        fixture.account.attached_to_role("deploy").is_empty(),
        "the broker restored an object that a person removed"
    );
    for (agent, grant) in [(&inline, &first), (&attached, &second)] {
        fixture.revoke(agent, grant);
    }
    fixture.broker.wait_until_nothing_is_live();
}

#[test]
fn permission_that_outlives_the_grant_is_reported_as_drift() {
    let fixture = AwsFixture::with(&SHARED, &compared_every_second(REMOVING));
    let agent = fixture.agent(Mode::StaticInline);
    let grant = fixture.elevate(&agent, "15m").expect(201).text_at("/id").to_owned();
    fixture.account.attach("deploy", &fixture.ecs);
    let text = eventually("a row", || text_of(&fixture, &grant, "drift"));
    assert!(text.contains("as well, and stays after this grant"), "{text}");
    fixture.revoke(&agent, &grant);
    let left = fixture.account.attached_to_role("deploy");
    assert!(left.contains(&fixture.ecs), "the broker removed a foreign object: {left:?}");
}
