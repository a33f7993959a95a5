//! Tokens of Azure DevOps: for a service connection with `sub` alone, for the pipeline itself with the claims below.

use domain::{Claims, Exception, TrustRule};
use protocol::Facts;

use super::{Found, Profile, Replay, fill, text};

pub(super) const PROFILE: Profile =
    Profile { facts, exceptions, replay: Replay::SingleUse, run: &["{def_id}|{run_id}"] };

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

/// No claim tells a fork's pull request from another, so each of them counts as one. A service connection's token does
/// not say which run asked for it, so that it may be a fork's as well.
fn exceptions(claims: &Claims, _: &TrustRule) -> Vec<Found> {
    match text(claims, "rpo_ref") {
        Some(git_ref) if git_ref.starts_with("refs/pull/") => Found::fork(format!(
            "the token's claim `rpo_ref` is `{git_ref}`, and no claim tells a fork's pull request from another"
        )),
        Some(_) => Vec::new(),
        None => vec![Found {
            exception: Exception::ServiceConnections,
            evidence: "the token's claim `rpo_ref` is missing, as in a service connection's tokens, so the run may be a \
                       fork's pull request"
                .to_owned(),
        }],
    }
}
