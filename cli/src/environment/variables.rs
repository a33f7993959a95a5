//! Which environment variables are read, by whom, and what for?

/// One environment variable.
#[derive(Debug)]
pub(crate) struct Var {
    /// As it is spelt.
    pub(crate) name: &'static str,
    /// Its value is never printed.
    pub(crate) secret: bool,
    /// Which part reads it; the sections of `docs/book/src/reference/environment.md`.
    pub(crate) read_by: &'static str,
    /// What it is, for the person who sets it or wonders why it is read.
    pub(crate) about: &'static str,
}

const SETTINGS: &str = "Settings";
const OVERRIDE: &str = "Identity: settings";
const NETWORK: &str = "Network";
const OUTPUT: &str = "Output and temporary files";
const GITHUB: &str = "Identity: GitHub Actions";
const GITEA: &str = "Identity: Gitea and Forgejo Actions, with GitHub's variables";
const GITLAB: &str = "Identity: GitLab CI";
const BITBUCKET: &str = "Identity: Bitbucket Pipelines";
const CIRCLECI: &str = "Identity: CircleCI";
const JENKINS: &str = "Identity: Jenkins";
const BUILDKITE: &str = "Identity: Buildkite";
const AZURE: &str = "Identity: Azure DevOps";
const AWS: &str = "AWS";
const KUBERNETES: &str = "Identity: Kubernetes, Argo Workflows";
const CHILD: &str = "the command that `run` starts";

const fn open(read_by: &'static str, name: &'static str, about: &'static str) -> Var {
    Var { name, secret: false, read_by, about }
}

const fn secret(read_by: &'static str, name: &'static str, about: &'static str) -> Var {
    Var { name, secret: true, read_by, about }
}

