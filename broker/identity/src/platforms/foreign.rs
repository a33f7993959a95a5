//! Detects tokens of a CI system under a rule for another platform.
//!
//! A rule with `platform = "oidc"` has no checks for forks and reruns, and would accept all tokens of a CI system. So
//! tokens with claims that only a CI system makes are refused there.

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

/// The CI system that issued the token, if the rule's platform is no CI system.
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
