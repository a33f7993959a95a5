//! Grants in several accounts of one broker; an account that does not answer delays no other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use reqwest::Method;
use serde_json::json;
use system_tests::aws::account::Account;
use system_tests::aws::calls::Keys;
use system_tests::aws::fault_proxy::{Fault, FaultProxy, Instant, Which};
use system_tests::aws::fixture::{AwsFixture, Mode, Setting, broker_policy, registration};
use system_tests::aws::policies::{allow, policy, trusts};
use system_tests::fixture::{Agent, elevation, new_key};
use system_tests::http::{self, Answer};
use system_tests::waiting::eventually;

use crate::aws::SHARED;

/// The external id that the trust policy of the other account's role requires.
const EXTERNAL_ID: &str = "customer-4711";

/// A fixture and another account in which its broker acts through a role.
struct Two<'a> {
    fixture: AwsFixture<'a>,
    other: Account<'a>,
    session: Keys,
    ecs: String,
}

impl<'a> Two<'a> {
    #[track_caller]
    fn start(endpoint: &str, external_id: &str) -> Self {
        let other = SHARED.new_account();
        let number = other.number().to_owned();
        let role = other.arn("role/cloudanix-jit-broker");
        let account = format!(
            "[aws.accounts.{number}]\nrole = \"{role}\"\nexternal_id = \"{external_id}\"\ncalls_per_second = 1000"
        );
        let setting = Setting { limits: account.leak(), ..Setting::in_front_of(endpoint) };
        let fixture = AwsFixture::with(&SHARED, &setting);
        let may_assume = policy(&[json!({"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role})]);
        let put =
            json!({"UserName": "broker", "PolicyName": "others", "PolicyDocument": may_assume.to_string()});
        fixture.account.call("iam", "put_user_policy", put);
        let by_broker = json!({
            "Effect": "Allow", "Principal": {"AWS": fixture.account.arn("user/broker")},
            "Action": "sts:AssumeRole", "Condition": {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}},
        });
        other.role("cloudanix-jit-broker", &policy(&[by_broker]));
        let most = broker_policy(&number).to_string().replace("role/deploy\"", "role/far\"");
        other.put_role_policy("cloudanix-jit-broker", "broker", &serde_json::from_str(&most).unwrap());
        let pipeline = other.user("pipeline", &allow(&["sts:AssumeRole"]));
        let far = other.role("far", &trusts(&other.arn("user/pipeline")));
        let session = other.session(&pipeline, &far, json!({}));
        let ecs = other.managed_policy("EcsRead", &allow(&["ecs:ListClusters"]));
        Self { fixture, other, session, ecs }
    }

    /// Registers an agent in the other account.
    #[track_caller]
    fn agent(&self) -> Agent {
        let principal = format!("principal = \"{}\"", self.other.arn("role/far"));
        let policies = format!("{{ \"ecs-read\" = \"{}\" }}", self.ecs);
        let text = registration("far", self.other.number(), "static-principal", &principal, &policies);
        Agent { id: "far".to_owned(), auth_token: self.fixture.broker.register(&text) }
    }

    fn may(&self) -> bool {
        SHARED.calls().list_clusters(&self.session).is_allowed()
    }
}

fn status(fixture: &AwsFixture<'_>, id: &str) -> String {
    let grant = fixture.broker.operator(Method::GET, &format!("/v2/agentic/jit/{id}")).expect(200);
    grant.text_at("/status").to_owned()
}

#[test]
fn in_another_account_the_broker_acts_by_a_role() {
    let two = Two::start(&SHARED.url(), EXTERNAL_ID);
    let (near, far) = (two.fixture.agent(Mode::StaticInline), two.agent());
    let before = two.other.snapshot();
    assert!(!two.may(), "before");
    let grant = two.fixture.elevate(&far, "15m").expect(201);
    assert!(two.may(), "during: {}", two.fixture.broker.log());
    let here = two.fixture.elevate(&near, "15m").expect(201);
    two.fixture.revoke(&far, grant.text_at("/id"));
    assert!(!two.may(), "after");
    two.fixture.revoke(&near, here.text_at("/id"));
    two.fixture.broker.wait_until_nothing_is_live();
    assert_eq!(before.changes_until(&two.other.snapshot()), Vec::<String>::new());
}

#[test]
fn one_agent_elevates_in_the_account_that_it_names() {
    let two = Two::start(&SHARED.url(), EXTERNAL_ID);
    let scope = |name: &str, account: &Account<'_>, role: &str, policy: &str| {
        let (number, role) = (account.number(), account.arn(&format!("role/{role}")));
        format!(
            "[[boundary.scope]]\nname = \"{name}\"\ntarget = \"aws\"\naccount = \"{number}\"\n\
             auth_mode = \"static-principal\"\nprincipal = \"{role}\"\n\
             policies = {{ \"ecs-read\" = \"{policy}\" }}\n"
        )
    };
    let text = format!(
        "id = \"both\"\nuse_case = \"build-workflow\"\nmax_session = \"2h\"\n\
         [dangerous]\nallow_auth_token_only = true\n{}{}",
        scope("near", &two.fixture.account, "deploy", &two.fixture.ecs),
        scope("far", &two.other, "far", &two.ecs)
    );
    let both = Agent { id: "both".to_owned(), auth_token: two.fixture.broker.register(&text) };
    let near_session = two.fixture.deploy_session();
    let may = || (SHARED.calls().list_clusters(&near_session).is_allowed(), two.may());
    let before = [two.fixture.account.snapshot(), two.other.snapshot()];
    let elevate = |target: Option<&str>| {
        let mut body = json!({ "agent_id": both.id, "policies": ["ecs-read"], "ttl": "15m" });
        if let Some(target) = target {
            body["target"] = json!(target);
        }
        http::send(elevation(&two.fixture.broker, &both, &new_key(), &body))
    };
    let refused = elevate(None);
    assert_eq!(refused.status, 422, "{}", refused.text);
    assert!(refused.text.contains("expected one of `near`, `far`, found none"), "{}", refused.text);
    assert_eq!(may(), (false, false));
    let far = elevate(Some("far")).expect(201);
    assert_eq!(far.text_at("/scope"), "far");
    assert_eq!(may(), (false, true), "only where it was asked for: {}", two.fixture.broker.log());
    let near = elevate(Some("near")).expect(201);
    assert_eq!(may(), (true, true));
    two.fixture.revoke(&both, far.text_at("/id"));
    assert_eq!(may(), (true, false), "a revoke ends its own grant alone");
    two.fixture.revoke(&both, near.text_at("/id"));
    two.fixture.broker.wait_until_nothing_is_live();
    let after = [two.fixture.account.snapshot(), two.other.snapshot()];
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before.changes_until(after), Vec::<String>::new());
    }
}

