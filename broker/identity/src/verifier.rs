//! Verifies that the holder of a token is a given agent.

use std::sync::Arc;
use std::time::Duration;

use domain::{Principal, TrustRule};
use protocol::{AgentId, Secret, Timestamp};

use crate::discovery::Discovery;
use crate::http::Http;
use crate::key_cache::{CacheTimes, KeyCache};
use crate::key_set::KeySet;
use crate::platforms;
use crate::refused::Refused;
use crate::signature::{self, VerifiedToken};
use crate::token::{UnverifiedToken, cut};

/// The tolerances of a verifier.
#[derive(Debug, Clone)]
pub struct Options {
    /// The accepted clock skew for `exp`, `nbf` and `iat`.
    pub leeway: Duration,
    /// The longest age of a token by `iat`, even if it has not expired.
    pub max_age: Duration,
    /// The times of the key cache.
    pub keys: CacheTimes,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            leeway: Duration::from_secs(30),
            max_age: Duration::from_secs(24 * 60 * 60),
            keys: CacheTimes::default(),
        }
    }
}

/// Verifies tokens with the published keys of their issuers. Cheap to clone; clones share the keys.
#[derive(Clone)]
pub struct Verifier {
    inner: Arc<Inner>,
}

struct Inner {
    keys: KeyCache,
    leeway: Duration,
    max_age: Duration,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier")
    }
}

impl Verifier {
    /// A verifier with an empty key cache.
    pub fn new(http: Http, options: Options) -> Self {
        let Options { leeway, max_age, keys } = options;
        let keys = KeyCache::new(http, Discovery::OpenidConfiguration, keys);
        Self { inner: Arc::new(Inner { keys, leeway, max_age }) }
    }

    /// Verifies that the holder of `token` is `agent` by one of its `rules` at the time `now`. Needs a Tokio runtime.
    ///
    /// The issuer must equal a rule's before any key is fetched. The audience must be the rule's and the only one: a second
    /// audience could present the token here.
    pub async fn verify(
        &self,
        token: &Secret,
        agent: &AgentId,
        rules: &[TrustRule],
        now: Timestamp,
    ) -> Result<Principal, Refused> {
        let unverified = UnverifiedToken::parse(token.reveal())?;
        let (candidates, audience) = candidates(&unverified.issuer, &unverified.audiences, rules)?;
        self.check_times(&unverified, now)?;
        let verified = self.check_signature(token, &unverified, audience, now).await?;
        platforms::admit(&verified, agent, &candidates, self.inner.leeway, self.inner.max_age)
    }

    pub(crate) fn check_times(&self, token: &UnverifiedToken, now: Timestamp) -> Result<(), Refused> {
        let latest = now.plus(self.inner.leeway);
        if token.expires <= now.minus(self.inner.leeway) {
            return Err(Refused::Expired { expired: token.expires, now });
        }
        if let Some(from) = token.not_before.filter(|from| *from > latest) {
            return Err(Refused::NotYetValid { claim: "nbf", from, now });
        }
        if token.issued > latest {
            return Err(Refused::NotYetValid { claim: "iat", from: token.issued, now });
        }
        let oldest = now.minus(self.inner.max_age);
        if token.issued < oldest {
            return Err(Refused::TooOld { issued: token.issued, oldest });
        }
        Ok(())
    }

    pub(crate) async fn check_signature<'t>(
        &self,
        token: &Secret,
        unverified: &'t UnverifiedToken,
        audience: &str,
        now: Timestamp,
    ) -> Result<VerifiedToken<'t>, Refused> {
        let (issuer, key_id) = (unverified.issuer.as_str(), unverified.key_id.as_deref());
        let verify = |keys: &KeySet| {
            signature::verify(token, unverified, audience, keys.named(key_id), now, self.inner.leeway)
        };
        self.inner.keys.verify(issuer, key_id, now, verify).await
    }
}

/// The rules for the token's issuer and audience. All of them have the same audience, which is the token's only one.
pub(crate) fn candidates<'r>(
    issuer: &str,
    audiences: &[String],
    rules: &'r [TrustRule],
) -> Result<(Vec<&'r TrustRule>, &'r str), Refused> {
    let of_issuer: Vec<&TrustRule> = rules.iter().filter(|rule| rule.issuer == issuer).collect();
    if of_issuer.is_empty() {
        let trusted = distinct(rules.iter().map(|rule| &rule.issuer));
        return Err(Refused::IssuerNotTrusted { found: cut(issuer), trusted });
    }
    let matching: Vec<&TrustRule> = of_issuer
        .iter()
        .copied()
        .filter(|rule| audiences.iter().all(|audience| *audience == rule.audience))
        .collect();
    match matching.first().map(|rule| rule.audience.as_str()) {
        Some(audience) => Ok((matching, audience)),
        None => Err(Refused::Audience {
            found: audiences.iter().take(5).map(|audience| cut(audience)).collect(),
            expected: distinct(of_issuer.iter().map(|rule| &rule.audience)),
        }),
    }
}

fn distinct<'s>(texts: impl Iterator<Item = &'s String>) -> Vec<String> {
    let mut distinct: Vec<String> = texts.cloned().collect();
    distinct.sort();
    distinct.dedup();
    distinct
}
