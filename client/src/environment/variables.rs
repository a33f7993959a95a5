//! The environment variables that the library reads.

/// One environment variable.
#[derive(Debug)]
pub struct Var {
    /// The name as it is spelt.
    pub name: &'static str,
    /// The value is never printed.
    pub secret: bool,
    /// The part that reads it: a section of `docs/book/src/reference/environment.md`.
    pub read_by: &'static str,
    /// What the value means, for the person who sets it or wonders why it is read.
    pub about: &'static str,
}

impl Var {
    /// A variable with a value that may be printed.
    pub const fn open(read_by: &'static str, name: &'static str, about: &'static str) -> Self {
        Self { name, secret: false, read_by, about }
    }

    /// A variable with a secret value.
    pub const fn secret(read_by: &'static str, name: &'static str, about: &'static str) -> Self {
        Self { name, secret: true, read_by, about }
    }
}

/// The section of settings, which programs may add to.
pub const SETTINGS: &str = "Settings";
/// The section of output and temporary files, which programs may add to.
pub const OUTPUT: &str = "Output and temporary files";
const OVERRIDE: &str = "Identity: settings";
const NETWORK: &str = "Network";
const GITHUB: &str = "Identity: GitHub Actions";
const GITEA: &str = "Identity: Gitea and Forgejo Actions, with GitHub's variables";
const GITLAB: &str = "Identity: GitLab CI";
const BITBUCKET: &str = "Identity: Bitbucket Pipelines";
const CIRCLECI: &str = "Identity: CircleCI";
const JENKINS: &str = "Identity: Jenkins";
const BUILDKITE: &str = "Identity: Buildkite";
const AZURE: &str = "Identity: Azure DevOps";
const KUBERNETES: &str = "Identity: Kubernetes, Argo Workflows";

const fn open(read_by: &'static str, name: &'static str, about: &'static str) -> Var {
    Var::open(read_by, name, about)
}

const fn secret(read_by: &'static str, name: &'static str, about: &'static str) -> Var {
    Var::secret(read_by, name, about)
}