#[test]
fn wrong_external_id_is_refused_with_the_reason() {
    let proxy = FaultProxy::in_front_of(&SHARED.url());
    let two = Two::start(&proxy.url(), "customer-0815");
    let agent = two.agent();
    let before = two.other.snapshot();
    let refused = two.fixture.elevate(&agent, "15m");
    assert!(refused.status >= 400, "{}", refused.text);
    // Two concurrent reads may both request credentials; later calls reuse them.
    assert!(proxy.count("sts:AssumeRole") <= 2, "{:?}", proxy.names());
    two.fixture.broker.wait_until_nothing_is_live();
    assert!(!two.may());
    assert_eq!(before.changes_until(&two.other.snapshot()), Vec::<String>::new());
    assert!(refused.text.contains("no credentials of the broker for account"), "{}", refused.text);
    assert!(refused.text.contains("AccessDenied"), "{}", refused.text);
    for text in [&refused.text, &two.fixture.broker.log()] {
        assert!(!text.contains("customer-0815") && !text.contains(EXTERNAL_ID), "{text}");
    }
}

#[test]
fn an_account_that_the_broker_is_not_set_up_for_is_refused_at_registration() {
    let fixture = AwsFixture::start(&SHARED);
    let principal = "principal = \"arn:aws:iam::999999999999:role/deploy\"";
    let policies = "{ \"ecs-read\" = \"arn:aws:iam::aws:policy/AmazonECS_FullAccess\" }";
    let text = registration("nowhere", "999999999999", "static-principal", principal, policies);
    let refused = register(&fixture, &text);
    assert_eq!(refused.status, 422, "{}", refused.text);
    assert!(refused.text.contains("999999999999"), "{}", refused.text);
}

