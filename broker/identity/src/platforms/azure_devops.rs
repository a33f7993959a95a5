//! What does a token of Azure DevOps say? One for a service connection has only its `sub`; one for the
//! pipeline itself has the claims below.

use domain::{Claims, TrustRule};
use protocol::Facts;

use super::{Found, Profile, Replay, fill, text};

pub(super) const PROFILE: Profile = Profile { facts, exceptions, replay: Replay::SingleUse };

fn facts(claims: &Claims) -> Facts {
    let from = |template| fill(template, claims);
    Facts {
        repository: from("{rpo_uri}"),
        workflow: from("{def_id}"),
        run: from("{run_id}"),
        commit: from("{rpo_ver}"),
        git_ref: from("{rpo_ref}"),
        ..Facts::default()
    }
}

/// No claim tells a fork's pull request from another, so each of them counts as one.
fn exceptions(claims: &Claims, _: &TrustRule) -> Vec<Found> {
    match text(claims, "rpo_ref").filter(|git_ref| git_ref.starts_with("refs/pull/")) {
        Some(git_ref) => Found::fork(format!(
            "the token's claim `rpo_ref` is `{git_ref}`, and no claim tells a fork's pull request from another"
        )),
        None => Vec::new(),
    }
}
