//! Was this token made by a CI system although its rule says that it was not?
//!
//! A rule with `platform = "oidc"` knows nothing of forks and of reruns. The tokens of a CI system that is registered
//! like that would all be accepted, so the claims that only such a system makes are looked for.

use domain::Claims;
use protocol::Platform;

use super::text;

/// The claims that mark a system, all of them together. Gitea and Forgejo copy GitHub's.
const MARKERS: &[(Platform, &[&str])] = &[
    (Platform::Github, &["event_name", "repository"]),
    (Platform::Github, &["job_workflow_ref"]),
    (Platform::Gitlab, &["pipeline_source", "project_path"]),
    (Platform::Gitlab, &["pipeline_id", "project_path"]),
    (Platform::Bitbucket, &["pipelineUuid", "repositoryUuid"]),
    (Platform::Circleci, &["oidc.circleci.com/project-id"]),
    (Platform::Buildkite, &["organization_slug", "pipeline_slug"]),
    (Platform::AzureDevops, &["rpo_ref"]),
    (Platform::Jenkins, &["change_id"]),
    (Platform::Jenkins, &["change_fork"]),
];

/// A CI system, and the claims that mark it.
pub(super) struct Foreign {
    pub(super) platform: Platform,
    pub(super) claims: &'static [&'static str],
}

/// The CI system that made the token, if the rule's platform is none.
pub(super) fn detect(rule: Platform, claims: &Claims) -> Option<Foreign> {
    match rule {
        Platform::Oidc | Platform::Kubernetes | Platform::Gcp => MARKERS
            .iter()
            .find(|(_, names)| names.iter().all(|name| text(claims, name).is_some()))
            .map(|(platform, names)| Foreign { platform: *platform, claims: names }),
        // Their own rules for forks apply.
        Platform::Github
        | Platform::Forgejo
        | Platform::Gitlab
        | Platform::Bitbucket
        | Platform::Circleci
        | Platform::Jenkins
        | Platform::Buildkite
        | Platform::AzureDevops => None,
    }
}
