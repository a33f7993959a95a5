//! The independent emulator moto agrees on our changes to a role and on the meaning of its errors.

use reqwest::Method;
use serde_json::{Value, json};
use system_tests::aws::calls::Keys;
use system_tests::aws::cli::AwsCli;
use system_tests::aws::fixture::registration;
use system_tests::aws::moto::{ACCOUNT, Moto};
use system_tests::aws::policies::{allow, trusts};
use system_tests::broker::{Broker, NO_RATE_LIMIT};
use system_tests::fixture::{self, Agent, new_key};
use system_tests::http::{self, Answer};

/// A role without policies in moto, which enforces IAM from then on, and a broker that uses it.
struct Fixture {
    moto: Moto,
    broker: Broker,
    admin: Keys,
    session: Keys,
    policy: String,
}

impl Fixture {
    fn start() -> Self {
        let moto = Moto::start();
        let account = moto.account();
        let (ours, admin) =
            (account.user("broker", &allow(&["iam:*"])), account.user("admin", &allow(&["*"])));
        account.role("deploy", &trusts("*"));
        let session = account.session(&admin, &account.arn("role/deploy"), json!({}));
        let policy = account.managed_policy("iam-read", &allow(&["iam:ListUsers"]));
        moto.enforce();
        let launcher = [
            "env".to_owned(),
            format!("AWS_ACCESS_KEY_ID={}", ours.id),
            format!("AWS_SECRET_ACCESS_KEY={}", ours.secret),
            format!("AWS_ENDPOINT_URL={}", moto.url()),
            "AWS_REGION=us-east-1".to_owned(),
        ];
        let launcher: Vec<&str> = launcher.iter().map(String::as_str).collect();
        let limits = format!(
            "{NO_RATE_LIMIT}\n[aws]\nread_back_delay = \"1s\"\nlate_write_window = \"1s\"\n[aws.accounts.{ACCOUNT}]\ncalls_per_second = 1000"
        );
        Self { broker: Broker::launched_by(&launcher, &limits), moto, admin, session, policy }
    }

    fn agent(&self, id: &str, binding: &str, role: &str, policy: &str) -> Agent {
        let principal = self.moto.account().arn(&format!("role/{role}"));
        let more = format!("principal = \"{principal}\"\nbinding = \"{binding}\"");
        let text = registration(
            id,
            ACCOUNT,
            "static-principal",
            &more,
            &format!("{{ \"iam-read\" = \"{policy}\" }}"),
        );
        Agent { id: id.to_owned(), auth_token: self.broker.register(&text) }
    }

    fn elevate(&self, agent: &Agent) -> Answer {
        let body = json!({ "agent_id": agent.id, "policies": ["iam-read"], "ttl": "15m" });
        http::send(fixture::elevation(&self.broker, agent, &new_key(), &body))
    }

    /// The role's managed policies and the names of its inline policies, as the real AWS CLI reports them.
    fn on_the_role(&self) -> (Vec<String>, Vec<String>) {
        let aws = AwsCli::at(&self.moto.url());
        let list =
            |command: &str| aws.run(&self.admin, &["iam", command, "--role-name", "deploy"]).expect_allowed();
        let texts = |answer: &Value, list: &str, each: &str| {
            let found = answer[list].as_array().into_iter().flatten();
            found.filter_map(|one| one.pointer(each)?.as_str().map(str::to_owned)).collect()
        };
        (
            texts(&list("list-attached-role-policies"), "AttachedPolicies", "/PolicyArn"),
            texts(&list("list-role-policies"), "PolicyNames", ""),
        )
    }

    fn may(&self) -> bool {
        let aws = AwsCli::at(&self.moto.url());
        let outcome = aws.run(&self.session, &["iam", "list-users"]);
        assert!(outcome.is_allowed() || outcome.is_refused(), "{outcome:?}");
        outcome.is_allowed()
    }

    #[track_caller]
    fn revoke(&self, agent: &Agent, grant: &Answer) {
        let path = format!("/v2/agentic/jit/{}", grant.text_at("/id"));
        let answer = http::send(self.broker.request(Method::DELETE, &path).bearer_auth(&agent.auth_token));
        assert!(["verifying", "revoked"].contains(&answer.text_at("/status")), "{}", answer.text);
    }
}

#[test]
fn a_policy_is_attached_or_put_for_a_grant_and_gone_after_it() {
    let fixture = Fixture::start();
    let nothing = (Vec::new(), Vec::new());
    let attach = fixture.agent("attach", "attach", "deploy", &fixture.policy);
    let inline = fixture.agent("inline", "inline", "deploy", &fixture.policy);
    for agent in [attach, inline] {
        assert_eq!(fixture.on_the_role(), nothing, "{}: before", agent.id);
        assert!(!fixture.may(), "{}: before", agent.id);
        let grant = fixture.elevate(&agent).expect(201);
        let during = match agent.id.as_str() {
            "attach" => (vec![fixture.policy.clone()], Vec::new()),
            _ => (Vec::new(), vec![format!("jit-{}", grant.text_at("/id"))]),
        };
        assert_eq!(fixture.on_the_role(), during, "{}: {}", agent.id, fixture.broker.log());
        assert!(fixture.may(), "{}: during", agent.id);
        fixture.revoke(&agent, &grant);
        assert_eq!(fixture.on_the_role(), nothing, "{}: after", agent.id);
        assert!(!fixture.may(), "{}: after", agent.id);
        fixture.broker.wait_until_nothing_is_live();
        let told = fixture.broker.timeline(grant.text_at("/id")).to_string();
        assert!(!told.contains("trying"), "{told}");
    }
}

#[test]
fn a_role_or_a_policy_that_is_not_there_is_a_refusal_and_nothing_is_left() {
    let fixture = Fixture::start();
    let missing = fixture.moto.account().arn("policy/nothing");
    let cases = [
        ("attach-nobody", "attach", "nobody", fixture.policy.as_str()),
        ("attach-nothing", "attach", "deploy", missing.as_str()),
        ("inline-nobody", "inline", "nobody", fixture.policy.as_str()),
        ("inline-nothing", "inline", "deploy", missing.as_str()),
    ];
    for (id, binding, role, policy) in cases {
        let refused = fixture.elevate(&fixture.agent(id, binding, role, policy));
        assert_eq!(refused.outcome(), (502, "target_failed"), "{id}: {}", refused.text);
        assert!(refused.text.contains("NoSuchEntity"), "{id}: {}", refused.text);
        fixture.broker.wait_until_nothing_is_live();
        assert_eq!(fixture.on_the_role(), (Vec::new(), Vec::new()), "{id}");
    }
    for grant in fixture.broker.given() {
        let told = fixture.broker.timeline(grant["id"].as_str().unwrap_or_default()).to_string();
        assert!(told.contains("NoSuchEntity") && !told.contains("trying again"), "{told}");
    }
}
