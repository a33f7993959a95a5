//! Starts the broker before an emulator, as a user with only the permissions of a broker, and registers agents of
//! every mode.

use serde_json::{Value, json};

use super::account::Account;
use super::calls::Keys;
use super::cli::AwsCli;
use super::ministack::Ministack;
use super::policies::{allow, policy, trusts};
use crate::broker::{Broker, NO_RATE_LIMIT};
use crate::client::Client;
use crate::fixture::{self, Agent, new_key};
use crate::http::{self, Answer};

/// Settings of the broker under test.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The AWS endpoint.
    pub endpoint: String,
    /// How long after a revert the broker verifies it.
    pub settle: &'static str,
    /// How long after a timed-out call AWS may still apply it.
    pub late: &'static str,
    /// The command line before the broker's: a clock that the test moves.
    pub launcher: Vec<String>,
    /// More lines of `[limits]`.
    pub limits: &'static str,
    /// More lines of `[aws]`.
    pub aws: &'static str,
}

impl Setting {
    /// Short delays: a second for everything that takes minutes in production.
    pub fn in_front_of(endpoint: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            settle: "1s",
            late: "1s",
            launcher: Vec::new(),
            limits: "",
            aws: "",
        }
    }
}

/// An account of its own, and a broker that provisions grants in it.
pub struct AwsFixture<'a> {
    /// The account.
    pub account: Account<'a>,
    /// The broker.
    pub broker: Broker,
    /// The real AWS CLI, calling the emulator directly.
    pub cli: AwsCli,
    /// A user who may assume the role `deploy`: the pipeline's identity before its grant.
    pub pipeline: Keys,
    /// The managed policy of the grants: `ecs:ListClusters`.
    pub ecs: String,
    /// Another managed policy: `s3:ListAllMyBuckets`.
    pub s3: String,
    emulator: &'a Ministack,
}

/// A mode of the target, with inline and attached policies told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `static-principal`, inline.
    StaticInline,
    /// `static-principal`, attached.
    StaticAttached,
    /// `static-access-keys`, inline.
    UserInline,
    /// `static-access-keys`, attached.
    UserAttached,
    /// `dynamic-access-keys`.
    Session,
    /// `dynamic-role`.
    Role,
    /// `pod-identity`.
    Pod,
}

impl Mode {
    /// All modes.
    pub const ALL: &'static [Self] = &[
        Self::StaticInline,
        Self::StaticAttached,
        Self::UserInline,
        Self::UserAttached,
        Self::Session,
        Self::Role,
        Self::Pod,
    ];

    /// The id of this mode's agent.
    pub fn agent(self) -> &'static str {
        match self {
            Self::StaticInline => "static-inline",
            Self::StaticAttached => "static-attached",
            Self::UserInline => "user-inline",
            Self::UserAttached => "user-attached",
            Self::Session => "session",
            Self::Role => "own-role",
            Self::Pod => "pod",
        }
    }
}

/// The EKS cluster of every fixture.
pub const CLUSTER: &str = "main";
/// The role of the pods.
pub const POD_ROLE: &str = "pod-orders";

/// The broker's permissions: `examples/aws/broker-policy.json`, whose names are those of a fixture. Where the emulator
/// supports less than AWS (conditions on IAM's own actions, paths of roles), this function relaxes the document.
pub fn broker_policy(account: &str) -> Value {
    let document = include_str!("../../../examples/aws/broker-policy.json").replace("123456789012", account);
    let mut document: Value = serde_json::from_str(&document).unwrap();
    for statement in document.get_mut("Statement").and_then(Value::as_array_mut).unwrap() {
        if let Some(operators) = statement.get_mut("Condition").and_then(Value::as_object_mut) {
            for keys in operators.values_mut().filter_map(Value::as_object_mut) {
                keys.retain(|key, _| !key.starts_with("iam:"));
            }
            operators.retain(|_, keys| keys.as_object().is_some_and(|keys| !keys.is_empty()));
        }
        let fields = statement.as_object_mut().unwrap();
        if fields.get("Condition").is_some_and(|condition| condition == &json!({})) {
            fields.remove("Condition");
        }
        let resources = fields.get("Resource").cloned().unwrap();
        let mut resources = resources.as_array().cloned().unwrap_or_else(|| vec![resources]);
        let without_path = |resource: &Value| {
            let text = resource.as_str().unwrap();
            text.contains("/cloudanix-jit/").then(|| json!(text.replace("/cloudanix-jit/", "/")))
        };
        let more: Vec<Value> = resources.iter().filter_map(without_path).collect();
        // The emulator does not check EKS's own resources for a single association, nor instance profiles.
        let unseen = |arn: &str| arn.contains(":eks:") || arn.contains(":instance-profile/");
        if resources.iter().any(|resource| resource.as_str().is_some_and(unseen)) {
            resources = vec![json!("*")];
        }
        resources.extend(more);
        fields.insert("Resource".to_owned(), Value::Array(resources));
    }
    document
}

