//! What does a grant give: under which variables, and what of a step's own would stand in their way?

use protocol::{Credentials, Grant, Secret};

use jit_client::Env;

/// What an AWS SDK would use in place of the grant's keys, or mix up with them. A step does not get its own.
pub(crate) const CONFLICTING_AWS_VARS: &[&str] = &[
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_ACCOUNT_ID",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_CREDENTIAL_FILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SECRET_KEY",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_EXPIRATION",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
];

/// Variables for a step.
#[derive(Debug, Default)]
pub(crate) struct StepEnv {
    /// May be seen by anybody.
    pub(crate) open: Vec<(&'static str, String)>,
    /// Nobody may print these.
    pub(crate) secret: Vec<(&'static str, Secret)>,
    /// Taken away before the others are given.
    pub(crate) removed: Vec<String>,
}

impl StepEnv {
    /// The grant's credentials; `env` is what the step would have without them.
    pub(crate) fn of(grant: &Grant, env: &Env) -> Self {
        match &grant.credentials {
            None | Some(Credentials::Held) => Self::default(),
            Some(Credentials::Token { token }) => {
                Self { secret: vec![("CLOUDANIX_GRANT_TOKEN", token.clone())], ..Self::default() }
            }
            Some(Credentials::Aws { access_key_id, secret_access_key, session_token, region, .. }) => {
                let mut handed = Self::in_aws(region.as_deref(), env);
                handed.open.push(("AWS_ACCESS_KEY_ID", access_key_id.clone()));
                handed.secret.push(("AWS_SECRET_ACCESS_KEY", secret_access_key.clone()));
                handed.secret.push(("AWS_SESSION_TOKEN", session_token.clone()));
                handed
            }
        }
    }

    /// All that goes with an AWS session but its keys, which an endpoint may give.
    pub(crate) fn in_aws(region: Option<&str>, env: &Env) -> Self {
        let removed = CONFLICTING_AWS_VARS.iter().map(|name| (*name).to_owned()).collect();
        // One of the two is enough to say that the step has its own: SDKs differ in which goes first.
        let has_region = env.get("AWS_REGION").or(env.get("AWS_DEFAULT_REGION")).is_some();
        let open = match region.filter(|_| !has_region) {
            Some(region) => ["AWS_REGION", "AWS_DEFAULT_REGION"].map(|name| (name, region.to_owned())).into(),
            None => Vec::new(),
        };
        Self { open, removed, ..Self::default() }
    }

    /// The secret values alone.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.secret.iter().map(|(_, secret)| secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region_for(step: &[(&str, &str)], grant: Option<&str>) -> Vec<(&'static str, String)> {
        StepEnv::in_aws(grant, &Env::from_pairs(step.iter().copied())).open
    }

    #[test]
    fn the_grants_region_is_for_a_step_that_has_none() {
        let given = [("AWS_REGION", "eu-west-1".to_owned()), ("AWS_DEFAULT_REGION", "eu-west-1".to_owned())];
        assert_eq!(region_for(&[], Some("eu-west-1")), given);
        assert_eq!(region_for(&[("AWS_REGION", "")], Some("eu-west-1")), given);
        assert_eq!(region_for(&[("AWS_REGION", "us-east-1")], Some("eu-west-1")), []);
        assert_eq!(region_for(&[("AWS_DEFAULT_REGION", "us-east-1")], Some("eu-west-1")), []);
        assert_eq!(region_for(&[], None), []);
    }
}