/// Everything that is read, in the order of the document.
pub(crate) const VARIABLES: &[Var] = &[
    open(SETTINGS, "CLOUDANIX_URL", "The broker, like `https://jit.example.com`."),
    secret(SETTINGS, "CLOUDANIX_AUTH_TOKEN", "The agent's auth token, `cjat_…`."),
    open(
        SETTINGS,
        "CLOUDANIX_AUTH_TOKEN_FILE",
        "In its place, a file with it, which is removed once it is read, or a FIFO or descriptor (`/dev/fd/3`), which is read to its end.",
    ),
    open(SETTINGS, "CLOUDANIX_AGENT_ID", "The agent to be."),
    open(SETTINGS, "CLOUDANIX_AGENT_IDENTIFIER", "Another name for `CLOUDANIX_AGENT_ID`."),
    secret(SETTINGS, "CLOUDANIX_OPERATOR_TOKEN", "For the operator's commands (`agent …`)."),
    open(
        SETTINGS,
        "CLOUDANIX_STATE",
        "The file in which `elevate` keeps the handle and `revoke` finds it, when `--state` is not given; `run` does not use it.",
    ),
    open(SETTINGS, "CLOUDANIX_GRANT_ID", "The grant for `revoke` and `status`, when none is named."),
    secret(OVERRIDE, "CLOUDANIX_OIDC_TOKEN", "The workload's OIDC token; replaces detection."),
    open(
        OVERRIDE,
        "CLOUDANIX_OIDC_TOKEN_FILE",
        "A file with the workload's OIDC token, read anew for each try; replaces detection.",
    ),
    open(
        OVERRIDE,
        "CLOUDANIX_AUDIENCE",
        "The audience that the token is asked for and checked against; `cloudanix-jit` when unset.",
    ),
    open(
        OVERRIDE,
        "CLOUDANIX_PLATFORM",
        "Pins the platform when two are found: `github`, `gitea`, `forgejo`, `gitlab`, `bitbucket`, `circleci`, `jenkins`, `buildkite`, `azure-devops`, `kubernetes`, or `none` to send no OIDC token.",
    ),
    secret(
        OVERRIDE,
        "CLOUDANIX_ID_TOKEN",
        "The OIDC token on GitLab and Jenkins, which put it into a variable of your choice.",
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
    open(AWS, "AWS_REGION", "When set, the region that a grant names is not handed out."),
    open(AWS, "AWS_DEFAULT_REGION", "The same as `AWS_REGION`."),
    open(AWS, "AWS_CSM_ENABLED", "When set, the step's AWS calls are somebody else's to watch."),
    open(AWS, "AWS_CSM_HOST", "The same as `AWS_CSM_ENABLED`."),
    open(AWS, "AWS_CSM_PORT", "The same as `AWS_CSM_ENABLED`."),
    open(AWS, "AWS_CSM_CLIENT_ID", "The same as `AWS_CSM_ENABLED`."),
    open(OUTPUT, "TERM", "`dumb` switches colour off."),
    open(
        OUTPUT,
        "CI",
        "Set by most CI systems: output is a log, not a terminal, and unless it is `false` or `0`, `run` ends with the process that started it.",
    ),
    open(OUTPUT, "NO_COLOR", "Any value switches colour off."),
    open(OUTPUT, "PATH", "Where the `circleci` program, and a script without a `#!` line, is looked for."),
    open(OUTPUT, "RUNNER_TEMP", "GitHub's temporary folder: the handle of a grant is saved there."),
    open(
        OUTPUT,
        "AGENT_TEMPDIRECTORY",
        "Azure DevOps' temporary folder: the handle of a grant is saved there.",
    ),
    open(OUTPUT, "WORKSPACE_TMP", "Jenkins' temporary folder: the handle of a grant is saved there."),
    open(OUTPUT, "TMPDIR", "The temporary folder, when the platform has none of its own."),
    open(OUTPUT, "TEMP", "The temporary folder on Windows."),
    open(OUTPUT, "TMP", "The temporary folder on Windows, when `TEMP` is unset."),
    open(
        OUTPUT,
        "GITHUB_ENV",
        "The file through which `elevate --output github` hands variables to later steps.",
    ),
    open(
        OUTPUT,
        "GITHUB_OUTPUT",
        "The file through which `elevate --output github` hands out the grant's id and deadline.",
    ),
    open(GITHUB, "GITHUB_ACTIONS", "`true` on GitHub Actions."),
    open(
        GITHUB,
        "ACTIONS_ID_TOKEN_REQUEST_URL",
        "Where a job with `id-token: write`, on Forgejo `enable-openid-connect: true`, asks for its token.",
    ),
    secret(GITHUB, "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "With what it asks."),
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
    open(BUILDKITE, "BUILDKITE_AGENT_ENDPOINT", "Where the job asks for its token."),
    secret(BUILDKITE, "BUILDKITE_AGENT_ACCESS_TOKEN", "With what it asks."),
    open(BUILDKITE, "BUILDKITE_JOB_ID", "For which job it asks. Fact: the job, when it has no label."),
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
    open(AZURE, "SYSTEM_OIDCREQUESTURI", "Where the job asks for its token."),
    secret(AZURE, "SYSTEM_ACCESSTOKEN", "With what it asks; has to be mapped in the step's `env:`."),
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

/// What `run` sets for the command that it starts.
pub(crate) const CHILD_VARIABLES: &[Var] = &[
    open(CHILD, "CLOUDANIX_GRANT_ID", "The grant, `elev-…`."),
    secret(CHILD, "CLOUDANIX_GRANT_TOKEN", "The credential of a grant for the `token` target: a signed JWT."),
    open(CHILD, "AWS_ACCESS_KEY_ID", "With a grant that gives an AWS session: its key's id."),
    secret(CHILD, "AWS_SECRET_ACCESS_KEY", "The secret key of that session."),
    secret(CHILD, "AWS_SESSION_TOKEN", "The token of that session."),
    open(
        CHILD,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "In place of these three, when the session ends before the grant: where they are fetched.",
    ),
    secret(CHILD, "AWS_CONTAINER_AUTHORIZATION_TOKEN", "With what they are fetched there."),
    open(
        CHILD,
        "AWS_SHARED_CREDENTIALS_FILE",
        "An empty file when they are fetched, because a default profile would go first.",
    ),
    open(
        CHILD,
        "AWS_EC2_METADATA_DISABLED",
        "`true`, so that nothing falls back to what the machine itself may do.",
    ),
    open(CHILD, "AWS_REGION", "The region of such a grant, where the registration names one."),
    open(CHILD, "AWS_DEFAULT_REGION", "The same as `AWS_REGION`."),
    open(CHILD, "AWS_CSM_ENABLED", "`true` with a grant for `aws`: its SDKs tell which calls they make."),
    open(CHILD, "AWS_CSM_HOST", "Whom they tell: this machine, at its loopback address."),
    open(CHILD, "AWS_CSM_PORT", "Whom they tell: the `run` that started them."),
    open(CHILD, "AWS_CSM_CLIENT_ID", "For which grant they tell it: its id."),
];
