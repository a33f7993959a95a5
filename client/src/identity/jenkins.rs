//! Jenkins: the oidc-provider plugin binds a token to the variable that the pipeline names.

use super::error::IdentityError;
use super::explicit::{chosen_token, chosen_variable};
use super::facts::{self, Fact, ObservedFact};
use super::files::Files;
use super::token_source::TokenSource;
use super::{Layer, Platform};
use crate::environment::Env;

const NAME: &str = "jenkins";

pub(super) const PLATFORM: Platform = Platform {
    name: NAME,
    marker: "`JENKINS_URL` and `BUILD_TAG`",
    layer: Layer::Ci,
    is_present: |env, _| env.get("JENKINS_URL").is_some() && env.get("BUILD_TAG").is_some(),
    facts,
    source,
    audience_hint: "set the audience of the OpenID Connect credential in Jenkins to the expected one",
};

fn facts(env: &Env, _: &Files) -> Vec<ObservedFact> {
    let mut seen = facts::from_variables(
        env,
        &[
            (Fact::Workflow, &["JOB_NAME"]),
            (Fact::Run, &["BUILD_NUMBER"]),
            (Fact::Job, &["STAGE_NAME"]),
            (Fact::Commit, &["GIT_COMMIT"]),
            (Fact::GitRef, &["BRANCH_NAME", "GIT_BRANCH"]),
            (Fact::Actor, &["BUILD_USER_ID"]),
            (Fact::Url, &["BUILD_URL"]),
        ],
    );
    if let Some(address) = env.get("GIT_URL") {
        seen.push(ObservedFact::made(Fact::Repository, facts::without_login(address), "GIT_URL"));
    }
    seen
}

fn source(env: &Env, _: &Files) -> Result<TokenSource, IdentityError> {
    chosen_token(env).ok_or_else(|| {
        let name = chosen_variable(env);
        IdentityError::Misconfigured {
            platform: NAME,
            what: format!("expected the build's token in `{name}`, found none").into(),
            hint: format!(
                "make an \"OpenID Connect id token\" credential (plugin oidc-provider) and wrap the step in \
                 `withCredentials([string(credentialsId: '…', variable: '{name}')]) {{ … }}`"
            )
            .into(),
        }
    })
}
