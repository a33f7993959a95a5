//! The environment variables that the commands read and that `run` sets, beyond those of the library.

use jit_client::environment::{OUTPUT, SETTINGS, Var};

const AWS: &str = "AWS";
const CHILD: &str = "the command that `run` starts";

const fn open(read_by: &'static str, name: &'static str, about: &'static str) -> Var {
    Var::open(read_by, name, about)
}

const fn secret(read_by: &'static str, name: &'static str, about: &'static str) -> Var {
    Var::secret(read_by, name, about)
}

/// Every variable that only the commands read, in the order of the document.
pub(crate) const VARIABLES: &[Var] = &[
    open(
        SETTINGS,
        "CLOUDANIX_STATE",
        "The file in which `elevate` keeps the handle and `revoke` finds it, when `--state` is not given; `run` does not use it.",
    ),
    open(SETTINGS, "CLOUDANIX_GRANT_ID", "The grant for `revoke` and `status`, when none is named."),
    open(SETTINGS, "XDG_CONFIG_HOME", "The folder in which `login` saves its session, in `cloudanix-jit/`."),
    open(SETTINGS, "HOME", "When `XDG_CONFIG_HOME` is unset, the session is saved below its `.config`."),
    open(SETTINGS, "APPDATA", "The same on Windows."),
    open(AWS, "AWS_REGION", "When set, the grant's region is not set for the step."),
    open(AWS, "AWS_DEFAULT_REGION", "The same as `AWS_REGION`."),
    open(AWS, "AWS_CSM_ENABLED", "When set, the step's AWS calls go to another listener and are not logged."),
    open(AWS, "AWS_CSM_HOST", "The same as `AWS_CSM_ENABLED`."),
    open(AWS, "AWS_CSM_PORT", "The same as `AWS_CSM_ENABLED`."),
    open(AWS, "AWS_CSM_CLIENT_ID", "The same as `AWS_CSM_ENABLED`."),
    open(OUTPUT, "TERM", "`dumb` switches colour off."),
    open(OUTPUT, "NO_COLOR", "Any value switches colour off."),
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
        "The file to which `elevate --output github` writes variables for later steps.",
    ),
    open(
        OUTPUT,
        "GITHUB_OUTPUT",
        "The file to which `elevate --output github` writes the grant's id and deadline.",
    ),
];

/// The variables that `run` sets for the command that it starts.
pub(crate) const CHILD_VARIABLES: &[Var] = &[
    open(CHILD, "CLOUDANIX_GRANT_ID", "The grant, `elev-…`."),
    secret(CHILD, "CLOUDANIX_GRANT_TOKEN", "The credential of a grant for the `token` target: a signed JWT."),
    open(CHILD, "AWS_ACCESS_KEY_ID", "With a grant that gives an AWS session: its key's id."),
    secret(CHILD, "AWS_SECRET_ACCESS_KEY", "The secret key of that session."),
    secret(CHILD, "AWS_SESSION_TOKEN", "The token of that session."),
    open(
        CHILD,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "In place of these three, when the session ends before the grant: the endpoint that serves them.",
    ),
    secret(CHILD, "AWS_CONTAINER_AUTHORIZATION_TOKEN", "The token for that endpoint."),
    open(
        CHILD,
        "AWS_SHARED_CREDENTIALS_FILE",
        "An empty file with the endpoint, because a default profile would take precedence.",
    ),
    open(CHILD, "AWS_EC2_METADATA_DISABLED", "`true`, so that no SDK falls back to the machine's own role."),
    open(CHILD, "AWS_REGION", "The region of such a grant, where the registration names one."),
    open(CHILD, "AWS_DEFAULT_REGION", "The same as `AWS_REGION`."),
    open(
        CHILD,
        "AWS_CSM_ENABLED",
        "`true` with a grant for `aws`, and with `--observe`: SDKs report their calls.",
    ),
    open(CHILD, "AWS_CSM_HOST", "The address to which they report: loopback."),
    open(CHILD, "AWS_CSM_PORT", "The port to which they report."),
    open(
        CHILD,
        "AWS_CSM_CLIENT_ID",
        "The id of the grant for which they report; with `--observe` a random one.",
    ),
];
