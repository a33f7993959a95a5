//! Starts what most tests need: a broker, a provider, an agent of the GitLab platform, and its job.

use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::broker::Broker;
use crate::client::Client;
use crate::http::{self, Answer};
use crate::oidc_provider::{OidcProvider, Token};

/// The audience of every trust rule here.
pub const AUDIENCE: &str = "cloudanix-jit";

/// A broker, a provider and one registered agent.
pub struct Fixture {
    /// The provider that the agent's trust rule names.
    pub provider: OidcProvider,
    /// The broker.
    pub broker: Broker,
    /// The registered agent.
    pub agent: Agent,
}

/// An agent, as its pipeline configures it.
#[derive(Debug, Clone)]
pub struct Agent {
    /// The agent's id.
    pub id: String,
    /// The agent's auth token.
    pub auth_token: String,
}

impl Fixture {
    /// Starts a broker with the default limits.
    pub fn start() -> Self {
        Self::with(Broker::start())
    }

    /// Starts with this broker.
    pub fn with(broker: Broker) -> Self {
        let provider = OidcProvider::start().unwrap();
        let id = "orders-agent".to_owned();
        let auth_token = broker.register(&registration(&id, provider.issuer()));
        Self { provider, broker, agent: Agent { id, auth_token } }
    }

    /// Registers another agent of the same project.
    #[track_caller]
    pub fn another_agent(&self, id: &str) -> Agent {
        let auth_token = self.broker.register(&registration(id, self.provider.issuer()));
        Agent { id: id.to_owned(), auth_token }
    }

    /// The token of the agent's job; a job of GitLab may reuse its token.
    #[track_caller]
    pub fn oidc_token(&self) -> String {
        self.provider.mint(&Token::with_claims(job_claims("job-1")).audience(AUDIENCE)).unwrap()
    }

    /// The client in the agent's job.
    #[track_caller]
    pub fn client(&self, arguments: &[&str]) -> Client {
        self.client_at(self.broker.url(), arguments)
    }

    /// The same, with a proxy before the broker.
    #[track_caller]
    pub fn client_at(&self, url: &str, arguments: &[&str]) -> Client {
        Client::new(arguments)
            .env("CLOUDANIX_URL", url)
            .env("CLOUDANIX_AGENT_ID", &self.agent.id)
            .env("CLOUDANIX_AUTH_TOKEN", &self.agent.auth_token)
            .env("CLOUDANIX_OIDC_TOKEN", self.oidc_token())
    }

    /// The client as the operator.
    pub fn operator_client(&self, arguments: &[&str]) -> Client {
        Client::new(arguments)
            .env("CLOUDANIX_URL", self.broker.url())
            .env("CLOUDANIX_OPERATOR_TOKEN", self.broker.operator_token())
    }

    /// Builds the agent's request for a grant, to change and send.
    pub fn elevation(&self, key: &str, body: &Value) -> RequestBuilder {
        elevation(&self.broker, &self.agent, key, body)
    }

    /// A body for [`Fixture::elevation`], with a fresh token.
    #[track_caller]
    pub fn body(&self) -> Value {
        json!({
            "agent_id": self.agent.id, "oidc_token": self.oidc_token(),
            "policies": ["orders-read"], "ttl": "15m",
        })
    }

    /// Requests a grant with a new idempotency key.
    #[track_caller]
    pub fn elevate(&self) -> Answer {
        http::send(self.elevation(&new_key(), &self.body()))
    }
}

/// A request for a grant.
pub fn elevation(broker: &Broker, agent: &Agent, key: &str, body: &Value) -> RequestBuilder {
    broker
        .request(Method::POST, "/v2/agentic/jit")
        .bearer_auth(&agent.auth_token)
        .header("Idempotency-Key", key)
        .json(body)
}

/// An idempotency key that is unique in this process.
pub fn new_key() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{:032x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A registration that trusts a project of this provider, in GitLab's shape.
pub fn registration(id: &str, issuer: &str) -> String {
    registration_of("gitlab", id, issuer, r#"{ project_id = "1" }"#, "")
}

/// A registration for another platform, with these claims and these lines at the end of the trust rule.
pub fn registration_of(platform: &str, id: &str, issuer: &str, claims: &str, more: &str) -> String {
    format!(
        r#"id = "{id}"
use_case = "build-workflow"
max_session = "1h"

[[trust]]
issuer = "{issuer}"
platform = "{platform}"
audience = "{AUDIENCE}"
claims = {claims}
{more}

[boundary]
target = "token"
policies = {{ "orders-read" = "orders:read", "orders-write" = "orders:write" }}
"#
    )
}

/// GitLab's claims for this job.
pub fn job_claims(job: &str) -> Value {
    json!({
        "sub": "project_path:octo/my-app:ref_type:branch:ref:main", "jti": format!("token-of-{job}"),
        "project_id": "1", "project_path": "octo/my-app", "job_project_id": "1", "pipeline_id": "142",
        "pipeline_source": "push", "job_id": job, "ref": "main", "ref_type": "branch",
        "sha": "a7c1f24d0c0ffee0c0ffee0c0ffee0c0ffee0000", "user_login": "octocat",
    })
}

/// GitHub's claims for a run.
pub fn run_claims(jti: &str) -> Value {
    json!({
        "sub": "repo:octo/my-app:ref:refs/heads/main", "jti": jti, "repository": "octo/my-app",
        "repository_id": "81234567", "ref": "refs/heads/main", "event_name": "push", "run_id": "7",
        "run_number": "142", "run_attempt": "1", "sha": "a7c1f24", "actor": "octocat", "workflow": "deploy",
    })
}
