//! The environment variables of a step: the grant's credentials, and the step's own variables that conflict with them.

use jit_client::Env;
use protocol::{Credentials, Grant, Secret};

/// Variables that an AWS SDK would use in place of the grant's keys, or combine with them. They are removed from the step.
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

/// Changes to a step's environment.
#[derive(Debug, Default)]
pub(crate) struct StepEnv {
    /// Variables that may be printed.
    pub(crate) open: Vec<(&'static str, String)>,
    /// Variables that must not be printed.
    pub(crate) secret: Vec<(&'static str, Secret)>,
    /// Variables to remove before the others are set.
    pub(crate) removed: Vec<String>,
}

impl StepEnv {
    /// The variables of the grant's credentials. `env` is the environment without them.
    pub(crate) fn of(grant: &Grant, env: &Env) -> Self {
        match &grant.credentials {
            None | Some(Credentials::Held) => Self::default(),
            Some(Credentials::Token { token }) => {
                Self { secret: vec![("CLOUDANIX_GRANT_TOKEN", token.clone())], ..Self::default() }
            }
            Some(Credentials::Aws { access_key_id, secret_access_key, session_token, region, .. }) => {
                let mut step_env = Self::for_aws(region.as_deref(), env);
                step_env.open.push(("AWS_ACCESS_KEY_ID", access_key_id.clone()));
                step_env.secret.push(("AWS_SECRET_ACCESS_KEY", secret_access_key.clone()));
                step_env.secret.push(("AWS_SESSION_TOKEN", session_token.clone()));
                step_env
            }
        }
    }

    /// The variables of an AWS session except for its keys, which an endpoint may serve.
    pub(crate) fn for_aws(region: Option<&str>, env: &Env) -> Self {
        let removed = CONFLICTING_AWS_VARS.iter().map(|name| (*name).to_owned()).collect();
        // Either one is the step's own region: SDKs differ in which they prefer.
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
        StepEnv::for_aws(grant, &crate::environment::from_pairs(step)).open
    }

    #[test]
    fn the_grants_region_is_set_for_a_step_without_one() {
        let expected =
            [("AWS_REGION", "eu-west-1".to_owned()), ("AWS_DEFAULT_REGION", "eu-west-1".to_owned())];
        assert_eq!(region_for(&[], Some("eu-west-1")), expected);
        assert_eq!(region_for(&[("AWS_REGION", "")], Some("eu-west-1")), expected);
        assert_eq!(region_for(&[("AWS_REGION", "us-east-1")], Some("eu-west-1")), []);
        assert_eq!(region_for(&[("AWS_DEFAULT_REGION", "us-east-1")], Some("eu-west-1")), []);
        assert_eq!(region_for(&[], None), []);
    }
}