#[test]
fn two_agents_of_one_pods_service_account_are_refused() {
    let fixture = AwsFixture::start(&SHARED);
    fixture.agent(Mode::Pod);
    let refused =
        register(&fixture, &fixture.registration(Mode::Pod).replace("id = \"pod\"", "id = \"pod-2\""));
    assert!((400..500).contains(&refused.status), "{}", refused.text);
    assert!(refused.text.contains("agent `pod` has it already"), "{}", refused.text);
}

fn register(fixture: &AwsFixture<'_>, text: &str) -> Answer {
    let request =
        fixture.broker.request(Method::POST, "/v2/agents").bearer_auth(fixture.broker.operator_token());
    http::send(request.header("content-type", "application/toml").body(text.to_owned()))
}

#[test]
fn hanging_account_delays_no_other() {
    let proxy = FaultProxy::in_front_of(&SHARED.url());
    let two = Two::start(&proxy.url(), EXTERNAL_ID);
    let (near, far) = (two.fixture.agent(Mode::StaticInline), two.agent());
    let stuck = two.fixture.elevate(&far, "15m").expect(201).text_at("/id").to_owned();
    let (hangs, held) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let (still, count) = (Arc::clone(&hangs), Arc::clone(&held));
    proxy.at(Instant::Before, Which::named("iam:DeleteRolePolicy"), move |call| {
        if call.parameter("RoleName") == "far" {
            count.fetch_add(1, Ordering::SeqCst);
            eventually("the end of the outage", || (!still.load(Ordering::SeqCst)).then_some(()));
        }
    });
    let request = two.fixture.broker.request(Method::DELETE, &format!("/v2/agentic/jit/{stuck}"));
    let request = request.bearer_auth(&far.auth_token);
    thread::scope(|scope| {
        let revoke = scope.spawn(move || http::try_send(request));
        eventually("a call that hangs", || (held.load(Ordering::SeqCst) > 0).then_some(()));
        let mut ids = Vec::new();
        for _ in 0..20 {
            let grant = two.fixture.elevate(&near, "15m").expect(201);
            two.fixture.revoke(&near, grant.text_at("/id"));
            ids.push(grant.text_at("/id").to_owned());
        }
        for id in &ids {
            eventually("the end of a grant elsewhere", || {
                (status(&two.fixture, id) == "revoked").then_some(())
            });
        }
        assert!(two.may(), "all of this while the other account hangs");
        assert_ne!(status(&two.fixture, &stuck), "revoked");
        hangs.store(false, Ordering::SeqCst);
        drop(revoke.join());
    });
    eventually("the end of the grant that hung", || {
        (status(&two.fixture, &stuck) == "revoked").then_some(())
    });
    assert!(!two.may());
}

/// A grant in the broker's own account goes from elevate to revoke.
#[track_caller]
fn near_goes_on(two: &Two<'_>, near: &Agent) {
    let grant = two.fixture.elevate(near, "15m").expect(201);
    two.fixture.revoke(near, grant.text_at("/id"));
    eventually("the end of a grant elsewhere", || {
        (status(&two.fixture, grant.text_at("/id")) == "revoked").then_some(())
    });
}

