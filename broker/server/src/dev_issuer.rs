//! The development OIDC issuer: what does a CI's identity look like when there is no CI?
//!
//! Signs one token in the shape of a GitLab job's, because such a token may be used several times by its job.
//! Its keys live as long as the process. Exists in `dev` only, which binds loopback only.

use std::sync::Arc;
use std::time::Duration;

use axum::routing::get;
use axum::{Json, Router};
use engine::{Random, SystemRandom};
use protocol::{Secret, Timestamp};
use serde_json::json;
use signing::{Issuer, SigningKey, TokenClaims};

/// Where it is, below the broker's own URL.
const PATH: &str = "/dev/oidc";
/// How long its token is valid.
const VALID: Duration = Duration::from_secs(12 * 60 * 60);

pub(crate) struct DevIssuer {
    issuer: Arc<Issuer>,
}

impl DevIssuer {
    pub(crate) fn new(broker_url: &str, now: Timestamp) -> anyhow::Result<Self> {
        let issuer = Issuer::new(&format!("{broker_url}{PATH}"))?;
        let mut seed = [0; 32];
        SystemRandom.fill(&mut seed)?;
        issuer.set_keys(vec![SigningKey::from_random(seed, now)?.0]);
        Ok(Self { issuer: Arc::new(issuer) })
    }

    pub(crate) fn url(&self) -> &str {
        self.issuer.url()
    }

    pub(crate) fn token(&self, audience: &str, now: Timestamp) -> anyhow::Result<Secret> {
        let text = |text: &str| json!(text);
        let more = [
            ("jti", text("dev-job")),
            ("project_path", text("dev/my-app")),
            ("project_id", text("1")),
            ("pipeline_id", text("142")),
            ("pipeline_source", text("push")),
            ("job_id", text("1")),
            ("ref", text("main")),
            ("ref_type", text("branch")),
            ("sha", text("a7c1f24d0c0ffee0c0ffee0c0ffee0c0ffee0000")),
            ("user_login", text("you")),
        ];
        let claims = TokenClaims {
            subject: "project_path:dev/my-app:ref_type:branch:ref:main".to_owned(),
            audiences: vec![audience.to_owned()],
            issued_at: now,
            expires_at: now.plus(VALID),
            more: more.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        };
        Ok(self.issuer.sign(claims, now)?)
    }

    pub(crate) fn routes(&self) -> Router {
        let (url, issuer) = (self.issuer.url().to_owned(), Arc::clone(&self.issuer));
        let discovery = json!({
            "issuer": url,
            "jwks_uri": format!("{url}/jwks"),
            "id_token_signing_alg_values_supported": ["EdDSA"],
        });
        Router::new()
            .route(
                &format!("{PATH}/.well-known/openid-configuration"),
                get(|| async move { Json(discovery) }),
            )
            .route(&format!("{PATH}/jwks"), get(|| async move { Json(issuer.jwks()) }))
    }
}
