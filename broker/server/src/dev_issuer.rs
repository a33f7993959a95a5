//! The OIDC issuer of `dev`, which stands in for a CI system.
//!
//! Signs one token in the form of a GitLab job's, which its job may use several times. The keys live as long as the
//! process. Part of `dev` only, which listens on loopback only.

use std::sync::Arc;
use std::time::Duration;

use axum::routing::get;
use axum::{Json, Router};
use engine::{Random, SystemRandom};
use protocol::{Secret, Timestamp};
use serde_json::json;
use signing::{Issuer, SigningKey, TokenClaims};

/// The path of the issuer below the broker's URL.
const PATH: &str = "/dev/oidc";
/// The lifetime of the token.
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