#[test]
fn throttling_account_delays_no_other_and_its_grant_says_why() {
    let proxy = FaultProxy::in_front_of(&SHARED.url());
    let two = Two::start(&proxy.url(), EXTERNAL_ID);
    let (near, far) = (two.fixture.agent(Mode::StaticInline), two.agent());
    let throttled = |call: &'static str| {
        let before = proxy.count(call);
        proxy.order(Which::named(call).with("RoleName", "far"), Fault::Throttled);
        move |proxy: &FaultProxy| {
            eventually("a throttled call", || (proxy.count(call) > before).then_some(()));
        }
    };
    let is_throttled = throttled("iam:PutRolePolicy");
    let id = thread::scope(|scope| {
        let elevating = scope.spawn(|| two.fixture.elevate(&far, "15m"));
        is_throttled(&proxy);
        let grant = two.fixture.elevate(&near, "15m").expect(201);
        two.fixture.revoke(&near, grant.text_at("/id"));
        let live = two.fixture.broker.live();
        assert!(live.iter().any(|grant| grant["status"] == "applying"), "{live:?}");
        assert!(!two.may(), "all of this while the other account throttles");
        proxy.behave();
        elevating.join().unwrap().expect(201).text_at("/id").to_owned()
    });
    assert!(two.may());
    let told = two.fixture.broker.timeline(&id).to_string();
    assert!(told.contains("iam:PutRolePolicy · Throttling"), "{told}");
    assert!(told.contains("Rate exceeded · trying again"), "{told}");

    let is_throttled = throttled("iam:DeleteRolePolicy");
    let request = two.fixture.broker.request(Method::DELETE, &format!("/v2/agentic/jit/{id}"));
    drop(http::send(request.bearer_auth(&far.auth_token)));
    is_throttled(&proxy);
    near_goes_on(&two, &near);
    assert!(two.may(), "all of this while the other account throttles");
    let told = two.fixture.broker.timeline(&id).to_string();
    assert!(told.contains("iam:DeleteRolePolicy · Throttling"), "{told}");
    assert!(told.contains("retrying"), "{told}");
    proxy.behave();
    eventually("the end of the throttled grant", || (status(&two.fixture, &id) == "revoked").then_some(()));
    assert!(!two.may());
}

#[test]
fn account_that_fails_at_any_call_delays_no_other() {
    type Where = fn(&Two<'_>) -> String;
    let role: Where = |two| two.other.arn("role/cloudanix-jit-broker");
    let policy: Where = |two| two.ecs.clone();
    let principal: Where = |_| "far".to_owned();
    let cases = [
        ("sts:AssumeRole", "RoleArn", role),
        ("iam:GetPolicy", "PolicyArn", policy),
        ("iam:PutRolePolicy", "RoleName", principal),
    ];
    thread::scope(|scope| {
        for (name, parameter, value) in cases {
            scope.spawn(move || dead_at(name, parameter, value));
        }
    });
}

fn dead_at(name: &'static str, parameter: &'static str, value: fn(&Two<'_>) -> String) {
    let proxy = FaultProxy::in_front_of(&SHARED.url());
    let two = Two::start(&proxy.url(), EXTERNAL_ID);
    let (near, far) = (two.fixture.agent(Mode::StaticInline), two.agent());
    let value = value(&two);
    let (hangs, held) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let (still, count) = (Arc::clone(&hangs), Arc::clone(&held));
    proxy.at(Instant::Before, Which::named(name).with(parameter, &value), move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        eventually("the end of the outage", || (!still.load(Ordering::SeqCst)).then_some(()));
    });
    thread::scope(|scope| {
        // Elevates repeatedly, so that a grant is always under way.
        let elevating = scope.spawn(|| {
            loop {
                let answer = two.fixture.elevate(&far, "15m");
                if answer.status == 201 {
                    return answer.text_at("/id").to_owned();
                }
            }
        });
        eventually("a call that hangs", || (held.load(Ordering::SeqCst) > 0).then_some(()));
        for _ in 0..3 {
            near_goes_on(&two, &near);
        }
        assert!(!elevating.is_finished() && !two.may(), "{name}: all of this while the other account hangs");
        hangs.store(false, Ordering::SeqCst);
        let id = elevating.join().unwrap();
        assert!(two.may(), "{name}");
        two.fixture.revoke(&far, &id);
    });
    two.fixture.broker.wait_until_nothing_is_live();
    assert!(!two.may(), "{name}");
}
