//! Do the things that tests of the AWS target stand on hold: the emulator's enforcement, its clock, the faults?
#![cfg(target_os = "linux")]

use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use system_tests::aws::account::Account;
use system_tests::aws::calls::{Calls, Keys};
use system_tests::aws::cli::AwsCli;
use system_tests::aws::fault_proxy::{Fault, FaultProxy, Instant, Meanwhile, Which};
use system_tests::aws::ministack::Ministack;
use system_tests::aws::moto::Moto;
use system_tests::aws::outcome::Outcome;
use system_tests::aws::policies::{FAR_AHEAD, LONG_AGO, allow, allow_until, trusts, trusts_if};
use system_tests::http;
use system_tests::waiting::eventually;

/// One emulator for all that do not move the clock: each test has an account of its own.
static SHARED: LazyLock<Ministack> = LazyLock::new(Ministack::start);

const BROKER: [&str; 5] =
    ["sts:AssumeRole", "iam:GetRolePolicy", "iam:PutRolePolicy", "iam:DeleteRolePolicy", "iam:GetRole"];

/// An account of one's own with a user `broker`, a role `deploy` that this user may assume, and a session of it.
struct Place<'a> {
    account: Account<'a>,
    broker: Keys,
    role: String,
    session: Keys,
}

impl Place<'static> {
    fn new() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let number = format!("{:012}", 200_000_000_000_u64 + u64::from(NEXT.fetch_add(1, Ordering::Relaxed)));
        Place::in_account(SHARED.account(&number))
    }
}

impl<'a> Place<'a> {
    fn in_account(account: Account<'a>) -> Self {
        let broker = account.user("broker", &allow(&BROKER));
        let role = account.role("deploy", &trusts(&account.arn("user/broker")));
        let session = account.session(&broker, &role, json!({}));
        Self { account, broker, role, session }
    }

    fn put_policy(&self, through: &Calls) -> Outcome {
        let document = allow(&["ecs:ListClusters"]).to_string();
        let arguments = json!({"RoleName": "deploy", "PolicyName": "grant", "PolicyDocument": document});
        through.call(&self.broker, "iam", "put_role_policy", arguments)
    }

    fn get_policy(&self, through: &Calls) -> Outcome {
        let arguments = json!({"RoleName": "deploy", "PolicyName": "grant"});
        through.call(&self.broker, "iam", "get_role_policy", arguments)
    }

    fn has_policy(&self) -> bool {
        !self.account.role_policies("deploy").is_empty()
    }
}

fn failed_with(outcome: &Outcome) -> (u16, &str) {
    match outcome {
        Outcome::Other(failure) => (failure.status, &failure.code),
        Outcome::Allowed(_) | Outcome::Refused(_) => (0, outcome.code()),
    }
}

#[test]
fn the_real_cli_is_refused_before_a_policy_is_attached_allowed_with_it_and_refused_after() {
    let place = Place::new();
    let aws = AwsCli::of(&SHARED);
    let policy = place.account.managed_policy("ecs-read", &allow(&["ecs:ListClusters"]));
    let try_it = || aws.run(&place.session, &["ecs", "list-clusters"]);
    assert_eq!(try_it(), Outcome::Refused("AccessDeniedException".into()));
    place.account.attach("deploy", &policy);
    assert_eq!(try_it(), Outcome::Allowed(json!({"clusterArns": []})));
    assert_eq!(place.account.attached_to_role("deploy"), [policy.as_str()]);
    place.account.detach("deploy", &policy);
    assert_eq!(try_it(), Outcome::Refused("AccessDeniedException".into()));
}

#[test]
fn the_real_cli_and_boto3_agree_on_who_may_do_what() {
    let place = Place::new();
    place.account.put_role_policy("deploy", "grant", &allow(&["s3:ListAllMyBuckets"]));
    let aws = AwsCli::of(&SHARED);
    let cases: [(&[&str], (&str, &str), bool); 4] = [
        (&["s3api", "list-buckets"], ("s3", "list_buckets"), true),
        (&["sts", "get-caller-identity"], ("sts", "get_caller_identity"), true),
        (&["iam", "list-users"], ("iam", "list_users"), false),
        (&["ecs", "list-clusters"], ("ecs", "list_clusters"), false),
    ];
    for (words, (service, operation), allowed) in cases {
        let by_cli = aws.run(&place.session, words);
        let by_boto3 = SHARED.calls().call(&place.session, service, operation, json!({}));
        assert_eq!(by_cli.is_allowed(), allowed, "{words:?}: {by_cli:?}");
        assert_eq!(by_cli.code(), by_boto3.code(), "{words:?}");
    }
    let wrong = Keys { secret: "wrong".into(), ..place.session };
    assert_eq!(aws.run(&wrong, &["iam", "list-users"]), Outcome::Refused("SignatureDoesNotMatch".into()));
}

