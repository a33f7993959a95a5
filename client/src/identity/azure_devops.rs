//! Azure DevOps: the job requests the pipeline's own token, or a service connection's.

use protocol::Secret;
use reqwest::Method;

use super::endpoint::{Audience, TokenEndpoint, address};
use super::error::IdentityError;
use super::facts::{self, Fact, ObservedFact};
use super::files::Files;
use super::token_source::TokenSource;
use super::{Layer, Platform};
use crate::environment::Env;

const NAME: &str = "azure-devops";

/// The only audience for which Azure DevOps mints: Entra's token exchange.
const AUDIENCE: &str = "api://AzureADTokenExchange";

pub(super) const PLATFORM: Platform = Platform {
    name: NAME,
    marker: "`TF_BUILD=True`",
    layer: Layer::Ci,
    is_present: |env, _| env.get("TF_BUILD").is_some_and(|value| value.eq_ignore_ascii_case("true")),
    facts,
    source,
    audience_hint: "Azure DevOps does not let the audience be chosen: set `CLOUDANIX_AUDIENCE`, and the audience in \
                    the agent's trust rule, to the one that the token has",
};

fn facts(env: &Env, _: &Files) -> Vec<ObservedFact> {
    let mut seen = facts::from_variables(
        env,
        &[
            (Fact::Repository, &["BUILD_REPOSITORY_NAME"]),
            (Fact::Workflow, &["BUILD_DEFINITIONNAME"]),
            (Fact::Run, &["BUILD_BUILDNUMBER", "BUILD_BUILDID"]),
            (Fact::Attempt, &["SYSTEM_JOBATTEMPT"]),
            (Fact::Job, &["SYSTEM_JOBDISPLAYNAME"]),
            (Fact::Step, &["SYSTEM_TASKDISPLAYNAME"]),
            (Fact::Commit, &["BUILD_SOURCEVERSION"]),
            (Fact::GitRef, &["BUILD_SOURCEBRANCH"]),
            (Fact::Actor, &["BUILD_REQUESTEDFOR"]),
            (Fact::Environment, &["ENVIRONMENT_NAME"]),
            (Fact::Event, &["BUILD_REASON"]),
        ],
    );
    if let (Some(organisation), Some(project), Some(build)) =
        (env.get("SYSTEM_COLLECTIONURI"), env.get("SYSTEM_TEAMPROJECT"), env.get("BUILD_BUILDID"))
    {
        let project = project.replace(' ', "%20");
        let url = format!("{}/{project}/_build/results?buildId={build}", organisation.trim_end_matches('/'));
        seen.push(ObservedFact::made(
            Fact::Url,
            url,
            "SYSTEM_COLLECTIONURI, SYSTEM_TEAMPROJECT, BUILD_BUILDID",
        ));
    }
    seen
}

fn source(env: &Env, _: &Files) -> Result<TokenSource, IdentityError> {
    let refuse = |what: &'static str, hint: &'static str| IdentityError::Misconfigured {
        platform: NAME,
        what: what.into(),
        hint: hint.into(),
    };
    let endpoint = env.get("SYSTEM_OIDCREQUESTURI").ok_or_else(|| {
        refuse(
            "expected `SYSTEM_OIDCREQUESTURI`, found none",
            "the agent sets it in every job of Azure DevOps Services; inside a container of your own, pass it on",
        )
    })?;
    // A mapping of a variable that does not exist arrives unexpanded, as `$(System.AccessToken)`.
    let credential = env.get("SYSTEM_ACCESSTOKEN").filter(|token| !token.starts_with("$("));
    let credential = credential.ok_or_else(|| {
        refuse(
            "expected the job's access token in `SYSTEM_ACCESSTOKEN`, found none",
            "map it in the step: `env: { SYSTEM_ACCESSTOKEN: $(System.AccessToken) }`",
        )
    })?;
    let mut url = address(NAME, "SYSTEM_OIDCREQUESTURI", endpoint)?;
    url.query_pairs_mut().append_pair("api-version", "7.1");
    if let Some(connection) = env.get("CLOUDANIX_AZURE_SERVICE_CONNECTION_ID") {
        url.query_pairs_mut().append_pair("serviceConnectionId", connection);
    }
    Ok(TokenSource::Endpoint(Box::new(TokenEndpoint {
        method: Method::POST,
        url,
        scheme: "Bearer",
        credential: Secret::new(credential),
        // Without it a refusal comes as a redirection to a sign-in page.
        headers: &[("x-tfs-fedauthredirect", "Suppress")],
        audience: Audience::Fixed(AUDIENCE),
        field: "oidcToken",
        shown: "POST $SYSTEM_OIDCREQUESTURI",
        refusal_hint: "check that `SYSTEM_ACCESSTOKEN` is mapped from `$(System.AccessToken)`, and that the pipeline \
                       may use the service connection, if one is named",
    })))
}
