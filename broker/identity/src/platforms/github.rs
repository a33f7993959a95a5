//! Tokens of GitHub Actions.

use domain::{Claims, Exception, TrustRule};
use protocol::Facts;

use super::{Found, Profile, Replay, fill, text};

/// A server whose tokens do not name the job has its run and attempt.
pub(super) const PROFILE: Profile = Profile {
    facts,
    exceptions,
    replay: Replay::SingleUse,
    run: &["{run_id}|{run_attempt}|{check_run_id}", "{run_id}|{run_attempt}"],
};

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

/// The web address of the issuer's runs: github.com, ghe.com, or a GitHub Enterprise Server.
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

/// Events that only a person or a token with write access starts, or no person at all (`schedule`).
const INSIDERS: &[&str] = &[
    "branch_protection_rule",
    "create",
    "delete",
    "deployment",
    "deployment_status",
    "merge_group",
    "public",
    "push",
    "registry_package",
    "release",
    "repository_dispatch",
    "schedule",
    "workflow_dispatch",
];

/// No claim names the head repository of a pull request, so one from a fork looks like any other, and what
/// runs for `pull_request_target` may well check the fork's code out. All of them count as forks, and so does
/// a token that does not say what started the run. Other events run what is on the default branch, and with its ref,
/// when an outsider comments, opens an issue or has a pull request checked: their steps may read the outsider's text.
pub(super) fn exceptions(claims: &Claims, _: &TrustRule) -> Vec<Found> {
    let Some(event) = text(claims, "event_name") else {
        return Found::fork(
            "the token's claim `event_name` is missing, so the run may be a fork's pull request",
        );
    };
    if event.starts_with("pull_request") {
        return Found::fork(format!(
            "the token's claim `event_name` is `{event}`, and no claim tells a fork's pull request from another"
        ));
    }
    let mut found = match text(claims, "ref").filter(|git_ref| git_ref.starts_with("refs/pull/")) {
        Some(git_ref) => Found::fork(format!(
            "the token's claim `ref` is `{git_ref}`, and no claim tells a fork's pull request from another"
        )),
        None => Vec::new(),
    };
    let exception = match event.as_str() {
        event if INSIDERS.contains(&event) => return found,
        "workflow_run" => Exception::WorkflowRun,
        "issue_comment" => Exception::IssueComment,
        _ => Exception::OutsiderEvents,
    };
    let evidence = format!(
        "the token's claim `event_name` is `{}`, and a person without write access can start such a run",
        super::presentable(&event)
    );
    found.push(Found { exception, evidence });
    found
}
