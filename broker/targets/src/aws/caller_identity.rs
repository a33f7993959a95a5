//! The broker's own principal in an account, which the roles of grants trust.
//!
//! With a role in the configuration it is that role. Otherwise AWS says it, and the answer is cached as long as the
//! credentials stay the same: new credentials can be another principal's, and a role must not trust a principal that
//! an operator may have replaced for a reason.

use std::sync::{Arc, Mutex, PoisonError};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};

/// The source of the broker's principal.
#[derive(Debug)]
pub(super) enum Caller {
    /// The broker assumes this role, by its ARN.
    Role(String),
    /// The broker uses its own credentials.
    OwnCredentials(Arc<IdentityCache>),
}

/// The principal of the current credentials.
#[derive(Debug, Default)]
pub(super) struct IdentityCache(Mutex<CachedIdentity>);

#[derive(Debug, Default, Clone)]
pub(super) struct CachedIdentity {
    /// Counts renewals of the credentials.
    pub(super) generation: u64,
    pub(super) principal: Option<String>,
}

impl IdentityCache {
    pub(super) fn get(&self) -> CachedIdentity {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets the principal, since the credentials are new.
    fn invalidate(&self) {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *cached = CachedIdentity { generation: cached.generation + 1, principal: None };
    }

    /// Stores the principal of this generation of credentials. Dropped if the credentials were renewed meanwhile.
    pub(super) fn store(&self, generation: u64, principal: &str) {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.generation == generation {
            cached.principal = Some(principal.to_owned());
        }
    }
}

/// Invalidates the cache whenever the SDK fetches credentials. The SDK keeps credentials until they are about to
/// expire, or for a quarter of an hour if they do not expire.
#[derive(Debug)]
struct RenewalWatcher {
    provider: SharedCredentialsProvider,
    cache: Arc<IdentityCache>,
}

impl ProvideCredentials for RenewalWatcher {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let credentials = self.provider.provide_credentials().await;
            self.cache.invalidate();
            credentials
        })
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        self.cache.invalidate();
        self.provider.fallback_on_interrupt()
    }
}

/// Wraps a provider of credentials, with a cache of its principal.
pub(super) fn watch(provider: SharedCredentialsProvider) -> (SharedCredentialsProvider, Caller) {
    let cache = Arc::new(IdentityCache::default());
    let watcher = RenewalWatcher { provider, cache: Arc::clone(&cache) };
    (SharedCredentialsProvider::new(watcher), Caller::OwnCredentials(cache))
}

/// The role of a session's ARN; other ARNs stay as they are. A trust policy cannot name a session.
pub(super) fn role_of_session(arn: &str) -> String {
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
        assert_eq!(role_of_session(session), "arn:aws:iam::123456789012:role/CloudanixJitBroker");
        let user = "arn:aws:iam::123456789012:user/broker";
        assert_eq!(role_of_session(user), user);
    }

    #[tokio::test]
    async fn new_credentials_invalidate_the_cached_principal() {
        let keys = Credentials::new("AKIAEXAMPLE", "secret", None, None, "test");
        let (provider, caller) = watch(SharedCredentialsProvider::new(keys));
        let Caller::OwnCredentials(cache) = caller else { panic!("no role is configured") };
        provider.provide_credentials().await.unwrap();
        let before = cache.get().generation;
        cache.store(before, "arn:aws:iam::123456789012:user/broker");
        assert_eq!(cache.get().principal.as_deref(), Some("arn:aws:iam::123456789012:user/broker"));
        provider.provide_credentials().await.unwrap();
        assert_eq!(cache.get().principal, None);
        // An answer about the credentials before.
        cache.store(before, "arn:aws:iam::123456789012:user/before");
        assert_eq!(cache.get().principal, None);
    }
}