#[test]
fn an_inline_policy_whose_deadline_has_passed_gives_nothing() {
    let place = Place::new();
    let try_it = || SHARED.calls().list_clusters(&place.session);
    place.account.put_role_policy("deploy", "grant", &allow_until(&["ecs:ListClusters"], FAR_AHEAD));
    assert!(try_it().is_allowed());
    place.account.put_role_policy("deploy", "grant", &allow_until(&["ecs:ListClusters"], LONG_AGO));
    assert!(try_it().is_refused());
}

#[test]
fn a_role_in_another_account_asks_for_the_external_id() {
    let (home, away) = (Place::new(), Place::new());
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
fn a_snapshot_shows_what_was_left_behind_and_nothing_when_all_is_as_before() {
    let place = Place::new();
    place.account.cluster("main");
    let before = place.account.snapshot();
    place.account.put_role_policy("deploy", "grant", &allow(&["ecs:ListClusters"]));
    let managed = place.account.managed_policy("ecs-read", &allow(&["ecs:ListClusters"]));
    place.account.attach("deploy", &managed);
    place.account.role("jit-1", &trusts("*"));
    let key = place.account.access_key("broker");
    let association = json!({
        "clusterName": "main", "namespace": "shop", "serviceAccount": "web", "roleArn": place.role,
    });
    place.account.call("eks", "create_pod_identity_association", association);
    let changes = before.changes_until(&place.account.snapshot());
    for expected in ["/jit-1: is new", "/grant: is new", "/attached: was []", "/ecs-read: is new"] {
        assert!(changes.iter().any(|change| change.contains(expected)), "{expected}: {changes:#?}");
    }
    assert!(changes.iter().any(|change| change.contains(&format!("/keys/{}: is new", key.id))));
    assert!(changes.iter().any(|change| change.starts_with("/associations/main/shop/web: is new")));
    assert_eq!(changes.len(), 6, "{changes:#?}");
    assert_eq!(place.account.roles_named("jit-"), ["jit-1"]);

    place.account.detach("deploy", &managed);
    place.account.delete_role_policy("deploy", "grant");
    place.account.call("iam", "delete_policy", json!({"PolicyArn": managed}));
    place.account.call("iam", "delete_role", json!({"RoleName": "jit-1"}));
    place.account.call("iam", "delete_access_key", json!({"UserName": "broker", "AccessKeyId": key.id}));
    let id = place.account.associations("main")[0]["associationId"].clone();
    let which = json!({"clusterName": "main", "associationId": id});
    place.account.call("eks", "delete_pod_identity_association", which);
    assert_eq!(before, place.account.snapshot());
}

#[test]
fn the_proxy_names_every_call_in_order() {
    let place = Place::new();
    place.account.cluster("main");
    let proxy = FaultProxy::before(&SHARED.url());
    let calls = Calls::to(&proxy.url());
    place.put_policy(&calls).expect_allowed();
    place.account.assume(&place.broker, &place.role, json!({})).expect_allowed();
    let role = json!({"RoleArn": place.role, "RoleSessionName": "test"});
    calls.call(&place.broker, "sts", "assume_role", role).expect_allowed();
    calls.list_clusters(&place.session).expect_allowed();
    let root = place.account.root();
    let association = json!({
        "clusterName": "main", "namespace": "shop", "serviceAccount": "web", "roleArn": place.role,
    });
    calls.call(&root, "eks", "create_pod_identity_association", association).expect_allowed();
    calls
        .call(&root, "eks", "list_pod_identity_associations", json!({"clusterName": "main"}))
        .expect_allowed();
    assert!(calls.call(&place.session, "s3", "list_buckets", json!({})).is_refused());
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
    assert_eq!((seen[0].parameter("RoleName"), seen[0].key.as_str()), ("deploy", place.broker.id.as_str()));
    assert_eq!((seen[3].parameter("clusterName"), seen[3].parameter("namespace")), ("main", "shop"));
    assert_eq!(seen.iter().map(|call| call.status).collect::<Vec<_>>()[4..], [Some(200), Some(403)]);
}

#[test]
fn refusals_come_in_the_words_of_the_service_and_nothing_is_applied() {
    let place = Place::new();
    let proxy = FaultProxy::before(&SHARED.url());
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
        assert_eq!(failed_with(&place.put_policy(&calls)), expected);
        assert!(!place.has_policy());
    }
    place.put_policy(&calls).expect_allowed();

    proxy.order(Which::named("eks:ListClusters").times(1), Fault::Throttled);
    let root = place.account.root();
    let throttled = calls.call(&root, "eks", "list_clusters", json!({}));
    assert_eq!(failed_with(&throttled), (429, "TooManyRequestsException"));
    proxy.order(Which::nth(2), Fault::Throttled);
    assert!(calls.list_clusters(&place.session).is_allowed(), "the first is not the second");
    assert_eq!(failed_with(&calls.list_clusters(&place.session)), (400, "ThrottlingException"));
    assert!(calls.list_clusters(&place.session).is_allowed(), "nor is the third");
}

