//! The AWS calls that a grant costs in each mode; the broker's IAM policy allows these and no others.
//!
//! docs/book/src/targets/aws.md lists these calls, and examples/aws/broker-policy.json allows them.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use system_tests::aws::fault_proxy::FaultProxy;
use system_tests::aws::fixture::{AwsFixture, Mode, Setting, broker_policy};
use system_tests::aws::ledger::Ledger;
use system_tests::aws::ministack::Ministack;
use system_tests::aws::policies::allow;
use system_tests::fixture::Agent;
use system_tests::waiting::eventually;

/// The calls of one grant of one policy that the broker has provisioned before.
struct Cost {
    mode: Mode,
    elevate: &'static [&'static str],
    revoke: &'static [&'static str],
    read_back: &'static [&'static str],
    sweep: &'static [&'static str],
}

const COSTS: &[Cost] = &[
    Cost {
        mode: Mode::StaticInline,
        elevate: &["iam:GetPolicy", "iam:PutRolePolicy"],
        revoke: &["iam:DeleteRolePolicy"],
        read_back: &["iam:GetRolePolicy"],
        sweep: &[],
    },
    Cost {
        mode: Mode::StaticAttached,
        elevate: &["iam:ListAttachedRolePolicies", "iam:AttachRolePolicy"],
        revoke: &["iam:DetachRolePolicy"],
        read_back: &["iam:ListAttachedRolePolicies"],
        sweep: &[],
    },
    Cost {
        mode: Mode::UserInline,
        elevate: &["iam:GetPolicy", "iam:PutUserPolicy"],
        revoke: &["iam:DeleteUserPolicy"],
        read_back: &["iam:GetUserPolicy"],
        sweep: &[],
    },
    Cost {
        mode: Mode::UserAttached,
        elevate: &["iam:ListAttachedUserPolicies", "iam:AttachUserPolicy"],
        revoke: &["iam:DetachUserPolicy"],
        read_back: &["iam:ListAttachedUserPolicies"],
        sweep: &[],
    },
    Cost {
        mode: Mode::Session,
        elevate: &["sts:AssumeRole"],
        revoke: &["iam:PutRolePolicy"],
        read_back: &["iam:GetRolePolicy"],
        sweep: &["iam:DeleteRolePolicy"],
    },
    Cost {
        mode: Mode::Role,
        elevate: &["iam:GetPolicy", "iam:CreateRole", "iam:PutRolePolicy", "sts:AssumeRole"],
        revoke: &["iam:DeleteRolePolicy", "iam:DeleteRole"],
        read_back: &["iam:GetRolePolicy", "iam:GetRole"],
        sweep: &[],
    },
    Cost {
        mode: Mode::Pod,
        elevate: &["eks:ListPodIdentityAssociations", "eks:CreatePodIdentityAssociation"],
        revoke: &["eks:DeletePodIdentityAssociation", "iam:PutRolePolicy"],
        read_back: &["eks:ListPodIdentityAssociations", "iam:PutRolePolicy"],
        sweep: &["iam:DeleteRolePolicy"],
    },
];

/// Additional calls of a first grant, whose results the broker caches: the policy's document, the account's quotas
/// and the broker's own identity.
const FIRST: &[(Mode, &[&str])] = &[
    (Mode::StaticInline, &["iam:GetPolicyVersion", "iam:GetAccountSummary"]),
    (Mode::Role, &["iam:GetPolicyVersion", "sts:GetCallerIdentity"]),
];

/// The broker verifies a revoke only after this time.
const SETTLE: Duration = Duration::from_secs(3 * 60);
/// Longer than any session-deny policy stays: EKS issues credentials for six hours.
const EVERYTHING_HAS_ENDED: Duration = Duration::from_secs(7 * 60 * 60);

