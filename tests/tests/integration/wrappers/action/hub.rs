//! A substitute for GitHub: the endpoint that issues a job's identity tokens, and a broker that trusts it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use system_tests::broker::Broker;
use system_tests::fixture::{AUDIENCE, registration_of, run_claims};
use system_tests::oidc_provider::{OidcProvider, Token};

use super::web::Web;

/// The prefix of a job's request token. Each hub appends its own suffix, because tests inspect each other's processes.
pub(crate) const REQUEST_TOKEN: &str = "request-token-of-this-job-0123456789";

static HUBS: AtomicUsize = AtomicUsize::new(0);

/// The endpoint, a broker, and an agent that trusts a repository's workflow.
pub(crate) struct Hub {
    pub(crate) broker: Broker,
    pub(crate) auth_token: String,
    pub(crate) request_token: String,
    tokens: Web,
    minted: Arc<Mutex<Vec<String>>>,
}

pub(crate) const AGENT: &str = "ecs-deploy";

impl Hub {
    pub(crate) fn start() -> Self {
        Self::with(Broker::start())
    }

    pub(crate) fn with(broker: Broker) -> Self {
        let provider = OidcProvider::start().unwrap();
        let claims = r#"{ repository_id = "81234567", ref = "refs/heads/main" }"#;
        let auth_token = broker.register(&registration_of("github", AGENT, provider.issuer(), claims, ""));
        let minted = Arc::new(Mutex::new(Vec::new()));
        // The final dot ensures that no token is a prefix of another.
        let request_token = format!("{REQUEST_TOKEN}-{}.", HUBS.fetch_add(1, Ordering::Relaxed));
        let authorization = format!("Bearer {request_token}");
        let kept = Arc::clone(&minted);
        let tokens = Web::serve(move |request| {
            let expected = format!("/token?api-version=2.0&audience={AUDIENCE}");
            if request.target != expected || request.authorization != authorization {
                return (401, format!("{} is not {expected}", request.target).into_bytes());
            }
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            // Each token is valid for one elevation.
            let claims = run_claims(&format!("token-{}", kept.len()));
            let token = provider.mint(&Token::with_claims(claims).audience(AUDIENCE)).unwrap();
            kept.push(token.clone());
            (200, json!({ "value": token }).to_string().into_bytes())
        });
        Self { broker, auth_token, request_token, tokens, minted }
    }

    /// The variables that GitHub sets for a job with `permissions: id-token: write`.
    pub(crate) fn identity(&self) -> [(&'static str, String); 2] {
        [
            ("ACTIONS_ID_TOKEN_REQUEST_URL", format!("{}/token?api-version=2.0", self.tokens.url())),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", self.request_token.clone()),
        ]
    }

    /// Every identity token issued so far.
    pub(crate) fn minted(&self) -> Vec<String> {
        self.minted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asserts that `given` grants were issued, none is live, and the newest ended for this reason with an intact
    /// timeline.
    #[track_caller]
    pub(crate) fn assert_ended(&self, given: usize, reason: &str) -> Value {
        self.broker.wait_until_nothing_is_live();
        let grants = self.broker.given();
        assert_eq!(grants.len(), given, "{grants:?}");
        let grant = grants.first().unwrap().clone();
        assert_eq!((text(&grant, "/status"), text(&grant, "/end_reason")), ("revoked", reason));
        let timeline = self.broker.timeline(text(&grant, "/id"));
        let events = timeline["events"].as_array().unwrap();
        let kinds: Vec<&str> = events.iter().map(|event| text(event, "/kind")).collect();
        assert_eq!((kinds.first(), kinds.last()), (Some(&"elevate"), Some(&"revoked")), "{kinds:?}");
        assert_eq!(text(&grant, "/provenance/platform"), "github");
        for (field, expected) in [("repository", "octo/my-app"), ("run", "142"), ("actor", "octocat")] {
            let found = text(&grant, &format!("/provenance/signed/{field}"));
            assert_eq!(found, expected, "{field} in {}", grant["provenance"]);
        }
        grant
    }
}

/// The text at a JSON pointer; empty if there is none.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
