//! CircleCI: the `circleci` program mints a token for the broker's audience; without it there is a token for the
//! organisation's.

use protocol::Secret;

use super::error::IdentityError;
use super::facts::{self, Fact, ObservedFact};
use super::files::{Files, program};
use super::token_source::TokenSource;
use super::{Layer, Platform};
use crate::environment::Env;

const NAME: &str = "circleci";
const TOKEN: &str = "CIRCLE_OIDC_TOKEN_V2";

pub(super) const PLATFORM: Platform = Platform {
    name: NAME,
    marker: "`CIRCLECI=true`",
    layer: Layer::Ci,
    is_present: |env, _| env.get("CIRCLECI") == Some("true"),
    facts,
    source,
    audience_hint: "only the `circleci` program mints for a chosen audience and it is not on `PATH`: put it there, or \
                    name the organisation's audience in the agent's trust rule and in `CLOUDANIX_AUDIENCE`",
};

fn facts(env: &Env, _: &Files) -> Vec<ObservedFact> {
    let mut seen = facts::from_variables(
        env,
        &[
            (Fact::Workflow, &["CIRCLE_WORKFLOW_ID"]),
            (Fact::Run, &["CIRCLE_BUILD_NUM"]),
            (Fact::Job, &["CIRCLE_JOB"]),
            (Fact::Commit, &["CIRCLE_SHA1"]),
            (Fact::GitRef, &["CIRCLE_BRANCH", "CIRCLE_TAG"]),
            (Fact::Actor, &["CIRCLE_USERNAME"]),
            (Fact::Url, &["CIRCLE_BUILD_URL"]),
        ],
    );
    if let (Some(owner), Some(name)) =
        (env.get("CIRCLE_PROJECT_USERNAME"), env.get("CIRCLE_PROJECT_REPONAME"))
    {
        let from = "CIRCLE_PROJECT_USERNAME, CIRCLE_PROJECT_REPONAME";
        seen.push(ObservedFact::made(Fact::Repository, format!("{owner}/{name}"), from));
    }
    seen
}

fn source(env: &Env, _: &Files) -> Result<TokenSource, IdentityError> {
    if let Some(program) = env.get("PATH").and_then(|path| program(path, "circleci")) {
        return Ok(TokenSource::CircleCi(program));
    }
    let token = env.get(TOKEN).ok_or_else(|| IdentityError::Misconfigured {
        platform: NAME,
        what: format!("expected the program `circleci` on `PATH` or a token in `{TOKEN}`, found neither").into(),
        hint: "give the job at least one context (`context:` in the workflow), without which CircleCI may hand out \
               no token; inside a container of your own, pass the variable on"
            .into(),
    })?;
    Ok(TokenSource::Variable { name: TOKEN.to_owned(), token: Secret::new(token) })
}
