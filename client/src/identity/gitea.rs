//! Gitea Actions: GitHub's variables and endpoint, where the server has one. Up to 1.26 none has.

use super::error::IdentityError;
use super::facts::ObservedFact;
use super::files::Files;
use super::github;
use super::token_source::TokenSource;
use super::{Layer, Platform};
use crate::environment::Env;

const NAME: &str = "gitea";

pub(super) const PLATFORM: Platform = Platform {
    name: NAME,
    marker: "`GITEA_ACTIONS=true`",
    layer: Layer::Ci,
    // Forgejo's runner sets both.
    is_present: |env, _| {
        env.get("GITEA_ACTIONS") == Some("true") && env.get("FORGEJO_ACTIONS") != Some("true")
    },
    facts,
    source,
    audience_hint: "the server mints for the audience that is asked for: look for what stands between",
};

fn facts(env: &Env, _: &Files) -> Vec<ObservedFact> {
    let mut seen = github::facts_of_the_run(env);
    seen.extend(github::address_of_the_run(env, "GITHUB_RUN_ID"));
    seen
}

fn source(env: &Env, _: &Files) -> Result<TokenSource, IdentityError> {
    github::endpoint(env, NAME, |missing| IdentityError::NoIssuer {
        platform: NAME,
        missing,
        hint: "set `CLOUDANIX_OIDC_TOKEN_FILE` to a token of an issuer that the agent trusts, or register an agent \
               with `allow_auth_token_only` (see docs/book/src/operate/agents.md, \"Platforms without OIDC\")",
    })
}