impl<'a> AwsFixture<'a> {
    /// A fixture whose broker has short delays.
    #[track_caller]
    pub fn start(emulator: &'a Ministack) -> Self {
        Self::with(emulator, &Setting::in_front_of(&emulator.url()))
    }

    /// A fixture with this broker.
    #[track_caller]
    pub fn with(emulator: &'a Ministack, setting: &Setting) -> Self {
        let account = emulator.new_account();
        let number = account.number().to_owned();
        let keys = account.user("broker", &broker_policy(&number));
        let pipeline = account.user("pipeline", &allow(&["sts:AssumeRole"]));
        let ecs = account.managed_policy("EcsRead", &allow(&["ecs:ListClusters"]));
        let s3 = account.managed_policy("S3Read", &allow(&["s3:ListAllMyBuckets"]));
        account.role("deploy", &trusts(&account.arn("user/pipeline")));
        account.user("deployer", &allow(&["sts:GetCallerIdentity"]));
        let by_broker = json!({
            "Effect": "Allow", "Principal": {"AWS": account.arn("user/broker")},
            "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
        });
        account.role("sessions", &policy(&[by_broker]));
        // The widest permissions of the role's sessions; each grant narrows its own.
        account.put_role_policy("sessions", "most", &allow(&["ecs:*", "s3:*"]));
        let pods = json!({
            "Effect": "Allow", "Principal": {"AWS": account.arn("user/pipeline")},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
        });
        account.role(POD_ROLE, &policy(&[pods]));
        account.put_role_policy(POD_ROLE, "orders", &allow(&["ecs:ListClusters"]));
        account.cluster(CLUSTER);
        let mut launcher = setting.launcher.clone();
        if launcher.is_empty() {
            launcher.push("env".to_owned());
        }
        let environment = [
            ("AWS_ACCESS_KEY_ID", keys.id.as_str()),
            ("AWS_SECRET_ACCESS_KEY", keys.secret.as_str()),
            ("AWS_ENDPOINT_URL", setting.endpoint.as_str()),
            ("AWS_REGION", "us-east-1"),
        ];
        launcher.extend(environment.map(|(name, value)| format!("{name}={value}")));
        let launcher: Vec<&str> = launcher.iter().map(String::as_str).collect();
        let limits = format!(
            "{NO_RATE_LIMIT}\n{}\n[aws]\nread_back_delay = \"{}\"\nlate_write_window = \"{}\"\n{}\n[aws.accounts.{number}]\ncalls_per_second = 1000",
            setting.limits, setting.settle, setting.late, setting.aws
        );
        let broker = Broker::launched_by(&launcher, &limits);
        Self { account, broker, cli: AwsCli::of(emulator), pipeline, ecs, s3, emulator }
    }