#[test]
fn a_lost_reply_was_applied_and_a_lost_request_was_not() {
    let place = Place::new();
    let proxy = FaultProxy::before(&SHARED.url());
    let calls = Calls::to(&proxy.url());
    proxy.order(Which::nth(1), Fault::NotForwarded);
    assert_eq!(failed_with(&place.put_policy(&calls)), (0, ""));
    assert!(!place.has_policy());
    proxy.order(Which::nth(1), Fault::ReplyLost);
    assert_eq!(failed_with(&place.put_policy(&calls)), (0, ""));
    assert!(place.has_policy());
    assert_eq!(proxy.calls().iter().map(|call| call.status).collect::<Vec<_>>(), [None, Some(200)]);
}

#[test]
fn a_held_reply_was_applied_and_comes_when_it_is_released() {
    let place = Place::new();
    let proxy = FaultProxy::before(&SHARED.url());
    let calls = Calls::to(&proxy.url());
    proxy.order(Which::every(), Fault::ReplyHeld);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| place.put_policy(&calls));
        eventually("a held reply", || (proxy.held() == 1).then_some(()));
        assert!(place.has_policy() && !waiting.is_finished());
        proxy.release();
        assert!(waiting.join().unwrap().is_allowed());
    });
}

#[test]
fn a_late_write_lands_when_the_test_says_so() {
    let place = Place::new();
    let proxy = FaultProxy::before(&SHARED.url());
    let calls = Calls::to(&proxy.url());
    for (meanwhile, seen) in
        [(Meanwhile::ServerError, (503, "ServiceUnavailable")), (Meanwhile::Closed, (0, ""))]
    {
        proxy.order(Which::nth(1), Fault::Late(meanwhile));
        assert_eq!(failed_with(&place.put_policy(&calls)), seen);
        assert!(!place.has_policy());
        assert_eq!(proxy.apply_late()[0].status, Some(200));
        assert!(place.has_policy());
        place.account.delete_role_policy("deploy", "grant");
    }
    proxy.order(Which::nth(1), Fault::Late(Meanwhile::Silence));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| place.put_policy(&calls));
        eventually("a late call", || (proxy.late() == 1).then_some(()));
        assert!(!place.has_policy() && !waiting.is_finished());
        proxy.apply_late();
        assert!(waiting.join().unwrap().is_allowed());
    });
    assert!(place.has_policy());
}

#[test]
fn a_stale_read_is_answered_as_an_earlier_one_was() {
    let place = Place::new();
    let proxy = FaultProxy::before(&SHARED.url());
    let calls = Calls::to(&proxy.url());
    assert_eq!(failed_with(&place.get_policy(&calls)), (404, "NoSuchEntity"));
    let stale = proxy.last_reply("iam:GetRolePolicy").unwrap();
    place.put_policy(&calls).expect_allowed();
    proxy.order(Which::named("iam:GetRolePolicy").times(2), Fault::Answered(stale));
    for _ in 0..2 {
        assert_eq!(failed_with(&place.get_policy(&calls)), (404, "NoSuchEntity"));
    }
    assert!(place.get_policy(&calls).is_allowed());
}

#[test]
fn a_test_can_act_before_a_call_is_applied_and_before_its_caller_hears_of_it() {
    let place = Place::new();
    let proxy = FaultProxy::before(&SHARED.url());
    let calls = Arc::new(Calls::to(&proxy.url()));
    let (told, instants) = mpsc::channel();
    for instant in [Instant::Before, Instant::AfterApplied] {
        let (told, root) = (told.clone(), place.account.root());
        let beside = SHARED.more_calls(&SHARED.url());
        proxy.at(instant, Which::named("iam:PutRolePolicy"), move |call| {
            let policies = beside.call(&root, "iam", "list_role_policies", json!({"RoleName": "deploy"}));
            told.send((instant, call.status, policies.expect_allowed()["PolicyNames"].clone())).unwrap();
        });
    }
    place.put_policy(&calls).expect_allowed();
    assert_eq!(instants.recv().unwrap(), (Instant::Before, None, json!([])));
    assert_eq!(instants.recv().unwrap(), (Instant::AfterApplied, Some(200), json!(["grant"])));
    proxy.behave();
    place.put_policy(&calls).expect_allowed();
    assert!(instants.try_recv().is_err());
}