/// The names of the calls since `before`. Sorts calls that the broker sends in parallel with others (`beside`) to the
/// end.
fn calls_since(proxy: &FaultProxy, before: usize, beside: &[&str]) -> Vec<String> {
    let mut names = proxy.names().split_off(before);
    // A worker may process the ended grant in parallel: it makes the same calls again, in the same order.
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names.sort_by_key(|name| beside.contains(&name.as_str()));
    names
}

fn status(fixture: &AwsFixture<'_>, grant: &str) -> String {
    let path = format!("/v2/agentic/jit/{grant}");
    fixture.broker.operator(reqwest::Method::GET, &path).expect(200).text_at("/status").to_owned()
}

/// Runs a grant from elevate to verify, without the sweep. Returns the calls of each of the three phases.
#[track_caller]
fn life(fixture: &AwsFixture<'_>, proxy: &FaultProxy, agent: &Agent) -> [Vec<String>; 3] {
    let start = proxy.names().len();
    let grant = fixture.elevate(agent, "15m").expect(201).text_at("/id").to_owned();
    let given = proxy.names().len();
    let elevate = calls_since(proxy, start, &["iam:GetAccountSummary", "sts:AssumeRole"]);
    fixture.revoke(agent, &grant);
    assert_eq!(status(fixture, &grant), "verifying", "the grant is verified later, when the clock has moved");
    let revoke = calls_since(proxy, given, &["iam:PutRolePolicy"]);
    let taken_back = proxy.names().len();
    fixture.emulator().clock().advance(SETTLE);
    eventually("the end of the grant", || (status(fixture, &grant) == "revoked").then_some(()));
    [elevate, revoke, calls_since(proxy, taken_back, &["iam:PutRolePolicy"])]
}

#[test]
fn a_grant_costs_these_calls_in_this_order_and_no_others() {
    let emulator = Ministack::with_faketime();
    let proxy = FaultProxy::in_front_of(&emulator.url());
    let launcher = emulator.clock().launcher();
    let setting = Setting { launcher, settle: "3m", late: "1m", ..Setting::in_front_of(&proxy.url()) };
    let fixture = AwsFixture::with(&emulator, &setting);
    for cost in COSTS {
        let agent = fixture.agent(cost.mode);
        if let Some((_, more)) = FIRST.iter().find(|(mode, _)| *mode == cost.mode) {
            // The broker caches a policy version's document: this new version is not in its cache.
            let version = json!({
                "PolicyArn": fixture.ecs, "SetAsDefault": true,
                "PolicyDocument": allow(&["ecs:ListClusters"]).to_string(),
            });
            fixture.account.call("iam", "create_policy_version", version);
            let [elevate, ..] = life(&fixture, &proxy, &agent);
            let mut expected: Vec<&str> = cost.elevate.iter().chain(*more).copied().collect();
            expected.sort_unstable();
            let mut found = elevate;
            found.sort_unstable();
            assert_eq!(found, expected, "the first time, {:?}", cost.mode);
        }
        let found = life(&fixture, &proxy, &agent);
        assert_eq!(found, [cost.elevate, cost.revoke, cost.read_back], "{:?}", cost.mode);
    }
    // The sweep makes these calls once for each grant, while the broker has no other work.
    let before = proxy.names().len();
    emulator.clock().advance(EVERYTHING_HAS_ENDED);
    let kept = || fixture.account.snapshot().json().to_string().matches("jit-deny-").count();
    eventually("the removal of every session-deny policy", || (kept() == 0).then_some(()));
    let swept = proxy.names().split_off(before);
    let expected: Vec<&str> = COSTS.iter().flat_map(|cost| cost.sweep.iter().copied()).collect();
    assert_eq!(swept, expected);
}