    /// The emulator.
    pub fn emulator(&self) -> &'a Ministack {
        self.emulator
    }

    /// The registration of a mode's agent.
    pub fn registration(&self, mode: Mode) -> String {
        let role = |name: &str| format!("principal = \"{}\"", self.account.arn(&format!("role/{name}")));
        let user = || format!("principal = \"{}\"", self.account.arn("user/deployer"));
        let managed = format!("{{ \"ecs-read\" = \"{}\", \"s3-read\" = \"{}\" }}", self.ecs, self.s3);
        let (auth_mode, more, policies) = match mode {
            Mode::StaticInline => ("static-principal", role("deploy"), managed),
            Mode::StaticAttached => {
                ("static-principal", format!("{}\nbinding = \"attach\"", role("deploy")), managed)
            }
            Mode::UserInline => ("static-access-keys", user(), managed),
            Mode::UserAttached => {
                ("static-access-keys", format!("{}\nbinding = \"attach\"", user()), managed)
            }
            Mode::Session => {
                ("dynamic-access-keys", format!("{}\nregion = \"us-east-1\"", role("sessions")), managed)
            }
            Mode::Role => ("dynamic-role", "region = \"us-east-1\"".to_owned(), managed),
            Mode::Pod => (
                "pod-identity",
                format!("cluster = \"{CLUSTER}\"\nnamespace = \"shop\"\nservice_account = \"web\""),
                format!("{{ \"ecs-read\" = \"{}\" }}", self.account.arn(&format!("role/{POD_ROLE}"))),
            ),
        };
        registration(mode.agent(), self.account.number(), auth_mode, &more, &policies)
    }

    /// Registers a mode's agent.
    #[track_caller]
    pub fn agent(&self, mode: Mode) -> Agent {
        let auth_token = self.broker.register(&self.registration(mode));
        Agent { id: mode.agent().to_owned(), auth_token }
    }

    /// The real client, as an agent's step runs it. The AWS variables are those of a runner that holds `keys`.
    pub fn client(&self, agent: &Agent, keys: &Keys, arguments: &[&str]) -> Client {
        let client = Client::new(arguments)
            .env("CLOUDANIX_URL", self.broker.url())
            .env("CLOUDANIX_AGENT_ID", &agent.id)
            .env("CLOUDANIX_AUTH_TOKEN", &agent.auth_token);
        let ours = [
            ("AWS_ACCESS_KEY_ID", Some(&keys.id)),
            ("AWS_SECRET_ACCESS_KEY", Some(&keys.secret)),
            ("AWS_SESSION_TOKEN", keys.token.as_ref()),
        ];
        let client =
            self.cli.environment().iter().fold(client, |client, (name, value)| client.env(name, value));
        ours.into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .fold(client, |client, (name, value)| client.env(name, value))
    }

    /// Requests `ecs-read` by HTTP, with a new idempotency key.
    #[track_caller]
    pub fn elevate(&self, agent: &Agent, ttl: &str) -> Answer {
        self.elevate_for(agent, &["ecs-read"], ttl)
    }

    /// Requests these policies.
    #[track_caller]
    pub fn elevate_for(&self, agent: &Agent, policies: &[&str], ttl: &str) -> Answer {
        let body = json!({ "agent_id": agent.id, "policies": policies, "ttl": ttl });
        http::send(fixture::elevation(&self.broker, agent, &new_key(), &body))
    }

    /// Revokes a grant; fails the test unless the permission is gone, verified or not.
    #[track_caller]
    pub fn revoke(&self, agent: &Agent, grant: &str) -> Answer {
        let path = format!("/v2/agentic/jit/{grant}");
        let request = self.broker.request(reqwest::Method::DELETE, &path).bearer_auth(&agent.auth_token);
        let answer = http::send(request);
        let done = ["verifying", "revoked"].contains(&answer.text_at("/status"));
        assert!(done, "{} {}", answer.text, self.broker.timeline(grant));
        answer
    }

    /// A session of the role `deploy`, as the pipeline gets it without a grant.
    #[track_caller]
    pub fn deploy_session(&self) -> Keys {
        self.account.session(&self.pipeline, &self.account.arn("role/deploy"), json!({}))
    }

    /// A session of the pods' role, with the tags that EKS sets for a pod of this fixture.
    #[track_caller]
    pub fn pod_session(&self) -> Keys {
        let tag = |key: &str, value: &str| json!({"Key": key, "Value": value});
        let tags = [
            tag("eks-cluster-name", CLUSTER),
            tag("kubernetes-namespace", "shop"),
            tag("kubernetes-service-account", "web"),
        ];
        let role = self.account.arn(&format!("role/{POD_ROLE}"));
        self.account.session(&self.pipeline, &role, json!({ "Tags": tags }))
    }
}

/// A registration in an account, trusted by its auth token alone: these tests do not cover the caller's identity.
pub fn registration(id: &str, account: &str, auth_mode: &str, more: &str, policies: &str) -> String {
    format!(
        r#"id = "{id}"
use_case = "build-workflow"
max_session = "2h"

[dangerous]
allow_auth_token_only = true

[boundary]
target = "aws"
account = "{account}"
auth_mode = "{auth_mode}"
{more}
policies = {policies}
"#
    )
}

/// The keys in a response to elevate.
pub fn keys_of(answer: &Answer) -> Keys {
    let at = |name: &str| answer.text_at(&format!("/credentials/{name}")).to_owned();
    Keys { id: at("access_key_id"), secret: at("secret_access_key"), token: Some(at("session_token")) }
}