#[test]
fn whoever_made_a_call_can_be_killed_before_it_leaves_or_when_it_was_applied() {
    let place = Place::new();
    let document = allow(&["ecs:ListClusters"]).to_string();
    let put = ["iam", "put-role-policy", "--role-name", "deploy", "--policy-name", "grant"];
    let arguments = [put.as_slice(), &["--policy-document", &document]].concat();
    for (instant, fault, applied) in
        [(Instant::Before, Some(Fault::NotForwarded), false), (Instant::AfterApplied, None, true)]
    {
        let proxy = FaultProxy::before(&SHARED.url());
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
            // The hook waits until its victim is here.
            let mut place_for_it = caller.lock().unwrap();
            *place_for_it = Some(aws.command(&place.broker, &arguments).spawn().unwrap());
        }
        let end =
            eventually("the end of the CLI", || caller.lock().unwrap().as_mut().unwrap().try_wait().unwrap());
        assert_eq!(end.signal(), Some(9));
        assert_eq!(place.has_policy(), applied);
        assert_eq!(proxy.names(), ["iam:PutRolePolicy"]);
    }
}

#[test]
fn the_clock_of_an_emulator_can_be_moved_and_the_cli_goes_with_it() {
    let emulator = Ministack::with_faketime();
    let place = Place::in_account(emulator.account("300000000000"));
    let further = json!({"DurationSeconds": 900});
    let answer = place.account.assume(&place.broker, &place.role, further).expect_allowed();
    let (short, until) = (Keys::from_answer(&answer), answer["Credentials"]["Expiration"].as_str().unwrap());
    place.account.put_role_policy("deploy", "forever", &allow(&["s3:ListAllMyBuckets"]));
    place.account.put_role_policy("deploy", "grant", &allow_until(&["ecs:ListClusters"], until));
    let aws = AwsCli::of(&emulator);
    emulator.clock().advance(Duration::from_secs(14 * 60));
    assert!(aws.run(&short, &["ecs", "list-clusters"]).is_allowed());
    assert!(emulator.calls().list_clusters(&place.session).is_allowed());
    emulator.clock().advance(Duration::from_secs(2 * 60));
    assert_eq!(aws.run(&short, &["s3api", "list-buckets"]), Outcome::Refused("ExpiredToken".into()));
    let session_lives = emulator.calls().call(&place.session, "s3", "list_buckets", json!({}));
    assert!(session_lives.is_allowed(), "{session_lives:?}");
    assert!(emulator.calls().list_clusters(&place.session).is_refused(), "the policy's deadline has passed");
}

#[test]
fn two_emulators_agree_on_the_errors_that_an_undo_meets_and_on_what_is_attached() {
    let moto = Moto::start();
    let place = Place::new();
    let second = moto.account();
    second.role("deploy", &trusts("*"));
    let nothing = json!({"RoleName": "deploy", "PolicyArn": place.account.arn("policy/nothing")});
    let policy = json!({"RoleName": "deploy", "PolicyName": "nothing"});
    let nobody = json!({"RoleName": "nobody", "PolicyName": "nothing"});
    let again = json!({"RoleName": "deploy", "AssumeRolePolicyDocument": trusts("*").to_string()});
    let cases = [
        ("delete_role_policy", policy.clone(), (404, "NoSuchEntity")),
        ("delete_role_policy", nobody.clone(), (404, "NoSuchEntity")),
        ("get_role_policy", policy, (404, "NoSuchEntity")),
        ("detach_role_policy", nothing, (404, "NoSuchEntity")),
        ("delete_role", json!({"RoleName": "nobody"}), (404, "NoSuchEntity")),
        ("delete_user", json!({"UserName": "nobody"}), (404, "NoSuchEntity")),
        ("create_role", again, (409, "EntityAlreadyExists")),
    ];
    for (operation, arguments, expected) in cases {
        let first = place.account.try_call("iam", operation, arguments.clone());
        let other = second.try_call("iam", operation, arguments);
        assert_eq!(failed_with(&first), expected, "{operation}: {first:?}");
        assert_eq!(failed_with(&other), expected, "{operation}: {other:?}");
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
