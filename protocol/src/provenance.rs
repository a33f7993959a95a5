//! Where a request came from: facts that the issuer signed, apart from facts that the client reports.

use serde::{Deserialize, Serialize};

/// The proof that the workload is the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Trust {
    /// An OIDC token that a trust rule accepts, and the auth token.
    #[default]
    Oidc,
    /// The auth token alone, allowed by `dangerous` in the registration.
    AuthTokenOnly,
    /// No workload: a person took the grant in an emergency.
    BreakGlass,
}

impl Trust {
    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Oidc => "oidc",
            Self::AuthTokenOnly => "auth-token-only",
            Self::BreakGlass => "break-glass",
        }
    }
}

/// The kind of system whose identity a workload presents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Platform {
    /// GitHub Actions, github.com and Enterprise.
    Github,
    /// Forgejo Actions.
    Forgejo,
    /// GitLab CI, gitlab.com and self-managed.
    Gitlab,
    /// Bitbucket Pipelines.
    Bitbucket,
    /// CircleCI.
    Circleci,
    /// Jenkins with the oidc-provider plugin.
    Jenkins,
    /// Buildkite.
    Buildkite,
    /// Azure DevOps pipelines.
    AzureDevops,
    /// A Kubernetes service account's projected token (Argo and Tekton among them).
    Kubernetes,
    /// Google Cloud's instance identity.
    Gcp,
    /// Any other issuer that follows OIDC discovery.
    Oidc,
}

impl Platform {
    /// Every platform.
    pub const ALL: &'static [Self] = &[
        Self::Github,
        Self::Forgejo,
        Self::Gitlab,
        Self::Bitbucket,
        Self::Circleci,
        Self::Jenkins,
        Self::Buildkite,
        Self::AzureDevops,
        Self::Kubernetes,
        Self::Gcp,
        Self::Oidc,
    ];

    /// As it is written in registrations and provenance.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Forgejo => "forgejo",
            Self::Gitlab => "gitlab",
            Self::Bitbucket => "bitbucket",
            Self::Circleci => "circleci",
            Self::Jenkins => "jenkins",
            Self::Buildkite => "buildkite",
            Self::AzureDevops => "azure-devops",
            Self::Kubernetes => "kubernetes",
            Self::Gcp => "gcp",
            Self::Oidc => "oidc",
        }
    }
}

/// Facts about one run, under the same names for every platform.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Facts {
    /// The repository or project: `octo-org/my-app`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The workflow, pipeline or job name: `deploy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// The run, pipeline or build: its number if it has one, otherwise its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The attempt of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<String>,
    /// The job in the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The step in the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The branch, tag or ref.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<String>,
    /// The account that started the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The deployment environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The event that started the run: `push`, `schedule`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// The pod, as `namespace/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The web page of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl Facts {
    /// The names of all facts, in the order of [`Self::iter`].
    pub const NAMES: &'static [&'static str] = &[
        "repository",
        "workflow",
        "run",
        "attempt",
        "job",
        "step",
        "commit",
        "ref",
        "actor",
        "environment",
        "event",
        "pod",
        "url",
    ];

    /// Every fact that is there, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("repository", &self.repository),
            ("workflow", &self.workflow),
            ("run", &self.run),
            ("attempt", &self.attempt),
            ("job", &self.job),
            ("step", &self.step),
            ("commit", &self.commit),
            ("ref", &self.git_ref),
            ("actor", &self.actor),
            ("environment", &self.environment),
            ("event", &self.event),
            ("pod", &self.pod),
            ("url", &self.url),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.as_deref().map(|value| (name, value)))
    }

    /// The same facts with at most this many characters in all; what comes after them is dropped.
    #[must_use]
    pub fn cut_to(mut self, characters: usize) -> Self {
        let mut left = characters;
        for fact in [
            &mut self.repository,
            &mut self.workflow,
            &mut self.run,
            &mut self.attempt,
            &mut self.job,
            &mut self.step,
            &mut self.commit,
            &mut self.git_ref,
            &mut self.actor,
            &mut self.environment,
            &mut self.event,
            &mut self.pod,
            &mut self.url,
        ] {
            *fact = fact.take().map(|text| text.chars().take(left).collect::<String>());
            left -= fact.as_ref().map_or(0, |text| text.chars().count());
            *fact = fact.take().filter(|text| !text.is_empty());
        }
        self
    }
}

/// Where a grant came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Provenance {
    /// What proved the identity.
    #[serde(default)]
    pub trust: Trust,
    /// The platform of the token's issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The token's `iss`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The token's `sub`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// From claims that the issuer signed.
    #[serde(default)]
    pub signed: Facts,
    /// From the client's environment: nothing vouches for it.
    #[serde(default)]
    pub claimed: Facts,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_cut_in_their_order_and_by_characters() {
        let facts = Facts {
            repository: Some("octo/app".to_owned()),
            run: Some("→→→→".to_owned()),
            url: Some("https://ci.example".to_owned()),
            ..Facts::default()
        };
        assert_eq!(facts.clone().cut_to(1024), facts);
        let cut = Facts { run: Some("→→".to_owned()), url: None, ..facts.clone() };
        assert_eq!(facts.clone().cut_to(10), cut);
        assert_eq!(facts.cut_to(0), Facts::default());
    }
}
