//! Tokens of Buildkite.

use domain::{Claims, TrustRule};
use protocol::Facts;

use super::{Found, Profile, Replay, fill, text};

pub(super) const PROFILE: Profile =
    Profile { facts, exceptions, replay: Replay::SingleUse, run: &["{job_id}"] };

fn facts(claims: &Claims) -> Facts {
    let from = |template| fill(template, claims);
    Facts {
        repository: from("{organization_slug}/{pipeline_slug}"),
        workflow: from("{pipeline_slug}"),
        run: from("{build_number}"),
        job: from("{job_id}"),
        step: from("{step_key}"),
        commit: from("{build_commit}"),
        git_ref: from("{build_branch}").or_else(|| from("{build_tag}")),
        event: from("{build_source}"),
        url: from("https://buildkite.com/{organization_slug}/{pipeline_slug}/builds/{build_number}"),
        ..Facts::default()
    }
}

/// Builds of forks are off unless a pipeline turns them on, and no claim marks them. Where the pipeline prefixes
/// their branches, as it does unless told otherwise, they read `owner:branch`; a colon cannot be in the name of
/// a git branch. A rule for a pipeline that builds forks should name `build_branch`.
fn exceptions(claims: &Claims, _: &TrustRule) -> Vec<Found> {
    match text(claims, "build_branch").filter(|branch| branch.contains(':')) {
        Some(branch) => {
            Found::fork(format!("the token's claim `build_branch` is `{branch}`, a fork's branch"))
        }
        None => Vec::new(),
    }
}
