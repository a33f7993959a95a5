//! Bitbucket Pipelines: the token is in a variable of the step, if the step declares `oidc:`.

use protocol::Secret;

use super::error::IdentityError;
use super::facts::{self, Fact, ObservedFact};
use super::files::Files;
use super::token_source::TokenSource;
use super::{Layer, Platform, audience};
use crate::environment::Env;

const NAME: &str = "bitbucket";
const TOKEN: &str = "BITBUCKET_STEP_OIDC_TOKEN";

pub(super) const PLATFORM: Platform = Platform {
    name: NAME,
    marker: "`BITBUCKET_BUILD_NUMBER`",
    layer: Layer::Ci,
    is_present: |env, _| env.get("BITBUCKET_BUILD_NUMBER").is_some(),
    facts,
    source,
    audience_hint: "name the expected audience under `oidc: audiences:` of the step; with `oidc: true` the token \
                    has the workspace's own audience, which the agent's trust rule and `CLOUDANIX_AUDIENCE` then \
                    have to name",
};

fn facts(env: &Env, _: &Files) -> Vec<ObservedFact> {
    let mut seen = facts::from_variables(
        env,
        &[
            (Fact::Repository, &["BITBUCKET_REPO_FULL_NAME"]),
            (Fact::Run, &["BITBUCKET_BUILD_NUMBER"]),
            (Fact::Attempt, &["BITBUCKET_STEP_RUN_NUMBER"]),
            (Fact::Step, &["BITBUCKET_STEP_UUID"]),
            (Fact::Commit, &["BITBUCKET_COMMIT"]),
            (Fact::GitRef, &["BITBUCKET_BRANCH", "BITBUCKET_TAG"]),
            (Fact::Actor, &["BITBUCKET_STEP_TRIGGERER_UUID"]),
            (Fact::Environment, &["BITBUCKET_DEPLOYMENT_ENVIRONMENT"]),
        ],
    );
    if let (Some(repository), Some(build)) =
        (env.get("BITBUCKET_REPO_FULL_NAME"), env.get("BITBUCKET_BUILD_NUMBER"))
    {
        let url = format!("https://bitbucket.org/{repository}/pipelines/results/{build}");
        seen.push(ObservedFact::made(Fact::Url, url, "BITBUCKET_REPO_FULL_NAME, BITBUCKET_BUILD_NUMBER"));
    }
    seen
}

fn source(env: &Env, _: &Files) -> Result<TokenSource, IdentityError> {
    let token = env.get(TOKEN).ok_or_else(|| IdentityError::Misconfigured {
        platform: NAME,
        what: format!("expected the step's token in `{TOKEN}`, found none").into(),
        hint: format!("add to the step `oidc: {{ audiences: [{}] }}`", audience(env)).into(),
    })?;
    Ok(TokenSource::Variable { name: TOKEN.to_owned(), token: Secret::new(token) })
}
