//! The proxy between a broker and AWS injects exactly the faults that a test orders.

use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use serde_json::json;
use system_tests::aws::calls::Calls;
use system_tests::aws::cli::AwsCli;
use system_tests::aws::fault_proxy::{Fault, FaultProxy, Instant, Meanwhile, Which};
use system_tests::aws::policies::allow;
use system_tests::aws::role_fixture::RoleFixture;
use system_tests::waiting::eventually;

use crate::aws::SHARED;

#[test]
fn the_proxy_names_every_call_in_order() {
    let fixture = RoleFixture::on(&SHARED);
    fixture.account.cluster("main");
    let proxy = FaultProxy::in_front_of(&SHARED.url());
    let calls = Calls::to(&proxy.url());
    fixture.put_policy(&calls).expect_allowed();
    fixture.account.assume(&fixture.broker, &fixture.role, json!({})).expect_allowed();
    let role = json!({"RoleArn": fixture.role, "RoleSessionName": "test"});
    calls.call(&fixture.broker, "sts", "assume_role", role).expect_allowed();
    calls.list_clusters(&fixture.session).expect_allowed();
    let root = fixture.account.root();
    let association = json!({
        "clusterName": "main", "namespace": "shop", "serviceAccount": "web", "roleArn": fixture.role,
    });
    calls.call(&root, "eks", "create_pod_identity_association", association).expect_allowed();
    calls
        .call(&root, "eks", "list_pod_identity_associations", json!({"clusterName": "main"}))
        .expect_allowed();
    assert!(calls.call(&fixture.session, "s3", "list_buckets", json!({})).is_refused());
    assert_eq!(
        proxy.names(),
        [
            "iam:PutRolePolicy",
            "sts:AssumeRole",
            "ecs:ListClusters",
            "eks:CreatePodIdentityAssociation",
            "eks:ListPodIdentityAssociations",
            "s3:ListBuckets",
        ]
    );
    let seen = proxy.calls();
    assert_eq!((seen[0].parameter("RoleName"), seen[0].key.as_str()), ("deploy", fixture.broker.id.as_str()));
    assert_eq!((seen[3].parameter("clusterName"), seen[3].parameter("namespace")), ("main", "shop"));
    assert_eq!(seen.iter().map(|call| call.status).collect::<Vec<_>>()[4..], [Some(200), Some(403)]);
}

#[test]
fn refusals_come_in_the_words_of_the_service_and_nothing_is_applied() {
    let fixture = RoleFixture::on(&SHARED);
    let proxy = FaultProxy::in_front_of(&SHARED.url());
    let calls = Calls::to(&proxy.url());
    let cases = [
        (Fault::Throttled, (400, "Throttling")),
        (Fault::ServerError(500), (500, "ServiceFailure")),
        (Fault::ServerError(503), (503, "ServiceUnavailable")),
        (Fault::AccessDenied, (0, "AccessDenied")),
        (Fault::LimitExceeded, (409, "LimitExceeded")),
        (Fault::Refused(409, "ConcurrentModification"), (409, "ConcurrentModification")),
    ];
    for (fault, expected) in cases {
        proxy.order(Which::named("iam:PutRolePolicy").times(1), fault);
        assert_eq!(fixture.put_policy(&calls).error(), expected);
        assert!(!fixture.has_policy());
    }
    fixture.put_policy(&calls).expect_allowed();

    proxy.order(Which::named("eks:ListClusters").times(1), Fault::Throttled);
    let root = fixture.account.root();
    let throttled = calls.call(&root, "eks", "list_clusters", json!({}));
    assert_eq!(throttled.error(), (429, "TooManyRequestsException"));
    proxy.order(Which::nth(2), Fault::Throttled);
    assert!(calls.list_clusters(&fixture.session).is_allowed(), "only the second call fails");
    assert_eq!(calls.list_clusters(&fixture.session).error(), (400, "ThrottlingException"));
    assert!(calls.list_clusters(&fixture.session).is_allowed(), "only the second call fails");
}

#[test]
fn a_lost_reply_was_applied_and_a_lost_request_was_not() {
    let fixture = RoleFixture::on(&SHARED);
    let proxy = FaultProxy::in_front_of(&SHARED.url());
    let calls = Calls::to(&proxy.url());
    proxy.order(Which::nth(1), Fault::NotForwarded);
    assert_eq!(fixture.put_policy(&calls).error(), (0, ""));
    assert!(!fixture.has_policy());
    proxy.order(Which::nth(1), Fault::ReplyLost);
    assert_eq!(fixture.put_policy(&calls).error(), (0, ""));
    assert!(fixture.has_policy());
    assert_eq!(proxy.calls().iter().map(|call| call.status).collect::<Vec<_>>(), [None, Some(200)]);
}

#[test]
fn delayed_reply_was_applied_and_arrives_on_release() {
    let fixture = RoleFixture::on(&SHARED);
    let proxy = FaultProxy::in_front_of(&SHARED.url());
    let calls = Calls::to(&proxy.url());
    proxy.order(Which::every(), Fault::ReplyHeld);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| fixture.put_policy(&calls));
        eventually("a held reply", || (proxy.held() == 1).then_some(()));
        assert!(fixture.has_policy() && !waiting.is_finished());
        proxy.release();
        assert!(waiting.join().unwrap().is_allowed());
    });
}

