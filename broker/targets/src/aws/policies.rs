//! What does a managed policy say, and how much fits onto a principal? Asked of the account; what cannot change
//! is remembered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::aws::IamKind;
use tokio::time::Instant;

use super::accounts::Claimed;
use super::call::call;
use super::gate::Urgency;
use crate::TargetError;

/// What is remembered of an account's policies.
#[derive(Debug, Default)]
pub(super) struct Policies {
    /// A version of a policy never changes.
    versions: Mutex<BTreeMap<(String, String), Arc<str>>>,
    quotas: Mutex<Option<(Quotas, Instant)>>,
}

/// How many characters of inline policies a principal may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quotas {
    role: usize,
    user: usize,
}

impl Quotas {
    pub(super) fn of(self, kind: IamKind) -> usize {
        match kind {
            IamKind::Role => self.role,
            // Policies have no policies.
            IamKind::User | IamKind::Policy => self.user,
        }
    }
}

/// The limits that IAM documents, for an account that does not tell its own.
const DOCUMENTED: Quotas = Quotas { role: 10_240, user: 2_048 };
/// Quotas change by a request to AWS's support.
const QUOTAS_REMEMBERED: Duration = Duration::from_secs(60 * 60);
impl Policies {
    fn versions(&self) -> MutexGuard<'_, BTreeMap<(String, String), Arc<str>>> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// More versions than any account's agents use.
const MAX_VERSIONS: usize = 1000;

/// The document of a managed policy, as it is in force now.
pub(super) async fn document(account: Claimed<'_>, arn: &str) -> Result<Arc<str>, TargetError> {
    let name = "iam:GetPolicy";
    let answer = call(account, Urgency::Give, name, account.iam.get_policy().policy_arn(arn).send()).await?;
    let version = answer.policy().and_then(|policy| policy.default_version_id()).unwrap_or_default();
    let key = (arn.to_owned(), version.to_owned());
    if let Some(known) = account.policies.versions().get(&key) {
        return Ok(Arc::clone(known));
    }
    let asking = account.iam.get_policy_version().policy_arn(arn).version_id(version).send();
    let answer = call(account, Urgency::Give, "iam:GetPolicyVersion", asking).await?;
    let document = answer.policy_version().and_then(|version| version.document()).unwrap_or_default();
    let document: Arc<str> = decoded(document).into();
    let mut versions = account.policies.versions();
    if versions.len() >= MAX_VERSIONS {
        versions.clear();
    }
    versions.insert(key, Arc::clone(&document));
    Ok(document)
}

/// IAM sends documents percent-encoded (RFC 3986).
pub(super) fn decoded(document: &str) -> String {
    percent_encoding::percent_decode_str(document).decode_utf8_lossy().into_owned()
}

/// How much fits, as the account itself says it.
pub(super) async fn quotas(account: Claimed<'_>) -> Quotas {
    let remembered = *account.policies.quotas.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((quotas, asked_at)) = remembered
        && asked_at.elapsed() < QUOTAS_REMEMBERED
    {
        return quotas;
    }
    let asking = account.iam.get_account_summary().send();
    let Ok(answer) = call(account, Urgency::Give, "iam:GetAccountSummary", asking).await else {
        // Too small a figure costs an attachment where an inline policy would have done; IAM has the last word.
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
    *account.policies.quotas.lock().unwrap_or_else(PoisonError::into_inner) = Some((quotas, Instant::now()));
    quotas
}