/// The broker prepares its calls while it waits for the database, and sends none before the commit.
#[test]
fn changing_calls_are_sent_only_after_the_commit() {
    let emulator = Ministack::start();
    let proxy = FaultProxy::in_front_of(&emulator.url());
    for mode in Mode::ALL.iter().copied() {
        let setting = Setting { settle: "10m", late: "10m", ..Setting::in_front_of(&proxy.url()) };
        let fixture = AwsFixture::with(&emulator, &setting);
        let agent = fixture.agent(mode);
        let known = fixture.elevate(&agent, "15m").expect(201).text_at("/id").to_owned();
        fixture.revoke(&agent, &known);

        let changes = || {
            let reads = ["iam:Get", "iam:List", "eks:List", "eks:Describe", "sts:GetCallerIdentity"];
            let names = proxy.names().into_iter();
            names.filter(|name| !reads.iter().any(|read| name.starts_with(read))).count()
        };
        let before = changes();
        let ledger = Ledger::of(&fixture.broker);
        ledger.hold();
        std::thread::scope(|scope| {
            let elevating = scope.spawn(|| fixture.elevate(&agent, "15m"));
            // Waits long after the broker's database access: each of these calls takes as long as one of the broker's.
            for _ in 0..50 {
                status(&fixture, &known);
            }
            assert_eq!(changes(), before, "{mode:?}: {:?}", proxy.names());
            ledger.release();
            elevating.join().unwrap().expect(201);
        });
        assert!(changes() > before, "{mode:?}");
    }
}

#[test]
fn the_page_about_aws_says_the_same() {
    let page = include_str!("../../../../docs/book/src/targets/aws.md");
    for cost in COSTS {
        let row = format!(
            "| {} | {} | {} | {} | {} |",
            shown(cost.mode),
            cost.elevate.len(),
            cost.revoke.len(),
            cost.read_back.len(),
            cost.sweep.len()
        );
        assert!(page.contains(&row), "docs/book/src/targets/aws.md has no row `{row}`");
    }
}

#[test]
fn every_registration_on_the_page_is_accepted() {
    let emulator = Ministack::start();
    let fixture = AwsFixture::start(&emulator);
    let blocks =
        include_str!("../../../../docs/book/src/targets/aws-registrations.md").split("```toml\n").skip(1);
    let files = blocks.filter_map(|block| block.split("```").next()).filter(|file| file.starts_with("id "));
    let tokens =
        files.map(|file| fixture.broker.register(&file.replace("123456789012", fixture.account.number())));
    assert_eq!(tokens.count(), 5);
}

fn shown(mode: Mode) -> &'static str {
    match mode {
        Mode::StaticInline => "`static-principal`, inline",
        Mode::StaticAttached => "`static-principal`, attached",
        Mode::UserInline => "`static-access-keys`, inline",
        Mode::UserAttached => "`static-access-keys`, attached",
        Mode::Session => "`dynamic-access-keys`",
        Mode::Role => "`dynamic-role`",
        Mode::Pod => "`pod-identity`",
    }
}

/// Permissions that other calls require (tags, a role for a service); none of them is a call of its own.
const CARRIED: [&str; 5] =
    ["eks:TagResource", "iam:PassRole", "iam:TagRole", "sts:SetSourceIdentity", "sts:TagSession"];
/// The call that needs no permission.
const FREE: &str = "sts:GetCallerIdentity";

#[test]
fn the_broker_may_do_what_it_does_and_nothing_else() {
    let emulator = Ministack::start();
    let proxy = FaultProxy::in_front_of(&emulator.url());
    let aws = "reconcile_every = \"1s\"\norphan_grace = \"1s\"";
    let mut fixture = AwsFixture::with(&emulator, &Setting { aws, ..Setting::in_front_of(&proxy.url()) });
    for mode in Mode::ALL {
        let agent = fixture.agent(*mode);
        let grant = fixture.elevate(&agent, "15m").expect(201).text_at("/id").to_owned();
        if *mode == Mode::Role {
            keep_from_being_deleted(&fixture, &format!("jit-{grant}"));
            eventually("a read of the grant's role", || (proxy.count("iam:GetRole") > 0).then_some(()));
        }
        if *mode == Mode::Pod {
            // The broker that created the association would skip the lookup, so the broker restarts.
            fixture.broker.restart();
        }
        fixture.revoke(&agent, &grant);
        eventually("the end of the grant", || (status(&fixture, &grant) == "revoked").then_some(()));
    }
    eventually("a read of every user", || (proxy.count("iam:ListUserPolicies") > 0).then_some(()));
    eventually("a list of every role", || (proxy.count("iam:ListRoles") > 0).then_some(()));

    let refused: Vec<_> = proxy.calls().into_iter().filter(|call| call.status == Some(403)).collect();
    assert!(refused.is_empty(), "{refused:?}");
    let mut done: BTreeSet<String> = proxy.names().into_iter().collect();
    assert!(done.remove(FREE));
    for carried in CARRIED {
        assert!(done.insert(carried.to_owned()), "{carried} is a call after all");
    }
    assert_eq!(done, granted(&broker_policy(fixture.account.number())));
}

