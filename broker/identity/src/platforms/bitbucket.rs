//! Tokens of Bitbucket Pipelines.

use protocol::Facts;

use domain::Claims;

use super::{Profile, Replay, fill};

/// A fork's pipelines run in the fork and have its `repositoryUuid`, so there is no exception to look for.
pub(super) const PROFILE: Profile = Profile {
    facts,
    exceptions: |_, _| Vec::new(),
    replay: Replay::OneJob("{pipelineUuid}|{stepUuid}"),
    run: &["{pipelineUuid}|{stepUuid}"],
};

fn facts(claims: &Claims) -> Facts {
    let from = |template| fill(template, claims);
    Facts {
        repository: from("{repositoryUuid}"),
        run: from("{pipelineUuid}"),
        step: from("{stepUuid}"),
        git_ref: from("{branchName}"),
        actor: from("{accountUuid}"),
        environment: from("{deploymentEnvironmentUuid}"),
        ..Facts::default()
    }
}
