//! A broker whose principal may only assume a role provisions grants in another account through that role.

use reqwest::Method;
use serde_json::json;
use system_tests::aws::account::Account;
use system_tests::aws::calls::Keys;
use system_tests::aws::fault_proxy::FaultProxy;
use system_tests::aws::fixture::{broker_policy, keys_of, registration};
use system_tests::aws::policies::{allow, trusts, trusts_if};
use system_tests::broker::{Broker, NO_RATE_LIMIT};
use system_tests::fixture::{self, Agent, new_key};
use system_tests::http::{self, Answer};

use crate::aws::SHARED;

const EXTERNAL_ID: &str = "of this broker";

/// An account set up as docs/book/src/targets/aws.md says, and a broker in another account.
struct Fixture<'a> {
    account: Account<'a>,
    broker: Broker,
    /// The proxy for the broker's calls only.
    proxy: FaultProxy,
    ecs: String,
}

impl Fixture<'_> {
    fn start(external_id: &str) -> Self {
        let (home, account) = (SHARED.new_account(), SHARED.new_account());
        let keys = home.user("broker", &allow(&["sts:AssumeRole"]));
        let condition = json!({"StringEquals": {"sts:ExternalId": EXTERNAL_ID}});
        let role = account.role("cloudanix-jit-broker", &trusts_if(&home.arn("user/broker"), condition));
        account.put_role_policy("cloudanix-jit-broker", "grants", &broker_policy(account.number()));
        account.role("sessions", &trusts(&role));
        account.put_role_policy("sessions", "most", &allow(&["ecs:*"]));
        let ecs = account.managed_policy("EcsRead", &allow(&["ecs:ListClusters"]));
        let proxy = FaultProxy::in_front_of(&SHARED.url());
        let launcher = [
            "env".to_owned(),
            format!("AWS_ACCESS_KEY_ID={}", keys.id),
            format!("AWS_SECRET_ACCESS_KEY={}", keys.secret),
            format!("AWS_ENDPOINT_URL={}", proxy.url()),
            "AWS_REGION=us-east-1".to_owned(),
        ];
        let launcher: Vec<&str> = launcher.iter().map(String::as_str).collect();
        let limits = format!(
            "{NO_RATE_LIMIT}\n[aws]\nread_back_delay = \"1s\"\nlate_write_window = \"1s\"\n[aws.accounts.{}]\nrole = \"{role}\"\n\
             external_id = \"{external_id}\"",
            account.number()
        );
        Self { broker: Broker::launched_by(&launcher, &limits), proxy, account, ecs }
    }

    fn agent(&self, mode: &str, more: &str) -> Agent {
        let policies = format!("{{ \"ecs-read\" = \"{}\" }}", self.ecs);
        let file = registration(mode, self.account.number(), mode, more, &policies);
        Agent { id: mode.to_owned(), auth_token: self.broker.register(&file) }
    }

    fn elevate(&self, agent: &Agent) -> Answer {
        let body = json!({ "agent_id": agent.id, "policies": ["ecs-read"], "ttl": "15m" });
        http::send(fixture::elevation(&self.broker, agent, &new_key(), &body))
    }

    fn sessions(&self) -> Agent {
        self.agent("dynamic-access-keys", &format!("principal = \"{}\"", self.account.arn("role/sessions")))
    }
}

fn allowed(keys: &Keys) -> bool {
    SHARED.calls().list_clusters(keys).is_allowed()
}

#[test]
fn grants_in_another_account_use_the_role_there() {
    let fixture = Fixture::start(EXTERNAL_ID);
    for agent in [fixture.sessions(), fixture.agent("dynamic-role", "")] {
        let grant = fixture.elevate(&agent).expect(201);
        let keys = keys_of(&grant);
        assert!(allowed(&keys), "{}: {}", agent.id, fixture.broker.log());
        let path = format!("/v2/agentic/jit/{}", grant.text_at("/id"));
        http::send(fixture.broker.request(Method::DELETE, &path).bearer_auth(&agent.auth_token));
        assert!(!allowed(&keys), "{}: {}", agent.id, fixture.broker.log());
        fixture.broker.wait_until_nothing_is_live();
    }
    assert_eq!(fixture.account.roles_named("jit-"), Vec::<String>::new());
    assert_eq!(
        fixture.proxy.count("sts:GetCallerIdentity"),
        0,
        "by a role of the configuration, it is that role"
    );
}

#[test]
fn with_another_external_id_nothing_is_given() {
    let fixture = Fixture::start("of another broker");
    let answer = fixture.elevate(&fixture.sessions());
    assert!(answer.status >= 500, "{} {}", answer.status, answer.text);
    assert_eq!(answer.text_at("/code"), "target_failed", "{}", answer.text);
    let given = fixture.broker.given();
    let id = given.first().and_then(|grant| grant.get("id")?.as_str()).unwrap_or_default();
    let why = fixture.broker.timeline(id).to_string();
    assert!(
        why.contains("no credentials of the broker for account") && why.contains("AccessDenied"),
        "{why}"
    );
    assert!(!why.contains("does not answer"), "{why}");
}
