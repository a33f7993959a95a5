//! The environment of a scenario: server, runner, broker, and an agent for the jobs.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use system_tests::broker::Broker;
use system_tests::fixture::{AUDIENCE, registration_of};
use system_tests::oidc_provider::{OidcProvider, Token};

use super::actions_runner::ActionsRunner;
use super::server::Server;

/// Far longer than any step of a scenario. At a load of 45 on two cores the server took 90 s to start.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// Shell code that waits for `$OUTSIDE/go`, and gives up by itself after the test was killed.
pub(crate) const UNTIL_GO: &str =
    "for _ in $(seq 3000); do test -e \"$OUTSIDE/go\" && break; sleep 0.05; done";

/// The id of the jobs' agent.
pub(crate) const AGENT: &str = "orders-deploy";

/// How a job proves its identity, as Gitea has no OIDC.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Identity {
    /// A token of another issuer in a file on the runner.
    TokenFile,
    /// No token, while the agent requires one.
    Missing,
    /// No token, and the agent accepts the auth token alone.
    AuthTokenOnly,
}

/// The parts of a site. They drop in this order, because the client may still revoke after the runner has ended.
pub(crate) struct Site {
    pub(crate) runner: ActionsRunner,
    pub(crate) server: Server,
    pub(crate) broker: Broker,
    pub(crate) auth_token: String,
    _provider: OidcProvider,
    _token_file: tempfile::NamedTempFile,
}

impl Site {
    /// Starts a site whose jobs have a signed token.
    pub(crate) fn start() -> Self {
        Self::with(Identity::TokenFile)
    }

    pub(crate) fn with(identity: Identity) -> Self {
        Self::with_broker(Broker::start(), identity)
    }

    pub(crate) fn with_broker(broker: Broker, identity: Identity) -> Self {
        let provider = OidcProvider::start().unwrap();
        let claims = r#"{ sub = "repository:orders" }"#;
        let registration = match identity {
            Identity::TokenFile | Identity::Missing => {
                registration_of("oidc", AGENT, provider.issuer(), claims, "")
            }
            Identity::AuthTokenOnly => format!(
                "id = \"{AGENT}\"\nuse_case = \"build-workflow\"\nmax_session = \"1h\"\n[boundary]\n\
                 target = \"token\"\npolicies = {{ \"orders-read\" = \"orders:read\" }}\n[dangerous]\n\
                 allow_auth_token_only = true\n"
            ),
        };
        let auth_token = broker.register(&registration);
        let token = Token::with_claims(serde_json::json!({ "sub": "repository:orders", "jti": "one" }));
        let token = provider.mint(&token.audience(AUDIENCE).expires_in(3 * 3600)).unwrap();
        let token_file = tempfile::NamedTempFile::new().unwrap();
        fs::write(token_file.path(), token).unwrap();

        let mut variables =
            vec![("CLOUDANIX_URL", broker.url().to_owned()), ("CLOUDANIX_AGENT_ID", AGENT.to_owned())];
        if let Identity::TokenFile = identity {
            variables.push(("CLOUDANIX_OIDC_TOKEN_FILE", token_file.path().display().to_string()));
        }
        let registration_token = "registration-token-of-this-test-0123456789";
        let server = Server::start(registration_token);
        let runner = ActionsRunner::start(&server, registration_token, &variables);
        Self { runner, server, broker, auth_token, _provider: provider, _token_file: token_file }
    }

    /// Asserts that `given` grants were issued and each ended for `reason`. Returns them, newest first.
    #[track_caller]
    pub(crate) fn assert_ended(&self, given: usize, reason: &str) -> Vec<Value> {
        self.broker.wait_until_nothing_is_live();
        let grants = self.broker.given();
        assert_eq!(grants.len(), given, "{grants:?}");
        for grant in &grants {
            assert_eq!((text(grant, "/status"), text(grant, "/end_reason")), ("revoked", reason));
        }
        grants
    }
}

/// The text at a JSON pointer; empty if there is none.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
