//! How does a step get what its grant gives: in its environment, or from the endpoint?

use std::time::Duration;

use protocol::{Credentials, Grant};

use super::Endpoint;
use super::session::Keys;
use crate::args::AwsCredentials;
use crate::clock;
use crate::environment::Env;
use crate::error::CliError;
use crate::handed::Handed;

/// A session that ends this close to the deadline lasts until it: the two were rounded by different clocks.
const ROUNDING: Duration = Duration::from_secs(10);

/// The way, and what of it is in the step's environment.
pub(crate) struct Way {
    pub(crate) handed: Handed,
    /// Where the keys are, if not in the environment.
    pub(crate) endpoint: Option<Endpoint>,
}

impl Way {
    /// As the person said, or as the keys need it.
    pub(crate) fn of(asked: AwsCredentials, grant: &Grant, env: &Env) -> Result<Self, CliError> {
        let Some(credentials @ Credentials::Aws { expires_at, region, .. }) = &grant.credentials else {
            return match asked {
                AwsCredentials::Endpoint => Err(no_session(grant)),
                AwsCredentials::Auto | AwsCredentials::Env => {
                    Ok(Self { handed: Handed::of(grant, env), endpoint: None })
                }
            };
        };
        let is_short = expires_at.plus(ROUNDING) < grant.expires_at;
        let keys = match asked {
            AwsCredentials::Endpoint => Keys::of(credentials, clock::now()),
            AwsCredentials::Auto if is_short => Keys::of(credentials, clock::now()),
            AwsCredentials::Auto | AwsCredentials::Env => None,
        };
        let endpoint = keys.map(Endpoint::bind).transpose();
        let endpoint = endpoint.map_err(|error| {
            CliError::unexpected(format!("the endpoint for AWS keys cannot be opened: {error}"))
        })?;
        let mut handed = match &endpoint {
            Some(endpoint) => endpoint.handed(region.as_deref(), env),
            None => Handed::of(grant, env),
        };
        // Else a step whose keys have ended would go on with what the machine itself may do.
        handed.open.push(("AWS_EC2_METADATA_DISABLED", "true".to_owned()));
        Ok(Self { handed, endpoint })
    }
}

fn no_session(grant: &Grant) -> CliError {
    let found = &grant.target;
    CliError::usage(format!(
        "`--aws-credentials endpoint`: expected a grant that gives an AWS session, found one for `{found}` that gives none"
    ))
    .with_hint("leave it out: there are no keys that could end before the grant")
}

#[cfg(test)]
mod tests {
    use protocol::{AgentId, EnforcedBy, GrantId, GrantStatus, Provenance, Secret, Timestamp};

    use super::*;

    fn grant(credentials: Credentials) -> Grant {
        Grant {
            id: GrantId::from_random([1; 8]),
            status: GrantStatus::Active,
            agent_id: "an-agent".parse::<AgentId>().unwrap(),
            policies: Vec::new(),
            target: "aws".to_owned(),
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
            denials: None,
            credentials: Some(credentials),
        }
    }

    fn session(lasting: i64) -> Grant {
        grant(Credentials::Aws {
            access_key_id: "ASIA1".to_owned(),
            secret_access_key: Secret::new("the secret key"),
            session_token: Secret::new("the session token"),
            expires_at: Timestamp::from_secs(lasting),
            region: None,
        })
    }

    async fn way(asked: AwsCredentials, grant: &Grant) -> Result<Way, CliError> {
        Way::of(asked, grant, &Env::from_pairs([("", ""); 0]))
    }

    fn names(handed: &Handed) -> Vec<&str> {
        let open = handed.open.iter().map(|(name, _)| *name);
        open.chain(handed.secret.iter().map(|(name, _)| *name)).collect()
    }

    const KEYS: [&str; 4] =
        ["AWS_ACCESS_KEY_ID", "AWS_EC2_METADATA_DISABLED", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];

    #[tokio::test]
    async fn keys_that_last_as_long_as_the_grant_are_put_into_the_environment() {
        for lasting in [3600, 3595, 7200] {
            let way = way(AwsCredentials::Auto, &session(lasting)).await.unwrap();
            assert!(way.endpoint.is_none());
            assert_eq!(names(&way.handed), KEYS, "{lasting}");
        }
        let short = way(AwsCredentials::Env, &session(900)).await.unwrap();
        assert_eq!(names(&short.handed), KEYS, "when it was asked for");
    }

    #[tokio::test]
    async fn keys_that_end_before_the_grant_are_not_in_the_environment() {
        for (asked, lasting) in [(AwsCredentials::Auto, 900), (AwsCredentials::Endpoint, 7200)] {
            let way = way(asked, &session(lasting)).await.unwrap();
            assert!(way.endpoint.is_some());
            let names = names(&way.handed);
            assert!(names.contains(&"AWS_CONTAINER_CREDENTIALS_FULL_URI"), "{names:?}");
            assert!(names.contains(&"AWS_EC2_METADATA_DISABLED"), "{names:?}");
            for key in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
                assert!(!names.contains(&key) && way.handed.removed.iter().any(|name| name == key), "{key}");
            }
        }
    }

    #[tokio::test]
    async fn a_workload_that_holds_its_own_keys_keeps_all_that_leads_to_them() {
        let way = way(AwsCredentials::Auto, &grant(Credentials::Held)).await.unwrap();
        assert!(way.endpoint.is_none() && names(&way.handed).is_empty() && way.handed.removed.is_empty());
    }

    #[tokio::test]
    async fn an_endpoint_without_a_session_is_refused_and_the_reason_given() {
        let error = way(AwsCredentials::Endpoint, &grant(Credentials::Held)).await.err().unwrap();
        assert!(error.to_string().contains("found one for `aws` that gives none"), "{error}");
    }
}