#[test]
fn the_terraform_module_grants_the_same_actions() {
    let module = include_str!("../../../../examples/aws/terraform/main.tf");
    // Condition keys have the syntax of actions.
    let conditions = ["iam:PolicyARN", "iam:PermissionsBoundary", "iam:PassedToService", "sts:ExternalId"];
    let texts = module.split('"').skip(1).step_by(2);
    let actions = texts.filter(|text| {
        ["iam:", "sts:", "eks:"].iter().any(|service| text.starts_with(service)) && !conditions.contains(text)
    });
    let found: BTreeSet<String> = actions.map(str::to_owned).collect();
    assert_eq!(found, granted(&broker_policy("123456789012")));
}

/// With `…IfExists`, IAM would also allow a request without the key, for any service.
#[test]
fn a_role_can_be_passed_to_pod_identity_and_to_no_other_service() {
    let policy: Value =
        serde_json::from_str(include_str!("../../../../examples/aws/broker-policy.json")).unwrap();
    let statements = policy["Statement"].as_array().unwrap();
    let passes: Vec<&Value> =
        statements.iter().filter(|statement| statement["Action"].to_string().contains("PassRole")).collect();
    let only_to_pods = json!({"StringEquals": {"iam:PassedToService": "pods.eks.amazonaws.com"}});
    for statement in &passes {
        assert_eq!(
            statement["Action"], "iam:PassRole",
            "an action without this condition is in the same statement"
        );
        assert_eq!(statement["Condition"], only_to_pods);
    }
    assert_eq!(passes.len(), 1);
    let module = include_str!("../../../../examples/aws/terraform/main.tf");
    let passes: Vec<&str> = module.split("Sid").filter(|statement| statement.contains("PassRole")).collect();
    let [statement] = passes.as_slice() else { panic!("{passes:?}") };
    assert!(statement.contains(r#"Action    = ["iam:PassRole"]"#), "{statement}");
    let only_to_pods = r#"{ StringEquals = { "iam:PassedToService" = "pods.eks.amazonaws.com" } }"#;
    assert!(statement.contains(only_to_pods), "{statement}");
}

/// Attaches everything to a role of ours that a person could attach.
fn keep_from_being_deleted(fixture: &AwsFixture<'_>, role: &str) {
    fixture.account.put_role_policy(role, "added", &allow(&["ecs:ListClusters"]));
    fixture.account.attach(role, &fixture.s3);
    fixture.account.call("iam", "create_instance_profile", json!({"InstanceProfileName": "machine"}));
    let profile = json!({"InstanceProfileName": "machine", "RoleName": role});
    fixture.account.call("iam", "add_role_to_instance_profile", profile);
}

/// Every action that the policy allows.
fn granted(policy: &Value) -> BTreeSet<String> {
    let statements = policy.get("Statement").and_then(Value::as_array).into_iter().flatten();
    let actions = statements.flat_map(|statement| match statement.get("Action") {
        Some(Value::Array(actions)) => actions.clone(),
        one => one.cloned().into_iter().collect(),
    });
    actions.filter_map(|action| action.as_str().map(str::to_owned)).collect()
}
