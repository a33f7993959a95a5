//! Tokens of GitLab CI.

use domain::{Claims, TrustRule};
use protocol::Facts;

use super::{Found, Profile, Replay, fill, text};

pub(super) const PROFILE: Profile = Profile {
    facts,
    exceptions,
    replay: Replay::OneJob("{pipeline_id}|{job_id}"),
    run: &["{pipeline_id}|{job_id}"],
};

fn facts(claims: &Claims) -> Facts {
    let from = |template| fill(template, claims);
    Facts {
        repository: from("{project_path}"),
        run: from("{pipeline_id}"),
        job: from("{job_id}"),
        commit: from("{sha}"),
        git_ref: from("{ref}"),
        actor: from("{user_login}"),
        environment: from("{environment}"),
        event: from("{pipeline_source}"),
        url: from("{iss}/{job_project_path}/-/pipelines/{pipeline_id}")
            .or_else(|| from("{iss}/{project_path}/-/pipelines/{pipeline_id}")),
        ..Facts::default()
    }
}

/// In newer versions `job_project_id` is where the job runs and `project_id` where its code comes from: they differ
/// for a fork's merge request only. Without it nothing tells them apart, so every merge request counts as one. A
/// child pipeline does not say that a merge request started it, but its `ref_path` does.
fn exceptions(claims: &Claims, _: &TrustRule) -> Vec<Found> {
    let (code, job) = (text(claims, "project_id"), text(claims, "job_project_id"));
    if let (Some(code), Some(job)) = (&code, &job) {
        return if code == job {
            Vec::new()
        } else {
            Found::fork(format!(
                "the token's claim `project_id` is `{code}`, and the job runs in project `{job}`"
            ))
        };
    }
    let merge_request = |name, is: fn(&str) -> bool| text(claims, name).filter(|value| is(value));
    let evidence = merge_request("pipeline_source", |source| {
        matches!(source, "merge_request_event" | "external_pull_request_event")
    })
    .map(|source| ("pipeline_source", source))
    .or_else(|| {
        merge_request("ref_path", |path| path.starts_with("refs/merge-requests/"))
            .map(|path| ("ref_path", path))
    });
    match evidence {
        Some((name, value)) => Found::fork(format!(
            "the token's claim `{name}` is `{value}`, and without `job_project_id` a fork's merge request looks like any other"
        )),
        None => Vec::new(),
    }
}
