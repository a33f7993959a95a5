//! What does a token of GitHub Actions say?

use domain::{Claims, TrustRule};
use protocol::Facts;

use super::{Found, Profile, Replay, fill, text};

pub(super) const PROFILE: Profile = Profile { facts, exceptions, replay: Replay::SingleUse };

pub(super) fn facts(claims: &Claims) -> Facts {
    let from = |template| fill(template, claims);
    Facts {
        repository: from("{repository}"),
        workflow: from("{workflow}"),
        run: from("{run_number}").or_else(|| from("{run_id}")),
        attempt: from("{run_attempt}"),
        job: from("{check_run_id}"),
        commit: from("{sha}"),
        git_ref: from("{ref}"),
        actor: from("{actor}"),
        environment: from("{environment}"),
        event: from("{event_name}"),
        url: web(claims)
            .and_then(|web| Some(format!("{web}{}", from("/{repository}/actions/runs/{run_id}")?))),
        ..Facts::default()
    }
}

/// Where people see the runs of this issuer: github.com, an enterprise on ghe.com, or a server of their own.
fn web(claims: &Claims) -> Option<String> {
    let issuer = text(claims, "iss")?;
    let host = issuer.strip_prefix("https://")?;
    let (host, path) = host.split_once('/').unwrap_or((host, ""));
    match host.strip_prefix("token.actions.") {
        Some("githubusercontent.com") => Some("https://github.com".to_owned()),
        Some(enterprise) => Some(format!("https://{enterprise}")),
        None => (path == "_services/token").then(|| format!("https://{host}")),
    }
}

/// No claim names the head repository of a pull request, so one from a fork looks like any other, and what
/// runs for `pull_request_target` may well check the fork's code out. All of them count as forks, and so does
/// a token that does not say what started the run. `workflow_run` and `issue_comment` run what is on the default
/// branch; a rule that wants to keep them out names `event_name`.
pub(super) fn exceptions(claims: &Claims, _: &TrustRule) -> Vec<Found> {
    let pull_ref = text(claims, "ref").filter(|git_ref| git_ref.starts_with("refs/pull/"));
    match text(claims, "event_name") {
        None => {
            Found::fork("the token's claim `event_name` is missing, so the run may be a fork's pull request")
        }
        Some(event) if event.starts_with("pull_request") => Found::fork(format!(
            "the token's claim `event_name` is `{event}`, and no claim tells a fork's pull request from another"
        )),
        Some(_) => match pull_ref {
            Some(git_ref) => Found::fork(format!(
                "the token's claim `ref` is `{git_ref}`, and no claim tells a fork's pull request from another"
            )),
            None => Vec::new(),
        },
    }
}
