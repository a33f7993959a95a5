//! Who are we in an account? Whoever a role of ours is to trust.
//!
//! By a role that the configuration names, that role. Else it is asked, and remembered for as long as the
//! credentials are the same: with others we may be somebody else, and a role that trusts whom we were is open to
//! one who may have been replaced for a reason.

use std::sync::{Arc, Mutex, PoisonError};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};

use super::accounts::Claimed;
use super::call::call;
use super::gate::Urgency;
use crate::TargetError;

/// How it is known who we are.
#[derive(Debug)]
pub(super) enum Caller {
    /// We assume this role, by its ARN.
    Role(String),
    /// We are whoever the credentials say.
    Asked(Arc<Remembered>),
}

/// What was answered, until there are new credentials.
#[derive(Debug, Default)]
pub(super) struct Remembered(Mutex<Answer>);

#[derive(Debug, Default, Clone)]
struct Answer {
    /// How often there were new credentials.
    renewals: u64,
    principal: Option<String>,
}

impl Remembered {
    fn now(&self) -> Answer {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whoever we were, we may be somebody else.
    fn renewed(&self) {
        let mut answer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *answer = Answer { renewals: answer.renewals + 1, principal: None };
    }

    /// What was asked after so many renewals; with another one since, nobody knows whom it is about.
    fn learn(&self, renewals: u64, principal: &str) {
        let mut answer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answer.renewals == renewals {
            answer.principal = Some(principal.to_owned());
        }
    }
}

/// Credentials that tell when they are replaced. The SDK keeps what it gets until it is about to end, or for a
/// quarter of an hour if it has no end.
#[derive(Debug)]
struct Watched {
    provider: SharedCredentialsProvider,
    remembered: Arc<Remembered>,
}

impl ProvideCredentials for Watched {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let credentials = self.provider.provide_credentials().await;
            self.remembered.renewed();
            credentials
        })
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        self.remembered.renewed();
        self.provider.fallback_on_interrupt()
    }
}

/// The same credentials, and who we are by them.
pub(super) fn watched(provider: SharedCredentialsProvider) -> (SharedCredentialsProvider, Caller) {
    let remembered = Arc::new(Remembered::default());
    let watched = Watched { provider, remembered: Arc::clone(&remembered) };
    (SharedCredentialsProvider::new(watched), Caller::Asked(remembered))
}

/// The principal that can be named in a trust policy.
pub(super) async fn principal(account: Claimed<'_>) -> Result<String, TargetError> {
    let remembered = match &account.caller {
        Caller::Role(arn) => return Ok(arn.clone()),
        Caller::Asked(remembered) => remembered,
    };
    let before = remembered.now();
    if let Some(known) = before.principal {
        return Ok(known);
    }
    let asking = account.sts.get_caller_identity().send();
    let identity = call(account, Urgency::Give, "sts:GetCallerIdentity", asking).await?;
    let arn = identity.arn().ok_or_else(|| TargetError::refused("sts:GetCallerIdentity gave no ARN"))?;
    let principal = of_session(arn);
    remembered.learn(before.renewals, &principal);
    Ok(principal)
}

/// Of a session, its role.
fn of_session(arn: &str) -> String {
    match arn.split_once(":assumed-role/") {
        Some((start, rest)) => {
            let role = rest.split('/').next().unwrap_or_default();
            format!("{}:role/{role}", start.replacen(":sts:", ":iam:", 1))
        }
        None => arn.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_named_by_its_role_in_a_trust_policy() {
        let session = "arn:aws:sts::123456789012:assumed-role/CloudanixJitBroker/cloudanix-jit-broker";
        assert_eq!(of_session(session), "arn:aws:iam::123456789012:role/CloudanixJitBroker");
        let user = "arn:aws:iam::123456789012:user/broker";
        assert_eq!(of_session(user), user);
    }

    #[tokio::test]
    async fn with_new_credentials_it_is_not_known_who_we_are() {
        let keys = Credentials::new("AKIAEXAMPLE", "secret", None, None, "test");
        let (provider, caller) = watched(SharedCredentialsProvider::new(keys));
        let Caller::Asked(remembered) = caller else { panic!("by no role") };
        provider.provide_credentials().await.unwrap();
        let asked = remembered.now().renewals;
        remembered.learn(asked, "arn:aws:iam::123456789012:user/broker");
        assert_eq!(remembered.now().principal.as_deref(), Some("arn:aws:iam::123456789012:user/broker"));
        provider.provide_credentials().await.unwrap();
        assert_eq!(remembered.now().principal, None);
        // An answer that was under way meanwhile.
        remembered.learn(asked, "arn:aws:iam::123456789012:user/before");
        assert_eq!(remembered.now().principal, None);
    }
}