/// Every variable that the library reads, in the order of the document.
pub const VARIABLES: &[Var] = &[
    open(SETTINGS, "CLOUDANIX_URL", "The broker, like `https://jit.example.com`."),
    secret(SETTINGS, "CLOUDANIX_AUTH_TOKEN", "The agent's auth token, `cjat_…`."),
    open(
        SETTINGS,
        "CLOUDANIX_AUTH_TOKEN_FILE",
        "In its place, a file with it, which is removed once it is read, or a FIFO or descriptor (`/dev/fd/3`), which is read to its end.",
    ),
    open(SETTINGS, "CLOUDANIX_AGENT_ID", "The agent's id."),
    open(SETTINGS, "CLOUDANIX_AGENT_IDENTIFIER", "Another name for `CLOUDANIX_AGENT_ID`."),
    secret(
        SETTINGS,
        "CLOUDANIX_OPERATOR_TOKEN",
        "For the operator's commands (`agent …`); without it they use the session of `login`.",
    ),
    secret(OVERRIDE, "CLOUDANIX_OIDC_TOKEN", "The workload's OIDC token; replaces detection."),
    open(
        OVERRIDE,
        "CLOUDANIX_OIDC_TOKEN_FILE",
        "A file with the workload's OIDC token, read anew for each try; replaces detection.",
    ),
    open(OVERRIDE, "CLOUDANIX_AUDIENCE", "The audience of the token; `cloudanix-jit` when unset."),
    open(
        OVERRIDE,
        "CLOUDANIX_PLATFORM",
        "Pins the platform when two are found: `github`, `gitea`, `forgejo`, `gitlab`, `bitbucket`, `circleci`, `jenkins`, `buildkite`, `azure-devops`, `kubernetes`, or `none` to send no OIDC token.",
    ),
    secret(
        OVERRIDE,
        "CLOUDANIX_ID_TOKEN",
        "The OIDC token on GitLab and Jenkins, which set a variable of your choice.",
    ),
    open(
        OVERRIDE,
        "CLOUDANIX_OIDC_TOKEN_VARIABLE",
        "The variable that holds the token on GitLab and Jenkins, when it is not `CLOUDANIX_ID_TOKEN`.",
    ),
    open(NETWORK, "CLOUDANIX_CA_FILE", "PEM certificates to trust in addition to the built-in roots."),
    open(NETWORK, "SSL_CERT_FILE", "PEM certificates to trust in place of the built-in roots."),
    open(NETWORK, "HTTPS_PROXY", "The proxy for https addresses; also in lower case."),
    open(NETWORK, "https_proxy", "The same as `HTTPS_PROXY`."),
    open(
        NETWORK,
        "ALL_PROXY",
        "The proxy for https addresses when `HTTPS_PROXY` is unset; also in lower case.",
    ),
    open(NETWORK, "all_proxy", "The same as `ALL_PROXY`."),
    open(NETWORK, "NO_PROXY", "Hosts and networks that are reached without a proxy; also in lower case."),
    open(NETWORK, "no_proxy", "The same as `NO_PROXY`."),
    open(
        OUTPUT,
        "CI",
        "Set by most CI systems: output is a log, not a terminal, and unless it is `false` or `0`, `run` ends with the process that started it.",
    ),
    open(OUTPUT, "PATH", "Where the `circleci` program, and a script without a `#!` line, is looked for."),
    open(GITHUB, "GITHUB_ACTIONS", "`true` on GitHub Actions."),
    open(
        GITHUB,
        "ACTIONS_ID_TOKEN_REQUEST_URL",
        "Where a job with `id-token: write`, on Forgejo `enable-openid-connect: true`, requests its token.",
    ),
    secret(GITHUB, "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "The credential of that request."),
    secret(
        GITHUB,
        "ACTIONS_RUNTIME_TOKEN",
        "Not used; taken from the child, which could act as the job with it.",
    ),
    open(GITHUB, "GITHUB_REPOSITORY", "Fact: the repository."),
    open(GITHUB, "GITHUB_WORKFLOW", "Fact: the workflow's name."),
    open(GITHUB, "GITHUB_RUN_NUMBER", "Fact: the run's number."),
    open(GITHUB, "GITHUB_RUN_ID", "Part of the run's address."),
    open(GITHUB, "GITHUB_RUN_ATTEMPT", "Fact: which attempt of the run."),
    open(GITHUB, "GITHUB_JOB", "Fact: the job."),
    open(GITHUB, "GITHUB_ACTION", "Fact: the step."),
    open(GITHUB, "GITHUB_SHA", "Fact: the commit."),
    open(GITHUB, "GITHUB_REF", "Fact: the branch, tag or pull request."),
    open(GITHUB, "GITHUB_ACTOR", "Fact: who started it."),
    open(GITHUB, "GITHUB_EVENT_NAME", "Fact: what started it."),
    open(GITHUB, "GITHUB_SERVER_URL", "Part of the run's address."),
    open(GITEA, "GITEA_ACTIONS", "`true` on Gitea and on Forgejo."),
    open(GITEA, "FORGEJO_ACTIONS", "`true` on Forgejo."),
    open(GITLAB, "GITLAB_CI", "`true` on GitLab CI."),
    open(GITLAB, "CI_PROJECT_PATH", "Fact: the project."),
    open(GITLAB, "CI_PIPELINE_NAME", "Fact: the pipeline's name."),
    open(GITLAB, "CI_PIPELINE_ID", "Fact: the pipeline."),
    open(GITLAB, "CI_JOB_NAME", "Fact: the job."),
    open(GITLAB, "CI_JOB_URL", "Fact: the job's address."),
    open(GITLAB, "CI_COMMIT_SHA", "Fact: the commit."),
    open(GITLAB, "CI_COMMIT_REF_NAME", "Fact: the branch or tag."),
    open(GITLAB, "GITLAB_USER_LOGIN", "Fact: who started it."),
    open(GITLAB, "CI_ENVIRONMENT_NAME", "Fact: the deployment environment."),
    open(GITLAB, "CI_PIPELINE_SOURCE", "Fact: what started it."),
    open(BITBUCKET, "BITBUCKET_BUILD_NUMBER", "Set on Bitbucket Pipelines. Fact: the pipeline's number."),
    secret(BITBUCKET, "BITBUCKET_STEP_OIDC_TOKEN", "The step's token, there with `oidc:` in the step."),
    open(BITBUCKET, "BITBUCKET_REPO_FULL_NAME", "Fact: the repository."),
    open(BITBUCKET, "BITBUCKET_STEP_RUN_NUMBER", "Fact: which run of the step."),
    open(BITBUCKET, "BITBUCKET_STEP_UUID", "Fact: the step."),
    open(BITBUCKET, "BITBUCKET_COMMIT", "Fact: the commit."),
    open(BITBUCKET, "BITBUCKET_BRANCH", "Fact: the branch."),
    open(BITBUCKET, "BITBUCKET_TAG", "Fact: the tag."),
    open(BITBUCKET, "BITBUCKET_STEP_TRIGGERER_UUID", "Fact: who started it."),
    open(BITBUCKET, "BITBUCKET_DEPLOYMENT_ENVIRONMENT", "Fact: the deployment environment."),
    open(CIRCLECI, "CIRCLECI", "`true` on CircleCI."),
    secret(
        CIRCLECI,
        "CIRCLE_OIDC_TOKEN_V2",
        "The job's token for the organisation's audience; used when there is no `circleci` program.",
    ),
    secret(CIRCLECI, "CIRCLE_OIDC_TOKEN", "Not used; taken from the child."),
    open(CIRCLECI, "CIRCLE_PROJECT_USERNAME", "Fact: the owner in the repository's name."),
    open(CIRCLECI, "CIRCLE_PROJECT_REPONAME", "Fact: the repository."),
    open(CIRCLECI, "CIRCLE_WORKFLOW_ID", "Fact: the workflow."),
    open(CIRCLECI, "CIRCLE_BUILD_NUM", "Fact: the job's number."),
    open(CIRCLECI, "CIRCLE_JOB", "Fact: the job."),
    open(CIRCLECI, "CIRCLE_SHA1", "Fact: the commit."),
    open(CIRCLECI, "CIRCLE_BRANCH", "Fact: the branch."),
    open(CIRCLECI, "CIRCLE_TAG", "Fact: the tag."),
    open(CIRCLECI, "CIRCLE_USERNAME", "Fact: who started it."),
    open(CIRCLECI, "CIRCLE_BUILD_URL", "Fact: the job's address."),
    open(JENKINS, "JENKINS_URL", "With `BUILD_TAG`, says that this is Jenkins."),
    open(JENKINS, "BUILD_TAG", "With `JENKINS_URL`, says that this is Jenkins."),
    open(JENKINS, "GIT_URL", "Fact: the repository; a user name or password in it is left out."),
    open(JENKINS, "JOB_NAME", "Fact: the job."),
    open(JENKINS, "BUILD_NUMBER", "Fact: the build's number."),
    open(JENKINS, "STAGE_NAME", "Fact: the stage."),
    open(JENKINS, "GIT_COMMIT", "Fact: the commit."),
    open(JENKINS, "BRANCH_NAME", "Fact: the branch, in multibranch jobs."),
    open(JENKINS, "GIT_BRANCH", "Fact: the branch, in other jobs."),
    open(JENKINS, "BUILD_USER_ID", "Fact: who started it, where the plugin says so."),
    open(JENKINS, "BUILD_URL", "Fact: the build's address."),
    open(BUILDKITE, "BUILDKITE", "`true` on Buildkite."),
    open(BUILDKITE, "BUILDKITE_AGENT_ENDPOINT", "The endpoint of the job's token."),
    secret(BUILDKITE, "BUILDKITE_AGENT_ACCESS_TOKEN", "The credential of that request."),
    open(BUILDKITE, "BUILDKITE_JOB_ID", "The job of that request. Fact: the job, when it has no label."),
    open(BUILDKITE, "BUILDKITE_REPO", "Fact: the repository; a user name or password in it is left out."),
    open(BUILDKITE, "BUILDKITE_PIPELINE_SLUG", "Fact: the pipeline."),
    open(BUILDKITE, "BUILDKITE_BUILD_NUMBER", "Fact: the build's number."),
    open(BUILDKITE, "BUILDKITE_RETRY_COUNT", "Fact: how often the job was retried."),
    open(BUILDKITE, "BUILDKITE_LABEL", "Fact: the job's label."),
    open(BUILDKITE, "BUILDKITE_STEP_KEY", "Fact: the step."),
    open(BUILDKITE, "BUILDKITE_COMMIT", "Fact: the commit."),
    open(BUILDKITE, "BUILDKITE_BRANCH", "Fact: the branch."),
    open(BUILDKITE, "BUILDKITE_TAG", "Fact: the tag."),
    open(BUILDKITE, "BUILDKITE_BUILD_CREATOR", "Fact: who started it."),
    open(BUILDKITE, "BUILDKITE_SOURCE", "Fact: what started it."),
    open(BUILDKITE, "BUILDKITE_BUILD_URL", "Fact: the build's address."),
    open(AZURE, "TF_BUILD", "`True` on Azure DevOps."),
    open(AZURE, "SYSTEM_OIDCREQUESTURI", "The endpoint of the job's token."),
    secret(
        AZURE,
        "SYSTEM_ACCESSTOKEN",
        "The credential of that request; has to be mapped in the step's `env:`.",
    ),
    open(
        AZURE,
        "CLOUDANIX_AZURE_SERVICE_CONNECTION_ID",
        "Asks for the token of this service connection, not the pipeline's own.",
    ),
    open(AZURE, "BUILD_REPOSITORY_NAME", "Fact: the repository."),
    open(AZURE, "BUILD_DEFINITIONNAME", "Fact: the pipeline."),
    open(AZURE, "BUILD_BUILDNUMBER", "Fact: the run's number."),
    open(AZURE, "BUILD_BUILDID", "Part of the run's address. Fact: the run, when it has no number."),
    open(AZURE, "SYSTEM_JOBATTEMPT", "Fact: which attempt of the job."),
    open(AZURE, "SYSTEM_JOBDISPLAYNAME", "Fact: the job."),
    open(AZURE, "SYSTEM_TASKDISPLAYNAME", "Fact: the step."),
    open(AZURE, "BUILD_SOURCEVERSION", "Fact: the commit."),
    open(AZURE, "BUILD_SOURCEBRANCH", "Fact: the branch or tag."),
    open(AZURE, "BUILD_REQUESTEDFOR", "Fact: who started it."),
    open(AZURE, "ENVIRONMENT_NAME", "Fact: the deployment environment."),
    open(AZURE, "BUILD_REASON", "Fact: what started it."),
    open(AZURE, "SYSTEM_COLLECTIONURI", "Part of the run's address."),
    open(AZURE, "SYSTEM_TEAMPROJECT", "Part of the run's address."),
    open(KUBERNETES, "KUBERNETES_SERVICE_HOST", "Set in every pod."),
    open(KUBERNETES, "POD_NAME", "Fact: the pod, where the manifest sets it from `metadata.name`."),
    open(
        KUBERNETES,
        "POD_NAMESPACE",
        "Fact: the namespace, where the manifest sets it from `metadata.namespace`.",
    ),
    open(KUBERNETES, "HOSTNAME", "Fact: the pod, when `POD_NAME` is unset."),
    open(KUBERNETES, "ARGO_WORKFLOW_NAME", "Fact: the workflow, on Argo Workflows."),
    open(KUBERNETES, "ARGO_NODE_ID", "Fact: the step, on Argo Workflows."),
];
