//! Reads managed policies and quotas of an account, and caches them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::accounts::Api;
use super::principal::Principal;
use crate::TargetError;
use crate::throttle::Priority;

/// Documents by ARN and version, since a version never changes, and quotas by account.
#[derive(Debug, Default)]
pub(super) struct PolicyCache {
    documents: Mutex<BTreeMap<(String, String), Arc<str>>>,
    quotas: Mutex<BTreeMap<String, (Quotas, Instant)>>,
}

/// The most characters of inline policies on a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quotas {
    role: usize,
    user: usize,
}

impl Quotas {
    pub(super) fn of(self, principal: &Principal) -> usize {
        match principal {
            Principal::Role(_) => self.role,
            Principal::User(_) => self.user,
        }
    }
}

/// The limits that IAM documents, for an account whose own cannot be read.
const DOCUMENTED: Quotas = Quotas { role: 10_240, user: 2_048 };
/// Quotas change by a request to AWS's support.
const QUOTAS_CACHED_FOR: Duration = Duration::from_secs(60 * 60);
/// More versions than the agents of one broker use.
const MAX_DOCUMENTS: usize = 1000;

impl PolicyCache {
    fn documents(&self) -> MutexGuard<'_, BTreeMap<(String, String), Arc<str>>> {
        self.documents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn quotas(&self) -> MutexGuard<'_, BTreeMap<String, (Quotas, Instant)>> {
        self.quotas.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The document of the version of a managed policy that is in force.
pub(super) async fn document(api: Api<'_>, cache: &PolicyCache, arn: &str) -> Result<Arc<str>, TargetError> {
    let sending = api.iam.get_policy().policy_arn(arn).send();
    let answer = api.call(Priority::Normal, "iam:GetPolicy", sending).await?;
    let version = answer.policy().and_then(|policy| policy.default_version_id()).unwrap_or_default();
    let key = (arn.to_owned(), version.to_owned());
    if let Some(known) = cache.documents().get(&key) {
        return Ok(Arc::clone(known));
    }
    let sending = api.iam.get_policy_version().policy_arn(arn).version_id(version).send();
    let answer = api.call(Priority::Normal, "iam:GetPolicyVersion", sending).await?;
    let document = answer.policy_version().and_then(|version| version.document()).unwrap_or_default();
    let document: Arc<str> = decoded(document).into();
    let mut documents = cache.documents();
    if documents.len() >= MAX_DOCUMENTS {
        documents.clear();
    }
    documents.insert(key, Arc::clone(&document));
    Ok(document)
}

/// Decodes a document: IAM sends it percent-encoded (RFC 3986).
pub(super) fn decoded(document: &str) -> String {
    percent_encoding::percent_decode_str(document).decode_utf8_lossy().into_owned()
}

/// The account's own quotas.
pub(super) async fn quotas(api: Api<'_>, cache: &PolicyCache) -> Quotas {
    let cached = cache.quotas().get(&api.id).copied();
    if let Some((quotas, read_at)) = cached
        && read_at.elapsed() < QUOTAS_CACHED_FOR
    {
        return quotas;
    }
    let sending = api.iam.get_account_summary().send();
    let Ok(answer) = api.call(Priority::Normal, "iam:GetAccountSummary", sending).await else {
        // Too low a figure costs an attachment where an inline policy would fit; IAM checks the size again.
        return DOCUMENTED;
    };
    let figure = |name: &str, otherwise: usize| {
        let found = answer
            .summary_map()
            .and_then(|map| map.iter().find(|(key, _)| key.as_str() == name).map(|(_, figure)| *figure));
        found.and_then(|figure| usize::try_from(figure).ok()).unwrap_or(otherwise)
    };
    let quotas = Quotas {
        role: figure("RolePolicySizeQuota", DOCUMENTED.role),
        user: figure("UserPolicySizeQuota", DOCUMENTED.user),
    };
    cache.quotas().insert(api.id.clone(), (quotas, Instant::now()));
    quotas
}
