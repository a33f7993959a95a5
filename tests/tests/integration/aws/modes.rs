//! Access in each AWS mode, tried with the real AWS CLI against an IAM emulator that enforces policies: refused before
//! the grant, allowed during it, refused after it, and never more than the granted policy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use system_tests::aws::account::Account;
use system_tests::aws::calls::Keys;
use system_tests::aws::fault_proxy::{Fault, FaultProxy, Instant, Which};
use system_tests::aws::fixture::{AwsFixture, CLUSTER, Mode, POD_ROLE, Setting, keys_of};
use system_tests::aws::ministack::Ministack;
use system_tests::waiting::eventually;

use crate::aws::SHARED;

/// The call that the grants allow: `aws ecs list-clusters`.
const WANTED: [&str; 2] = ["ecs", "list-clusters"];
/// A call that no grant allows: `aws s3api list-buckets`.
const NEVER: [&str; 2] = ["s3api", "list-buckets"];

fn live(fixture: &AwsFixture<'_>) -> Vec<Value> {
    fixture.broker.live()
}

/// Asserts that the account is as before once no grant is live.
#[track_caller]
fn as_before(fixture: &AwsFixture<'_>, before: &system_tests::aws::snapshot::Snapshot, but: &[&str]) {
    eventually("the end of every grant", || live(fixture).is_empty().then_some(()));
    let mut changes = before.changes_until(&fixture.account.snapshot());
    changes.retain(|change| !but.iter().any(|text| change.contains(text)));
    assert_eq!(changes, Vec::<String>::new());
}

#[track_caller]
fn allowed(fixture: &AwsFixture<'_>, keys: &Keys) -> bool {
    assert!(fixture.cli.run(keys, &NEVER).is_refused(), "another policy is refused throughout");
    let outcome = fixture.cli.run(keys, &WANTED);
    assert!(outcome.is_allowed() || outcome.is_refused(), "{outcome:?}");
    outcome.is_allowed()
}

