//! Buildkite: the job requests a token from the agent API.

use protocol::Secret;
use reqwest::Method;

use super::endpoint::{Audience, TokenEndpoint, address};
use super::error::IdentityError;
use super::facts::{self, Fact, ObservedFact};
use super::files::Files;
use super::token_source::TokenSource;
use super::{Layer, Platform};
use crate::environment::Env;

const NAME: &str = "buildkite";

pub(super) const PLATFORM: Platform = Platform {
    name: NAME,
    marker: "`BUILDKITE=true`",
    layer: Layer::Ci,
    is_present: |env, _| env.get("BUILDKITE") == Some("true"),
    facts,
    source,
    audience_hint: "Buildkite mints for the audience that is asked for: look for what stands between",
};

fn facts(env: &Env, _: &Files) -> Vec<ObservedFact> {
    let mut seen = facts::from_variables(
        env,
        &[
            (Fact::Workflow, &["BUILDKITE_PIPELINE_SLUG"]),
            (Fact::Run, &["BUILDKITE_BUILD_NUMBER"]),
            (Fact::Attempt, &["BUILDKITE_RETRY_COUNT"]),
            (Fact::Job, &["BUILDKITE_LABEL", "BUILDKITE_JOB_ID"]),
            (Fact::Step, &["BUILDKITE_STEP_KEY"]),
            (Fact::Commit, &["BUILDKITE_COMMIT"]),
            (Fact::GitRef, &["BUILDKITE_BRANCH", "BUILDKITE_TAG"]),
            (Fact::Actor, &["BUILDKITE_BUILD_CREATOR"]),
            (Fact::Event, &["BUILDKITE_SOURCE"]),
            (Fact::Url, &["BUILDKITE_BUILD_URL"]),
        ],
    );
    if let Some(address) = env.get("BUILDKITE_REPO") {
        seen.push(ObservedFact::made(Fact::Repository, facts::without_login(address), "BUILDKITE_REPO"));
    }
    seen
}

fn source(env: &Env, _: &Files) -> Result<TokenSource, IdentityError> {
    let needed = |variable: &'static str| {
        env.get(variable).ok_or_else(|| IdentityError::Misconfigured {
            platform: NAME,
            what: format!("expected `{variable}`, found none").into(),
            hint: "the agent sets it for every job; inside a container, pass it on (docker plugin: \
                   `propagate-environment: true`, and name `BUILDKITE_AGENT_ACCESS_TOKEN` under `environment:`)"
                .into(),
        })
    };
    let (job, credential) = (needed("BUILDKITE_JOB_ID")?, needed("BUILDKITE_AGENT_ACCESS_TOKEN")?);
    let endpoint = env.get("BUILDKITE_AGENT_ENDPOINT").unwrap_or("https://agent.buildkite.com/v3");
    let mut url = address(NAME, "BUILDKITE_AGENT_ENDPOINT", endpoint)?;
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(["jobs", job, "oidc", "tokens"]);
    }
    Ok(TokenSource::Endpoint(Box::new(TokenEndpoint {
        method: Method::POST,
        url,
        scheme: "Token",
        credential: Secret::new(credential),
        headers: &[],
        audience: Audience::Body,
        field: "token",
        shown: "POST $BUILDKITE_AGENT_ENDPOINT/jobs/$BUILDKITE_JOB_ID/oidc/tokens",
        refusal_hint: "Buildkite gives a token to a running job only: use it in the job that it was given to",
    })))
}
