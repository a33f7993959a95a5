//! What a trust rule needs for the runs of each platform.

/// A claim that rules of a platform name.
pub(super) struct Claim {
    pub(super) name: &'static str,
    pub(super) example: &'static str,
}

/// The template of a trust rule.
pub(super) struct Template {
    /// As a registration names it.
    pub(super) platform: &'static str,
    pub(super) label: &'static str,
    /// The issuer of every customer; empty if each has its own.
    pub(super) issuer: &'static str,
    pub(super) issuer_example: &'static str,
    pub(super) audience: &'static str,
    pub(super) claims: &'static [Claim],
}

/// What jobs request by default.
const AUDIENCE: &str = "cloudanix-jit";

const fn claim(name: &'static str, example: &'static str) -> Claim {
    Claim { name, example }
}

pub(super) const TEMPLATES: [Template; 11] = [
    Template {
        platform: "github",
        label: "GitHub Actions",
        issuer: "https://token.actions.githubusercontent.com",
        issuer_example: "https://token.actions.githubusercontent.com",
        audience: AUDIENCE,
        claims: &[
            claim("repository_id", "81234567"),
            claim("repository", "octo-org/my-app"),
            claim("ref", "refs/heads/main"),
            claim("environment", "production"),
        ],
    },
    Template {
        platform: "gitlab",
        label: "GitLab CI",
        issuer: "https://gitlab.com",
        issuer_example: "https://gitlab.example.com",
        audience: AUDIENCE,
        claims: &[
            claim("project_id", "4711"),
            claim("project_path", "octo/my-app"),
            claim("ref_type", "branch"),
            claim("ref", "main"),
            claim("ref_protected", "true"),
        ],
    },
    Template {
        platform: "jenkins",
        label: "Jenkins",
        issuer: "",
        issuer_example: "https://jenkins.example.com/oidc",
        audience: AUDIENCE,
        claims: &[claim("sub", "https://jenkins.example.com/job/my-app/job/main/")],
    },
    Template {
        platform: "bitbucket",
        label: "Bitbucket Pipelines",
        issuer: "",
        issuer_example: "https://api.bitbucket.org/2.0/workspaces/WORKSPACE/pipelines-config/identity/oidc",
        audience: AUDIENCE,
        claims: &[
            claim("repositoryUuid", "{REPOSITORY_UUID}"),
            claim("branchName", "main"),
            claim("deploymentEnvironmentUuid", "{ENVIRONMENT_UUID}"),
        ],
    },
    Template {
        platform: "circleci",
        label: "CircleCI",
        issuer: "",
        issuer_example: "https://oidc.circleci.com/org/ORGANISATION_ID",
        audience: AUDIENCE,
        claims: &[
            claim("oidc.circleci.com/project-id", "PROJECT_ID"),
            claim("oidc.circleci.com/vcs-origin", "github.com/octo/orders"),
            claim("oidc.circleci.com/vcs-ref", "refs/heads/main"),
        ],
    },
    Template {
        platform: "kubernetes",
        label: "Kubernetes",
        issuer: "",
        issuer_example: "https://oidc.eks.eu-west-1.amazonaws.com/id/CLUSTER_ID",
        audience: AUDIENCE,
        claims: &[claim("sub", "system:serviceaccount:shop:web")],
    },
    Template {
        platform: "buildkite",
        label: "Buildkite",
        issuer: "https://agent.buildkite.com",
        issuer_example: "https://agent.buildkite.com",
        audience: AUDIENCE,
        claims: &[
            claim("organization_id", "ORGANISATION_ID"),
            claim("pipeline_id", "PIPELINE_ID"),
            claim("build_branch", "main"),
        ],
    },
    Template {
        platform: "azure-devops",
        label: "Azure DevOps",
        issuer: "",
        issuer_example: "https://vstoken.dev.azure.com/ORGANISATION_ID",
        audience: "api://AzureADTokenExchange",
        claims: &[claim("sub", "p://octo/orders/deploy"), claim("rpo_ref", "refs/heads/main")],
    },
    Template {
        platform: "forgejo",
        label: "Forgejo",
        issuer: "",
        issuer_example: "https://codeberg.org/api/actions",
        audience: AUDIENCE,
        claims: &[claim("repository", "octo/my-app"), claim("ref", "refs/heads/main")],
    },
    Template {
        platform: "gcp",
        label: "Google Cloud",
        issuer: "https://accounts.google.com",
        issuer_example: "https://accounts.google.com",
        audience: AUDIENCE,
        claims: &[claim("email", "orders@my-project.iam.gserviceaccount.com")],
    },
    Template {
        platform: "oidc",
        label: "Another OIDC issuer",
        issuer: "",
        issuer_example: "https://issuer.example.com",
        audience: AUDIENCE,
        claims: &[claim("sub", "orders-deploy")],
    },
];

/// The template of a platform; of the first one if it is not known.
pub(super) fn template(platform: &str) -> &'static Template {
    let [first, ..] = &TEMPLATES;
    TEMPLATES.iter().find(|template| template.platform == platform).unwrap_or(first)
}