fn static_principal(mode: Mode, keys: impl Fn(&AwsFixture<'_>) -> Keys) {
    let fixture = AwsFixture::start(&SHARED);
    let agent = fixture.agent(mode);
    let before = fixture.account.snapshot();
    let held = keys(&fixture);
    assert!(!allowed(&fixture, &held), "refused before");
    let grant = fixture.elevate(&agent, "15m").expect(201);
    assert_eq!(grant.text_at("/credentials/type"), "held");
    let by = if matches!(mode, Mode::StaticInline | Mode::UserInline) { "cloud" } else { "broker" };
    assert_eq!(grant.text_at("/enforced_by"), by);
    assert!(allowed(&fixture, &held), "allowed during: {}", fixture.broker.log());
    let taken_during = keys(&fixture);
    assert!(allowed(&fixture, &taken_during));
    let id = grant.text_at("/id");
    let revoked = fixture.revoke(&agent, id);
    assert!(!allowed(&fixture, &held), "refused after: {}", revoked.text);
    assert!(!allowed(&fixture, &taken_during), "a session from during the grant is refused after it");
    // The test itself created the user's keys.
    as_before(&fixture, &before, &["/keys/"]);
    fixture.broker.timeline(id);
}

#[test]
fn a_role_gets_a_policy_of_the_grants_own() {
    static_principal(Mode::StaticInline, |fixture| fixture.deploy_session());
}

#[test]
fn a_role_gets_a_managed_policy_attached() {
    static_principal(Mode::StaticAttached, |fixture| fixture.deploy_session());
}

#[test]
fn a_user_gets_a_policy_of_the_grants_own() {
    static_principal(Mode::UserInline, |fixture| fixture.account.access_key("deployer"));
}

#[test]
fn a_user_gets_a_managed_policy_attached() {
    static_principal(Mode::UserAttached, |fixture| fixture.account.access_key("deployer"));
}

#[test]
fn revoke_invalidates_only_the_session_of_the_grant() {
    let fixture = AwsFixture::start(&SHARED);
    let agent = fixture.agent(Mode::Session);
    let before = fixture.account.snapshot();
    let first = fixture.elevate(&agent, "15m").expect(201);
    let second = fixture.elevate(&agent, "15m").expect(201);
    let (one, other) = (keys_of(&first), keys_of(&second));
    assert!(allowed(&fixture, &one) && allowed(&fixture, &other), "{}", fixture.broker.log());
    fixture.revoke(&agent, first.text_at("/id"));
    assert!(!allowed(&fixture, &one), "its session is refused");
    assert!(allowed(&fixture, &other), "another session of the same role keeps its access");
    fixture.revoke(&agent, second.text_at("/id"));
    assert!(!allowed(&fixture, &other));
    as_before(&fixture, &before, &["jit-deny-"]);
    let denies: Vec<String> = fixture.account.role_policies("sessions");
    assert_eq!(denies.iter().filter(|name| name.starts_with("jit-deny-elev-")).count(), 2, "{denies:?}");
}

#[test]
fn role_of_a_grant_exists_only_during_the_grant() {
    let fixture = AwsFixture::start(&SHARED);
    let agent = fixture.agent(Mode::Role);
    let before = fixture.account.snapshot();
    let grant = fixture.elevate(&agent, "15m").expect(201);
    let id = grant.text_at("/id");
    assert_eq!(fixture.account.roles_named("jit-"), [format!("jit-{id}")]);
    let keys = keys_of(&grant);
    assert!(allowed(&fixture, &keys), "{}", fixture.broker.log());
    // Only the broker can assume the role, and only for this grant.
    let arn = fixture.account.arn(&format!("role/cloudanix-jit/jit-{id}"));
    assert!(fixture.account.assume(&fixture.pipeline, &arn, json!({})).is_refused());
    fixture.revoke(&agent, id);
    assert!(!allowed(&fixture, &keys));
    as_before(&fixture, &before, &[]);
}

#[test]
fn a_pod_gets_a_role_and_what_it_cached_is_refused_afterwards() {
    let fixture = AwsFixture::start(&SHARED);
    let agent = fixture.agent(Mode::Pod);
    let before = fixture.account.snapshot();
    assert!(fixture.account.associations(CLUSTER).is_empty());
    let grant = fixture.elevate(&agent, "15m").expect(201);
    let there = fixture.account.associations(CLUSTER);
    assert_eq!(there.len(), 1, "{there:?}");
    let (cached, other_pod) =
        (fixture.pod_session(), other_pods_session(&fixture.account, &fixture.pipeline));
    assert!(allowed(&fixture, &cached) && allowed(&fixture, &other_pod));
    fixture.revoke(&agent, grant.text_at("/id"));
    assert!(fixture.account.associations(CLUSTER).is_empty());
    eventually("the end of every grant", || live(&fixture).is_empty().then_some(()));
    assert!(!allowed(&fixture, &cached), "the pod's cached session is refused");
    assert!(allowed(&fixture, &other_pod), "the pods of another service account keep their access");
    as_before(&fixture, &before, &["jit-deny-"]);
}

#[test]
fn pod_session_deny_is_removed_even_if_another_grant_came_first() {
    let emulator = Ministack::with_faketime();
    let launcher = emulator.clock().launcher();
    let aws = "orphans = \"report\"";
    let setting =
        Setting { launcher, settle: "3m", late: "1m", aws, ..Setting::in_front_of(&emulator.url()) };
    let fixture = AwsFixture::with(&emulator, &setting);
    let agent = fixture.agent(Mode::Pod);
    let before = fixture.account.snapshot();
    let ends = |count: usize| {
        emulator.clock().advance(Duration::from_secs(4 * 60));
        eventually("what has ended is read back", || (live(&fixture).len() == count).then_some(()));
    };
    let first = fixture.elevate(&agent, "15m").expect(201);
    fixture.revoke(&agent, first.text_at("/id"));
    let second = fixture.elevate(&agent, "15m").expect(201);
    ends(1);
    let told = fixture.broker.timeline(first.text_at("/id")).to_string();
    assert!(told.contains("other grants need it"), "{told}");
    fixture.revoke(&agent, second.text_at("/id"));
    ends(0);
    emulator.clock().advance(Duration::from_secs(7 * 60 * 60));
    eventually("the end of every refusal", || {
        before.changes_until(&fixture.account.snapshot()).is_empty().then_some(())
    });
}

#[test]
fn foreign_association_in_the_place_of_ours_stays() {
    let fixture = AwsFixture::start(&SHARED);
    let agent = fixture.agent(Mode::Pod);
    let grant = fixture.elevate(&agent, "15m").expect(201);
    let [ours] = fixture.account.associations(CLUSTER).try_into().unwrap();
    let named = |name: &str| ours.get(name).cloned().unwrap();
    let this = json!({"clusterName": CLUSTER, "associationId": named("associationId")});
    fixture.account.call("eks", "delete_pod_identity_association", this);
    let theirs = json!({
        "clusterName": CLUSTER, "namespace": named("namespace"), "serviceAccount": named("serviceAccount"),
        "roleArn": fixture.account.arn(&format!("role/{POD_ROLE}")),
    });
    fixture.account.call("eks", "create_pod_identity_association", theirs);
    let there = fixture.account.associations(CLUSTER);
    fixture.revoke(&agent, grant.text_at("/id"));
    eventually("the end of every grant", || live(&fixture).is_empty().then_some(()));
    assert_eq!(fixture.account.associations(CLUSTER), there);
}

/// The proxy answers neither call before both have arrived.
#[test]
fn independent_calls_are_sent_in_parallel() {
    let cases = [
        (Mode::StaticInline, ["iam:PutRolePolicy", "iam:PutRolePolicy"], ["iam:DeleteRolePolicy"; 2]),
        (Mode::StaticAttached, ["iam:AttachRolePolicy"; 2], ["iam:DetachRolePolicy"; 2]),
        (Mode::Role, ["iam:PutRolePolicy", "sts:AssumeRole"], ["iam:DeleteRolePolicy"; 2]),
    ];
    for (mode, giving, taking_back) in cases {
        let proxy = Arc::new(FaultProxy::in_front_of(&SHARED.url()));
        let fixture = AwsFixture::with(&SHARED, &Setting::in_front_of(&proxy.url()));
        let agent = fixture.agent(mode);
        let met = meet(&proxy, giving);
        let grant = fixture.elevate_for(&agent, &["ecs-read", "s3-read"], "15m").expect(201);
        assert!(met.load(Ordering::SeqCst), "{mode:?}: {:?}", proxy.names());
        proxy.behave();
        let met = meet(&proxy, taking_back);
        fixture.revoke(&agent, grant.text_at("/id"));
        assert!(met.load(Ordering::SeqCst), "{mode:?}: {:?}", proxy.names());
        proxy.behave();
        eventually("the end of every grant", || live(&fixture).is_empty().then_some(()));
    }
}

/// Holds the first call of each of these names until all of them have arrived.
fn meet(proxy: &Arc<FaultProxy>, names: [&'static str; 2]) -> Arc<AtomicBool> {
    let count = move |proxy: &FaultProxy| {
        let of = |name: &&str| names.contains(name);
        proxy.names().iter().filter(|name| of(&name.as_str())).count()
    };
    let before = count(proxy);
    let (here, met) = (Arc::clone(proxy), Arc::new(AtomicBool::new(false)));
    let told = Arc::clone(&met);
    proxy.at(Instant::Before, Which::named(names[0]).times(1), move |_| {
        eventually("the other call", || (count(&here) >= before + 2).then_some(()));
        told.store(true, Ordering::SeqCst);
    });
    met
}

fn other_pods_session(account: &Account<'_>, pipeline: &Keys) -> Keys {
    let tag = |key: &str, value: &str| json!({"Key": key, "Value": value});
    let tags = [
        tag("eks-cluster-name", CLUSTER),
        tag("kubernetes-namespace", "shop"),
        tag("kubernetes-service-account", "worker"),
    ];
    account.session(pipeline, &account.arn(&format!("role/{POD_ROLE}")), json!({ "Tags": tags }))
}

#[test]
fn foreign_attachment_stays() {
    let fixture = AwsFixture::start(&SHARED);
    let agent = fixture.agent(Mode::StaticAttached);
    fixture.account.attach("deploy", &fixture.ecs);
    let before = fixture.account.snapshot();
    let grant = fixture.elevate(&agent, "15m").expect(201);
    let id = grant.text_at("/id");
    fixture.revoke(&agent, id);
    as_before(&fixture, &before, &[]);
    let text = fixture.broker.timeline(id).to_string();
    assert!(text.contains("was there before"), "{text}");
}

#[test]
fn two_grants_of_one_policy_never_cut_each_other_off() {
    let fixture = AwsFixture::start(&SHARED);
    let agent = fixture.agent(Mode::StaticAttached);
    let before = fixture.account.snapshot();
    let held = fixture.deploy_session();
    let first = fixture.elevate(&agent, "15m").expect(201);
    let second = fixture.elevate(&agent, "15m").expect(201);
    fixture.revoke(&agent, first.text_at("/id"));
    assert!(allowed(&fixture, &held), "the second grant lives");
    fixture.revoke(&agent, second.text_at("/id"));
    assert!(!allowed(&fixture, &held));
    as_before(&fixture, &before, &[]);
}

#[test]
fn policy_too_large_for_inline_is_attached_and_ended_by_the_broker() {
    let on_role: fn(&AwsFixture<'_>) -> (Keys, Vec<String>) =
        |fixture| (fixture.deploy_session(), fixture.account.attached_to_role("deploy"));
    let on_user: fn(&AwsFixture<'_>) -> (Keys, Vec<String>) =
        |fixture| (fixture.account.access_key("deployer"), fixture.account.attached_to_user("deployer"));
    let cases = [
        (Mode::StaticInline, "iam:PutRolePolicy", on_role),
        (Mode::UserInline, "iam:PutUserPolicy", on_user),
    ];
    for (mode, put, principal) in cases {
        let proxy = FaultProxy::in_front_of(&SHARED.url());
        proxy.order(Which::named(put), Fault::LimitExceeded);
        let fixture = AwsFixture::with(&SHARED, &Setting::in_front_of(&proxy.url()));
        let agent = fixture.agent(mode);
        let before = fixture.account.snapshot();
        let (held, attached) = principal(&fixture);
        assert!(attached.is_empty() && !allowed(&fixture, &held), "{mode:?}");
        let grant = fixture.elevate(&agent, "15m").expect(201);
        assert_eq!(grant.text_at("/enforced_by"), "broker", "AWS itself does not end an attachment");
        assert_eq!(principal(&fixture).1, [fixture.ecs.as_str()], "{mode:?}");
        assert!(allowed(&fixture, &held), "{mode:?}");
        let id = grant.text_at("/id");
        let told = fixture.broker.timeline(id).to_string();
        assert!(told.contains(put) && told.contains("LimitExceeded"), "{told}");
        assert!(told.contains("another way is taken"), "{told}");
        fixture.revoke(&agent, id);
        assert!(!allowed(&fixture, &held), "{mode:?}");
        as_before(&fixture, &before, &["/keys/"]);
    }
}
