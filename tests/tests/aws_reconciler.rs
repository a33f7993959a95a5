//! Does an account come to be as the broker's store says, and is nobody else's touched?
#![cfg(target_os = "linux")]

use std::sync::LazyLock;

use serde_json::{Value, json};
use system_tests::aws::ministack::Ministack;
use system_tests::aws::policies::{allow, trusts};
use system_tests::aws::stage::{Mode, Setting, Stage};
use system_tests::waiting::eventually;

static SHARED: LazyLock<Ministack> = LazyLock::new(Ministack::start);

/// A grant that no broker knows, like one from after the backup that a database was restored from.
const UNKNOWN: &str = "jit-elev-00000000000000aa";

fn compared_every_second(aws: &'static str) -> Setting {
    Setting { aws, ..Setting::before(&SHARED.url()) }
}

const REMOVING: &str = "reconcile_every = \"1s\"\norphan_grace = \"1s\"";
const REPORTING: &str = "reconcile_every = \"1s\"\norphan_grace = \"1s\"\norphans = \"report\"";

/// Things with our names on them, and things that only look like it.
fn plant(stage: &Stage<'_>) {
    let document = allow(&["s3:ListAllMyBuckets"]);
    stage.account.put_role_policy("deploy", UNKNOWN, &document);
    stage.account.put_role_policy("deploy", "jit-elev-00000000000000aa-2", &document);
    for foreign in ["jit-tools", "jit-elev-and-more", "nightly"] {
        stage.account.put_role_policy("deploy", foreign, &document);
    }
    let trust = trusts(&stage.account.arn("user/pipeline")).to_string();
    for (name, path) in [(UNKNOWN, "/cloudanix-jit/"), ("jit-elev-00000000000000bb", "/other/")] {
        let role = json!({"RoleName": name, "Path": path, "AssumeRolePolicyDocument": trust});
        stage.account.call("iam", "create_role", role);
    }
    // Somebody put something on it, which keeps it from being deleted.
    stage.account.put_role_policy(UNKNOWN, "added", &document);
}

fn agents(stage: &Stage<'_>) {
    for mode in [Mode::StaticInline, Mode::Role] {
        stage.agent(mode);
    }
}

#[test]
fn orphans_are_removed_and_nothing_else() {
    let stage = Stage::with(&SHARED, &compared_every_second(REMOVING));
    let before = stage.account.snapshot();
    plant(&stage);
    agents(&stage);
    eventually("the end of every orphan", || {
        let policies = stage.account.role_policies("deploy");
        let roles = stage.account.roles_named("jit-");
        (policies.len() == 3 && roles == ["jit-elev-00000000000000bb"]).then_some(())
    });
    let left = before.changes_until(&stage.account.snapshot()).join("\n");
    assert!(!left.contains("00000000000000aa"), "{left}");
    for foreign in ["jit-tools", "jit-elev-and-more", "nightly"] {
        assert!(left.contains(foreign), "{left}");
    }
}

#[test]
fn a_live_grant_is_no_orphan() {
    let stage = Stage::with(&SHARED, &compared_every_second(REMOVING));
    let agent = stage.agent(Mode::StaticInline);
    let grant = stage.elevate(&agent, "15m").expect(201);
    let name = format!("jit-{}", grant.text_at("/id"));
    // When the orphan beside it is gone, it has been looked at as well.
    stage.account.put_role_policy("deploy", UNKNOWN, &allow(&["s3:ListAllMyBuckets"]));
    eventually("the end of the orphan", || {
        (!stage.account.role_policies("deploy").contains(&UNKNOWN.to_owned())).then_some(())
    });
    assert_eq!(stage.account.role_policies("deploy"), [name]);
}

#[test]
fn orphans_are_only_reported_when_the_operator_wants_it_so() {
    let stage = Stage::with(&SHARED, &compared_every_second(REPORTING));
    plant(&stage);
    let before = stage.account.snapshot();
    agents(&stage);
    eventually("a report", || stage.broker.log().contains("only reported").then_some(()));
    assert_eq!(before.changes_until(&stage.account.snapshot()), Vec::<String>::new());
}

fn told(stage: &Stage<'_>, grant: &str, kind: &str) -> Option<String> {
    let timeline = stage.broker.timeline(grant);
    let rows = timeline.get("events").and_then(Value::as_array)?;
    let row = rows.iter().find(|row| row.get("kind").is_some_and(|found| found == kind))?;
    Some(row.get("text")?.as_str()?.to_owned())
}

#[test]
fn what_somebody_took_away_by_hand_is_told_and_not_given_again() {
    let stage = Stage::with(&SHARED, &compared_every_second(REMOVING));
    let (inline, attached) = (stage.agent(Mode::StaticInline), stage.agent(Mode::StaticAttached));
    let first = stage.elevate(&inline, "15m").expect(201).text_at("/id").to_owned();
    stage.account.delete_role_policy("deploy", &format!("jit-{first}"));
    let text = eventually("a row", || told(&stage, &first, "drift"));
    assert!(text.contains("taken away by somebody else"), "{text}");
    let second = stage.elevate(&attached, "15m").expect(201).text_at("/id").to_owned();
    stage.account.detach("deploy", &stage.ecs);
    let text = eventually("a row", || told(&stage, &second, "drift"));
    assert!(text.contains("is not attached to role/deploy"), "{text}");
    assert!(stage.account.attached_to_role("deploy").is_empty(), "a person has decided: it stays away");
    for (agent, grant) in [(&inline, &first), (&attached, &second)] {
        stage.revoke(agent, grant);
    }
    stage.broker.wait_until_nothing_is_live();
}

#[test]
fn permission_that_will_outlive_the_grant_is_told() {
    let stage = Stage::with(&SHARED, &compared_every_second(REMOVING));
    let agent = stage.agent(Mode::StaticInline);
    let grant = stage.elevate(&agent, "15m").expect(201).text_at("/id").to_owned();
    stage.account.attach("deploy", &stage.ecs);
    let text = eventually("a row", || told(&stage, &grant, "drift"));
    assert!(text.contains("as well, and stays after this grant"), "{text}");
    stage.revoke(&agent, &grant);
    let left = stage.account.attached_to_role("deploy");
    assert!(left.contains(&stage.ecs), "it is not ours to remove: {left:?}");
}
