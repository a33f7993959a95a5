//! The AWS emulators of the tests: which permissions they enforce, their clock and their error messages.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use system_tests::aws::calls::Keys;
use system_tests::aws::cli::AwsCli;
use system_tests::aws::ministack::Ministack;
use system_tests::aws::moto::Moto;
use system_tests::aws::outcome::Outcome;
use system_tests::aws::policies::{FAR_AHEAD, LONG_AGO, allow, allow_until, trusts, trusts_if};
use system_tests::aws::role_fixture::RoleFixture;
use system_tests::http;

use crate::aws::SHARED;

#[test]
fn aws_cli_is_allowed_exactly_while_a_policy_is_attached() {
    let fixture = RoleFixture::on(&SHARED);
    let aws = AwsCli::of(&SHARED);
    let policy = fixture.account.managed_policy("ecs-read", &allow(&["ecs:ListClusters"]));
    let try_it = || aws.run(&fixture.session, &["ecs", "list-clusters"]);
    assert_eq!(try_it(), Outcome::Refused("AccessDeniedException".into()));
    fixture.account.attach("deploy", &policy);
    assert_eq!(try_it(), Outcome::Allowed(json!({"clusterArns": []})));
    assert_eq!(fixture.account.attached_to_role("deploy"), [policy.as_str()]);
    fixture.account.detach("deploy", &policy);
    assert_eq!(try_it(), Outcome::Refused("AccessDeniedException".into()));
}

#[test]
fn the_real_cli_and_boto3_agree_on_who_may_do_what() {
    let fixture = RoleFixture::on(&SHARED);
    fixture.account.put_role_policy("deploy", "grant", &allow(&["s3:ListAllMyBuckets"]));
    let aws = AwsCli::of(&SHARED);
    let cases: [(&[&str], (&str, &str), bool); 2] = [
        (&["s3api", "list-buckets"], ("s3", "list_buckets"), true),
        (&["iam", "list-users"], ("iam", "list_users"), false),
    ];
    for (words, (service, operation), allowed) in cases {
        let by_cli = aws.run(&fixture.session, words);
        let by_boto3 = SHARED.calls().call(&fixture.session, service, operation, json!({}));
        assert_eq!(by_cli.is_allowed(), allowed, "{words:?}: {by_cli:?}");
        assert_eq!(by_cli.code(), by_boto3.code(), "{words:?}");
    }
    let wrong = Keys { secret: "wrong".into(), ..fixture.session };
    assert_eq!(aws.run(&wrong, &["iam", "list-users"]), Outcome::Refused("SignatureDoesNotMatch".into()));
}

#[test]
fn inline_policy_past_its_deadline_allows_nothing() {
    let fixture = RoleFixture::on(&SHARED);
    let try_it = || SHARED.calls().list_clusters(&fixture.session);
    fixture.account.put_role_policy("deploy", "grant", &allow_until(&["ecs:ListClusters"], FAR_AHEAD));
    assert!(try_it().is_allowed());
    fixture.account.put_role_policy("deploy", "grant", &allow_until(&["ecs:ListClusters"], LONG_AGO));
    assert!(try_it().is_refused());
}

#[test]
fn a_role_in_another_account_asks_for_the_external_id() {
    let (home, away) = (RoleFixture::on(&SHARED), RoleFixture::on(&SHARED));
    let condition = json!({"StringEquals": {"sts:ExternalId": "of-this-customer"}});
    let role = away.account.role("far", &trusts_if(&home.account.arn("user/broker"), condition));
    let by = |further: Value| home.account.assume(&home.broker, &role, further);
    assert!(by(json!({})).is_refused());
    assert!(by(json!({"ExternalId": "of-another"})).is_refused());
    let session = Keys::from_answer(&by(json!({"ExternalId": "of-this-customer"})).expect_allowed());
    let whose = SHARED.calls().call(&session, "sts", "get_caller_identity", json!({})).expect_allowed();
    assert_eq!(whose["Account"], away.account.number());
}

#[test]
fn snapshot_shows_exactly_what_was_left_behind() {
    let fixture = RoleFixture::on(&SHARED);
    fixture.account.cluster("main");
    let before = fixture.account.snapshot();
    fixture.account.put_role_policy("deploy", "grant", &allow(&["ecs:ListClusters"]));
    let managed = fixture.account.managed_policy("ecs-read", &allow(&["ecs:ListClusters"]));
    fixture.account.attach("deploy", &managed);
    fixture.account.role("jit-1", &trusts("*"));
    let key = fixture.account.access_key("broker");
    let association = json!({
        "clusterName": "main", "namespace": "shop", "serviceAccount": "web", "roleArn": fixture.role,
    });
    fixture.account.call("eks", "create_pod_identity_association", association);
    let changes = before.changes_until(&fixture.account.snapshot());
    for expected in ["/jit-1: is new", "/grant: is new", "/attached: was []", "/ecs-read: is new"] {
        assert!(changes.iter().any(|change| change.contains(expected)), "{expected}: {changes:#?}");
    }
    assert!(changes.iter().any(|change| change.contains(&format!("/keys/{}: is new", key.id))));
    assert!(changes.iter().any(|change| change.starts_with("/associations/main/shop/web: is new")));
    assert_eq!(changes.len(), 6, "{changes:#?}");
    assert_eq!(fixture.account.roles_named("jit-"), ["jit-1"]);

    fixture.account.detach("deploy", &managed);
    fixture.account.delete_role_policy("deploy", "grant");
    fixture.account.call("iam", "delete_policy", json!({"PolicyArn": managed}));
    fixture.account.call("iam", "delete_role", json!({"RoleName": "jit-1"}));
    fixture.account.call("iam", "delete_access_key", json!({"UserName": "broker", "AccessKeyId": key.id}));
    let id = fixture.account.associations("main")[0]["associationId"].clone();
    let which = json!({"clusterName": "main", "associationId": id});
    fixture.account.call("eks", "delete_pod_identity_association", which);
    assert_eq!(before, fixture.account.snapshot());
}

