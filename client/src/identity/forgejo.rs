//! Forgejo Actions: GitHub's variables and endpoint, from Forgejo 15 and its runner 12.5 on.

use super::error::IdentityError;
use super::facts::ObservedFact;
use super::files::Files;
use super::github;
use super::token_source::TokenSource;
use super::{Layer, Platform};
use crate::environment::Env;

const NAME: &str = "forgejo";

pub(super) const PLATFORM: Platform = Platform {
    name: NAME,
    marker: "`FORGEJO_ACTIONS=true`",
    layer: Layer::Ci,
    is_present: |env, _| env.get("FORGEJO_ACTIONS") == Some("true"),
    facts,
    source,
    audience_hint: "Forgejo mints for the audience that is asked for: look for what stands between",
};

fn facts(env: &Env, _: &Files) -> Vec<ObservedFact> {
    let mut seen = github::facts_of_the_run(env);
    // Its pages are named by the number of the run.
    seen.extend(github::address_of_the_run(env, "GITHUB_RUN_NUMBER"));
    seen
}

fn source(env: &Env, _: &Files) -> Result<TokenSource, IdentityError> {
    github::endpoint(env, NAME, |missing| {
        IdentityError::Misconfigured {
        platform: NAME,
        what: format!("expected `{missing}`, found none: this job may not ask for an identity").into(),
        hint: "add `enable-openid-connect: true` to the job (Forgejo 15 and its runner 12.5, or newer); on an older \
               server set `CLOUDANIX_OIDC_TOKEN_FILE`, or `CLOUDANIX_PLATFORM` to `none` for an agent with \
               `allow_auth_token_only`"
            .into(),
    }
    })
}
