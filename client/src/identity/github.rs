//! GitHub Actions: the job requests a token from GitHub, if its workflow permits it.

use protocol::Secret;
use reqwest::Method;

use super::endpoint::{Audience, TokenEndpoint, address};
use super::error::IdentityError;
use super::facts::{self, Fact, ObservedFact};
use super::files::Files;
use super::token_source::TokenSource;
use super::{Layer, Platform};
use crate::environment::Env;

const NAME: &str = "github";

pub(super) const PLATFORM: Platform = Platform {
    name: NAME,
    marker: "`GITHUB_ACTIONS=true` without `GITEA_ACTIONS` and `FORGEJO_ACTIONS`",
    layer: Layer::Ci,
    // Gitea and Forgejo set it too.
    is_present: |env, _| {
        env.get("GITHUB_ACTIONS") == Some("true")
            && ["GITEA_ACTIONS", "FORGEJO_ACTIONS"].iter().all(|name| env.get(name) != Some("true"))
    },
    facts,
    source,
    audience_hint: "GitHub mints for the audience that is asked for: look for what stands between",
};

fn facts(env: &Env, _: &Files) -> Vec<ObservedFact> {
    let mut seen = facts_of_the_run(env);
    seen.extend(address_of_the_run(env, "GITHUB_RUN_ID").map(|address| {
        let attempt = env.get("GITHUB_RUN_ATTEMPT").map(|n| format!("/attempts/{n}")).unwrap_or_default();
        ObservedFact::made(Fact::Url, address.value + &attempt, &address.from)
    }));
    seen
}

/// The facts in the variables that GitHub, Gitea and Forgejo share.
pub(super) fn facts_of_the_run(env: &Env) -> Vec<ObservedFact> {
    facts::from_variables(
        env,
        &[
            (Fact::Repository, &["GITHUB_REPOSITORY"]),
            (Fact::Workflow, &["GITHUB_WORKFLOW"]),
            (Fact::Run, &["GITHUB_RUN_NUMBER", "GITHUB_RUN_ID"]),
            (Fact::Attempt, &["GITHUB_RUN_ATTEMPT"]),
            (Fact::Job, &["GITHUB_JOB"]),
            (Fact::Step, &["GITHUB_ACTION"]),
            (Fact::Commit, &["GITHUB_SHA"]),
            (Fact::GitRef, &["GITHUB_REF"]),
            (Fact::Actor, &["GITHUB_ACTOR"]),
            (Fact::Event, &["GITHUB_EVENT_NAME"]),
        ],
    )
}

/// The page of the run; `run_variable` is the variable by which the server's pages name a run.
pub(super) fn address_of_the_run(env: &Env, run_variable: &str) -> Option<ObservedFact> {
    let (server, repository) = (env.get("GITHUB_SERVER_URL")?, env.get("GITHUB_REPOSITORY")?);
    let url = format!("{server}/{repository}/actions/runs/{}", env.get(run_variable)?);
    Some(ObservedFact::made(Fact::Url, url, &format!("GITHUB_SERVER_URL, GITHUB_REPOSITORY, {run_variable}")))
}

fn source(env: &Env, _: &Files) -> Result<TokenSource, IdentityError> {
    endpoint(env, NAME, |missing| IdentityError::Misconfigured {
        platform: NAME,
        what: format!("expected `{missing}`, found none: this job may not ask for an identity").into(),
        hint: hint(env.get("GITHUB_EVENT_NAME")).into(),
    })
}

/// The endpoint for the job's token, as GitHub names it; `absent` is the error for a variable that is not set.
pub(super) fn endpoint(
    env: &Env,
    platform: &'static str,
    absent: impl FnOnce(&'static str) -> IdentityError,
) -> Result<TokenSource, IdentityError> {
    let endpoint = (env.get("ACTIONS_ID_TOKEN_REQUEST_URL"), env.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN"));
    let (Some(url), Some(credential)) = endpoint else {
        return Err(absent(match endpoint {
            (None, _) => "ACTIONS_ID_TOKEN_REQUEST_URL",
            (Some(_), _) => "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
        }));
    };
    Ok(TokenSource::Endpoint(Box::new(TokenEndpoint {
        method: Method::GET,
        url: address(platform, "ACTIONS_ID_TOKEN_REQUEST_URL", url)?,
        scheme: "Bearer",
        credential: Secret::new(credential),
        headers: &[],
        audience: Audience::Query,
        field: "value",
        shown: "GET $ACTIONS_ID_TOKEN_REQUEST_URL",
        refusal_hint: "the job's credential for this is valid while the job runs: use it in the same job",
    })))
}

fn hint(event: Option<&str>) -> &'static str {
    match event {
        Some("pull_request" | "pull_request_review" | "pull_request_review_comment") => {
            "if this pull request comes from a fork, GitHub gives it no identity, whatever the workflow says: \
             run the step after the merge; if it does not, add `permissions: { id-token: write, contents: read }` to the job"
        }
        _ => {
            "add to the job, or to the whole workflow, `permissions: { id-token: write, contents: read }`; a reusable \
             workflow needs it in the calling workflow too"
        }
    }
}
