//! Delivery of the grant's credentials to the step: in its environment, or from the endpoint.

use std::time::Duration;

use protocol::{Credentials, Grant};

use super::aws_endpoint::{Endpoint, Keys};
use crate::args::AwsCredentials;
use crate::error::CliError;
use crate::step_env::StepEnv;
use jit_client::Env;
use jit_client::system_clock;

/// A session that ends this close to the deadline counts as lasting until it: different clocks rounded the two.
const ROUNDING: Duration = Duration::from_secs(10);

/// The step's environment, and the endpoint if there is one.
pub(crate) struct CredentialDelivery {
    pub(crate) step_env: StepEnv,
    /// Serves the keys if they are not in the environment.
    pub(crate) endpoint: Option<Endpoint>,
}

impl CredentialDelivery {
    /// Chooses as the command line says, or by the life of the keys.
    pub(crate) fn choose(requested: AwsCredentials, grant: &Grant, env: &Env) -> Result<Self, CliError> {
        let Some(credentials @ Credentials::Aws { expires_at, region, .. }) = &grant.credentials else {
            return match requested {
                AwsCredentials::Endpoint => Err(no_session(grant)),
                AwsCredentials::Auto | AwsCredentials::Env => {
                    Ok(Self { step_env: StepEnv::of(grant, env), endpoint: None })
                }
            };
        };
        let is_short = expires_at.plus(ROUNDING) < grant.expires_at;
        let keys = match requested {
            AwsCredentials::Endpoint => Keys::from_credentials(credentials, system_clock()),
            AwsCredentials::Auto if is_short => Keys::from_credentials(credentials, system_clock()),
            AwsCredentials::Auto | AwsCredentials::Env => None,
        };
        let endpoint = keys.map(Endpoint::bind).transpose();
        let endpoint = endpoint.map_err(|error| {
            CliError::unexpected(format!("the endpoint for AWS keys cannot be opened: {error}"))
        })?;
        let mut step_env = match &endpoint {
            Some(endpoint) => endpoint.step_env(region.as_deref(), env),
            None => StepEnv::of(grant, env),
        };
        // Without it a step with expired keys would use the machine's own role.
        step_env.open.push(("AWS_EC2_METADATA_DISABLED", "true".to_owned()));
        Ok(Self { step_env, endpoint })
    }
}

fn no_session(grant: &Grant) -> CliError {
    let found = &grant.target;
    CliError::usage(format!(
        "`--aws-credentials endpoint`: expected a grant that gives an AWS session, found one for `{found}` that gives none"
    ))
    .with_hint("leave it out: there are no keys that could end before the grant")
}

/// An active grant for tests.
#[cfg(test)]
pub(crate) fn test_grant(credentials: Credentials) -> Grant {
    use protocol::{EnforcedBy, GrantId, GrantStatus, Provenance, Timestamp};
    Grant {
        id: GrantId::from_random([1; 8]),
        status: GrantStatus::Active,
        agent_id: "an-agent".parse().unwrap(),
        policies: Vec::new(),
        target: "aws".to_owned(),
        scope: "aws".to_owned(),
        ttl: "1h".parse().unwrap(),
        requested_at: Timestamp::from_secs(0),
        granted_at: Some(Timestamp::from_secs(0)),
        expires_at: Timestamp::from_secs(3600),
        ended_at: None,
        end_reason: None,
        enforced_by: EnforcedBy::Cloud,
        heartbeat_seconds: None,
        provenance: Provenance::default(),
        reason: None,
        approval: None,
        break_glass: None,
        denials: None,
        credentials: Some(credentials),
    }
}

#[cfg(test)]
mod tests {
    use protocol::{Secret, Timestamp};

    use super::*;

    fn session(lasting: i64) -> Grant {
        test_grant(Credentials::Aws {
            access_key_id: "ASIA1".to_owned(),
            secret_access_key: Secret::new("the secret key"),
            session_token: Secret::new("the session token"),
            expires_at: Timestamp::from_secs(lasting),
            region: None,
        })
    }

    async fn delivery(requested: AwsCredentials, grant: &Grant) -> Result<CredentialDelivery, CliError> {
        CredentialDelivery::choose(requested, grant, &crate::environment::from_pairs(&[]))
    }

    fn names(step_env: &StepEnv) -> Vec<&str> {
        let open = step_env.open.iter().map(|(name, _)| *name);
        open.chain(step_env.secret.iter().map(|(name, _)| *name)).collect()
    }

    const KEYS: [&str; 4] =
        ["AWS_ACCESS_KEY_ID", "AWS_EC2_METADATA_DISABLED", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];

    #[tokio::test]
    async fn keys_that_last_as_long_as_the_grant_are_in_the_environment() {
        for lasting in [3600, 3595, 7200] {
            let delivery = delivery(AwsCredentials::Auto, &session(lasting)).await.unwrap();
            assert!(delivery.endpoint.is_none());
            assert_eq!(names(&delivery.step_env), KEYS, "{lasting}");
        }
        let short = delivery(AwsCredentials::Env, &session(900)).await.unwrap();
        assert_eq!(names(&short.step_env), KEYS, "when it was requested");
    }

    #[tokio::test]
    async fn keys_that_end_before_the_grant_are_served_by_the_endpoint() {
        for (requested, lasting) in [(AwsCredentials::Auto, 900), (AwsCredentials::Endpoint, 7200)] {
            let delivery = delivery(requested, &session(lasting)).await.unwrap();
            assert!(delivery.endpoint.is_some());
            let names = names(&delivery.step_env);
            assert!(names.contains(&"AWS_CONTAINER_CREDENTIALS_FULL_URI"), "{names:?}");
            assert!(names.contains(&"AWS_EC2_METADATA_DISABLED"), "{names:?}");
            for key in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
                assert!(
                    !names.contains(&key) && delivery.step_env.removed.iter().any(|name| name == key),
                    "{key}"
                );
            }
        }
    }

    #[tokio::test]
    async fn a_workload_with_its_own_keys_keeps_their_variables() {
        let delivery = delivery(AwsCredentials::Auto, &test_grant(Credentials::Held)).await.unwrap();
        assert!(
            delivery.endpoint.is_none()
                && names(&delivery.step_env).is_empty()
                && delivery.step_env.removed.is_empty()
        );
    }

    #[tokio::test]
    async fn an_endpoint_without_an_aws_session_is_refused_with_the_reason() {
        let error = delivery(AwsCredentials::Endpoint, &test_grant(Credentials::Held)).await.err().unwrap();
        assert!(error.to_string().contains("found one for `aws` that gives none"), "{error}");
    }
}
