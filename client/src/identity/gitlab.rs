//! GitLab CI: the token is in the variable that the job's `id_tokens:` names.

use super::error::IdentityError;
use super::explicit::{chosen_token, chosen_variable};
use super::facts::{self, Fact, ObservedFact};
use super::files::Files;
use super::id_tokens::id_tokens_for;
use super::token_source::TokenSource;
use super::{Layer, Platform, audience};
use crate::environment::Env;

const NAME: &str = "gitlab";

pub(super) const PLATFORM: Platform = Platform {
    name: NAME,
    marker: "`GITLAB_CI=true`",
    layer: Layer::Ci,
    is_present: |env, _| env.get("GITLAB_CI") == Some("true"),
    facts,
    source,
    audience_hint: "set `aud:` of the variable under the job's `id_tokens:` to the expected audience",
};

fn facts(env: &Env, _: &Files) -> Vec<ObservedFact> {
    facts::from_variables(
        env,
        &[
            (Fact::Repository, &["CI_PROJECT_PATH"]),
            (Fact::Workflow, &["CI_PIPELINE_NAME"]),
            (Fact::Run, &["CI_PIPELINE_ID"]),
            (Fact::Job, &["CI_JOB_NAME"]),
            (Fact::Commit, &["CI_COMMIT_SHA"]),
            (Fact::GitRef, &["CI_COMMIT_REF_NAME"]),
            (Fact::Actor, &["GITLAB_USER_LOGIN"]),
            (Fact::Environment, &["CI_ENVIRONMENT_NAME"]),
            (Fact::Event, &["CI_PIPELINE_SOURCE"]),
            (Fact::Url, &["CI_JOB_URL"]),
        ],
    )
}

fn source(env: &Env, _: &Files) -> Result<TokenSource, IdentityError> {
    chosen_token(env).ok_or_else(|| {
        let (name, audience) = (chosen_variable(env), audience(env));
        let hint = match id_tokens_for(env, audience).first() {
            Some(other) => format!("`{other}` holds one: set `CLOUDANIX_OIDC_TOKEN_VARIABLE` to `{other}`"),
            None => format!("add to the job `id_tokens: {{ {name}: {{ aud: {audience} }} }}`"),
        };
        let what = format!("expected the job's token in `{name}`, found none").into();
        IdentityError::Misconfigured { platform: NAME, what, hint: hint.into() }
    })
}