#[test]
fn the_clock_of_an_emulator_can_be_moved_and_the_cli_goes_with_it() {
    let emulator = Ministack::with_faketime();
    let fixture = RoleFixture::on(&emulator);
    let further = json!({"DurationSeconds": 900});
    let answer = fixture.account.assume(&fixture.broker, &fixture.role, further).expect_allowed();
    let (short, until) = (Keys::from_answer(&answer), answer["Credentials"]["Expiration"].as_str().unwrap());
    fixture.account.put_role_policy("deploy", "forever", &allow(&["s3:ListAllMyBuckets"]));
    fixture.account.put_role_policy("deploy", "grant", &allow_until(&["ecs:ListClusters"], until));
    let aws = AwsCli::of(&emulator);
    emulator.clock().advance(Duration::from_secs(14 * 60));
    assert!(aws.run(&short, &["ecs", "list-clusters"]).is_allowed());
    assert!(emulator.calls().list_clusters(&fixture.session).is_allowed());
    emulator.clock().advance(Duration::from_secs(2 * 60));
    assert_eq!(aws.run(&short, &["s3api", "list-buckets"]), Outcome::Refused("ExpiredToken".into()));
    let session_lives = emulator.calls().call(&fixture.session, "s3", "list_buckets", json!({}));
    assert!(session_lives.is_allowed(), "{session_lives:?}");
    assert!(
        emulator.calls().list_clusters(&fixture.session).is_refused(),
        "the policy's deadline has passed"
    );
}

#[test]
fn both_emulators_agree_on_errors_of_revert_and_on_attachments() {
    let moto = Moto::start();
    let fixture = RoleFixture::on(&SHARED);
    let second = moto.account();
    second.role("deploy", &trusts("*"));
    let nothing = json!({"RoleName": "deploy", "PolicyArn": fixture.account.arn("policy/nothing")});
    let policy = json!({"RoleName": "deploy", "PolicyName": "nothing"});
    let missing = json!({"RoleName": "nobody", "PolicyName": "nothing"});
    let again = json!({"RoleName": "deploy", "AssumeRolePolicyDocument": trusts("*").to_string()});
    let cases = [
        ("delete_role_policy", policy.clone(), (404, "NoSuchEntity")),
        ("delete_role_policy", missing.clone(), (404, "NoSuchEntity")),
        ("get_role_policy", policy, (404, "NoSuchEntity")),
        ("detach_role_policy", nothing, (404, "NoSuchEntity")),
        ("delete_role", json!({"RoleName": "nobody"}), (404, "NoSuchEntity")),
        ("delete_user", json!({"UserName": "nobody"}), (404, "NoSuchEntity")),
        ("create_role", again, (409, "EntityAlreadyExists")),
    ];
    for (operation, arguments, expected) in cases {
        let first = fixture.account.try_call("iam", operation, arguments.clone());
        let other = second.try_call("iam", operation, arguments);
        assert_eq!(first.error(), expected, "{operation}: {first:?}");
        assert_eq!(other.error(), expected, "{operation}: {other:?}");
    }

    let admin = second.user("admin", &allow(&["*"]));
    let session = second.session(&admin, &second.arn("role/deploy"), json!({}));
    let managed = second.managed_policy("iam-read", &allow(&["iam:ListUsers"]));
    moto.enforce();
    let which = json!({"RoleName": "deploy", "PolicyArn": managed});
    let change =
        |operation: &str| moto.calls().call(&admin, "iam", operation, which.clone()).expect_allowed();
    let try_it = || moto.calls().call(&session, "iam", "list_users", json!({}));
    assert_eq!(try_it(), Outcome::Refused("AccessDenied".into()));
    change("attach_role_policy");
    assert!(try_it().is_allowed());
    change("detach_role_policy");
    assert_eq!(try_it(), Outcome::Refused("AccessDenied".into()));
}

#[test]
fn an_emulator_ends_with_its_handle() {
    let emulator = Ministack::start();
    let health = format!("{}/_ministack/health", emulator.url());
    assert!(http::try_send(http::request(Method::GET, &health)).is_ok());
    drop(emulator);
    assert!(http::try_send(http::request(Method::GET, &health)).is_err());
}
