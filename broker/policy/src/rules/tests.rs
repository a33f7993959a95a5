//! Tests of the rule engine.

use std::collections::BTreeMap;

use domain::DecisionFacts;
use domain::facts::{
    AgentFacts, IdentityFacts, ObservedFacts, PolicyFacts, PostureFacts, RequestFacts, RunFacts,
};
use domain::{Outcome, Sensitivity, TargetKind, UseCase};
use protocol::{Facts, Platform, Timestamp, Trust};

use super::*;

mod cases;
mod engine;
mod local_time;
mod mutations;
mod properties;
mod table;

/// A GitHub run of the agent `deploy` on a Sunday at 10:00 UTC.
pub(crate) fn facts() -> DecisionFacts {
    let at: Timestamp = "2026-11-29T10:00:00Z".parse().unwrap();
    let text = |text: &str| Some(text.to_owned());
    DecisionFacts {
        version: domain::facts::VERSION,
        nonce: "0".repeat(32),
        at,
        local: BTreeMap::new(),
        agent: AgentFacts {
            id: "deploy".parse().unwrap(),
            use_case: UseCase::BuildWorkflow,
            labels: [("team".to_owned(), "payments".to_owned())].into(),
            groups: ["production".to_owned()].into(),
            registration: "a".repeat(64),
        },
        request: RequestFacts {
            scope: "token".parse().unwrap(),
            target: TargetKind::Token,
            account: None,
            ttl: "15m".parse().unwrap(),
            heartbeat: true,
            policies: vec![PolicyFacts {
                name: "orders-read".parse().unwrap(),
                sensitivity: Sensitivity::Normal,
                digest: "b".repeat(64),
            }],
        },
        identity: IdentityFacts {
            trust: Trust::Oidc,
            platform: Some(Platform::Github),
            issuer: text("https://token.actions.githubusercontent.com"),
            subject: text("repo:octo-org/app:environment:production"),
            signed: Facts {
                repository: text("octo-org/app"),
                environment: text("production"),
                event: text("push"),
                ..Facts::default()
            },
            claims: [
                ("runner_environment".to_owned(), "github-hosted".into()),
                ("run_attempt".to_owned(), 1.into()),
                ("aud".to_owned(), serde_json::json!(["a", "b"])),
            ]
            .into(),
        },
        observed: ObservedFacts { address: Some("192.0.2.7".parse().unwrap()), country: text("DE") },
        posture: [(
            "wiz".to_owned(),
            PostureFacts { ok: true, as_of: at, expires_at: at.plus(std::time::Duration::from_secs(3600)) },
        )]
        .into(),
        run: RunFacts::default(),
    }
}

pub(super) fn rules(text: &str) -> RuleSet {
    let files = BTreeMap::from([("rules.cedar".to_owned(), text.to_owned())]);
    RuleSet::parse(&files).unwrap_or_else(|problems| panic!("{problems}"))
}