#[test]
fn a_late_write_lands_when_the_test_says_so() {
    let fixture = RoleFixture::on(&SHARED);
    let proxy = FaultProxy::in_front_of(&SHARED.url());
    let calls = Calls::to(&proxy.url());
    for (meanwhile, seen) in
        [(Meanwhile::ServerError, (503, "ServiceUnavailable")), (Meanwhile::Closed, (0, ""))]
    {
        proxy.order(Which::nth(1), Fault::Late(meanwhile));
        assert_eq!(fixture.put_policy(&calls).error(), seen);
        assert!(!fixture.has_policy());
        assert_eq!(proxy.apply_late()[0].status, Some(200));
        assert!(fixture.has_policy());
        fixture.account.delete_role_policy("deploy", "grant");
    }
    proxy.order(Which::nth(1), Fault::Late(Meanwhile::Silence));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| fixture.put_policy(&calls));
        eventually("a late call", || (proxy.late() == 1).then_some(()));
        assert!(!fixture.has_policy() && !waiting.is_finished());
        proxy.apply_late();
        assert!(waiting.join().unwrap().is_allowed());
    });
    assert!(fixture.has_policy());
}

#[test]
fn a_stale_read_is_answered_as_an_earlier_one_was() {
    let fixture = RoleFixture::on(&SHARED);
    let proxy = FaultProxy::in_front_of(&SHARED.url());
    let calls = Calls::to(&proxy.url());
    assert_eq!(fixture.get_policy(&calls).error(), (404, "NoSuchEntity"));
    let stale = proxy.last_reply("iam:GetRolePolicy").unwrap();
    fixture.put_policy(&calls).expect_allowed();
    proxy.order(Which::named("iam:GetRolePolicy").times(2), Fault::Answered(stale));
    for _ in 0..2 {
        assert_eq!(fixture.get_policy(&calls).error(), (404, "NoSuchEntity"));
    }
    assert!(fixture.get_policy(&calls).is_allowed());
}

#[test]
fn proxy_runs_hooks_before_a_call_and_before_its_reply() {
    let fixture = RoleFixture::on(&SHARED);
    let proxy = FaultProxy::in_front_of(&SHARED.url());
    let calls = Arc::new(Calls::to(&proxy.url()));
    let (told, instants) = mpsc::channel();
    for instant in [Instant::Before, Instant::AfterApplied] {
        let (told, root) = (told.clone(), fixture.account.root());
        let beside = SHARED.more_calls(&SHARED.url());
        proxy.at(instant, Which::named("iam:PutRolePolicy"), move |call| {
            let policies = beside.call(&root, "iam", "list_role_policies", json!({"RoleName": "deploy"}));
            told.send((instant, call.status, policies.expect_allowed()["PolicyNames"].clone())).unwrap();
        });
    }
    fixture.put_policy(&calls).expect_allowed();
    assert_eq!(instants.recv().unwrap(), (Instant::Before, None, json!([])));
    assert_eq!(instants.recv().unwrap(), (Instant::AfterApplied, Some(200), json!(["grant"])));
    proxy.behave();
    fixture.put_policy(&calls).expect_allowed();
    assert!(instants.try_recv().is_err());
}

#[test]
fn caller_can_be_killed_before_a_call_leaves_or_after_it_applied() {
    let fixture = RoleFixture::on(&SHARED);
    let document = allow(&["ecs:ListClusters"]).to_string();
    let put = ["iam", "put-role-policy", "--role-name", "deploy", "--policy-name", "grant"];
    let arguments = [put.as_slice(), &["--policy-document", &document]].concat();
    for (instant, fault, applied) in
        [(Instant::Before, Some(Fault::NotForwarded), false), (Instant::AfterApplied, None, true)]
    {
        let proxy = FaultProxy::in_front_of(&SHARED.url());
        if let Some(fault) = fault {
            proxy.order(Which::every(), fault);
        }
        let caller = Arc::new(Mutex::new(None::<Child>));
        let victim = Arc::clone(&caller);
        proxy.at(instant, Which::named("iam:PutRolePolicy"), move |_| {
            victim.lock().unwrap().as_mut().unwrap().kill().unwrap();
        });
        let aws = AwsCli::at(&proxy.url());
        {
            // The hook waits for this lock until the CLI process is stored.
            let mut place_for_it = caller.lock().unwrap();
            *place_for_it = Some(aws.command(&fixture.broker, &arguments).spawn().unwrap());
        }
        let end =
            eventually("the end of the CLI", || caller.lock().unwrap().as_mut().unwrap().try_wait().unwrap());
        assert_eq!(end.signal(), Some(9));
        assert_eq!(fixture.has_policy(), applied);
        assert_eq!(proxy.names(), ["iam:PutRolePolicy"]);
    }
}
