//! A session of a role for one grant.
//!
//! STS cannot revoke a session. A revoke refuses it instead: a session-deny policy on the role for the grant's source
//! identity, which no other session of the role has and which a session cannot change.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_sts::types::{PolicyDescriptorType, Tag};
use domain::aws::IamArn;
use domain::{EndCause, Grant, State};
use protocol::{Credentials, EnforcedBy, GrantId, Secret, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::inline_policy::{self, InlinePolicyRef};
use crate::aws::accounts::Api;
use crate::aws::consistency::Consistency;
use crate::aws::principal::Principal;
use crate::aws::{names, policy_document};
use crate::calls::CallError;
use crate::throttle::Priority;
use crate::{Fault, Presence, Removal, TargetError};

/// The shortest session of STS; a shorter grant ends by the deadline in the session's policy.
const SHORTEST: Duration = Duration::from_secs(900);
/// The longest session that every role allows, and the longest that one role can give another.
const LONGEST: Duration = Duration::from_secs(3600);
/// How far clocks differ: a session can outlive its end by this much.
const SKEW: Duration = Duration::from_secs(60);
/// How long a session is cached for the request that fetches it.
const FETCHED_WITHIN: Duration = Duration::from_secs(60);

/// The data of this step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::aws) struct IssueSession {
    /// The grant that the session is named after.
    pub(in crate::aws) session: GrantId,
    pub(in crate::aws) role: IamArn,
    pub(in crate::aws) access: SessionAccess,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::aws) region: Option<String>,
}

/// What bounds the session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(in crate::aws) enum SessionAccess {
    /// A role of the registration, narrowed by the session's own policies.
    Narrowed {
        /// The session's policy, with the deadline.
        document: String,
        /// Managed policies of the session.
        managed: Vec<IamArn>,
    },
    /// The grant's own role, whose policies carry the deadline. Its trust policy requires the grant's id.
    GrantRole,
}

impl IssueSession {
    pub(in crate::aws) fn object(&self) -> String {
        format!("role/{}/{}", self.role.name(), self.session)
    }

    fn deny_policy(&self, grant: &GrantId) -> InlinePolicyRef {
        InlinePolicyRef { principal: Principal::role(&self.role), name: names::deny(grant) }
    }

    fn is_of_grant_role(&self) -> bool {
        match self.access {
            SessionAccess::GrantRole => true,
            SessionAccess::Narrowed { .. } => false,
        }
    }
}

/// Sessions between the step that issues them and the request that fetches them a moment later.
#[derive(Default)]
pub(in crate::aws) struct SessionCache(Mutex<BTreeMap<GrantId, (Credentials, Instant)>>);

impl fmt::Debug for SessionCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionCache(…)")
    }
}

impl SessionCache {
    fn insert(&self, grant: &GrantId, credentials: Credentials) {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cached.retain(|_, (_, since)| since.elapsed() < FETCHED_WITHIN);
        cached.insert(grant.clone(), (credentials, Instant::now()));
    }

    fn take(&self, grant: &GrantId) -> Option<Credentials> {
        let cached = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(grant);
        cached.filter(|(_, since)| since.elapsed() < FETCHED_WITHIN).map(|(credentials, _)| credentials)
    }
}

pub(in crate::aws) async fn apply(
    api: Api<'_>,
    cache: &SessionCache,
    grant: &Grant,
    step: &IssueSession,
    policies: &str,
    now: Timestamp,
) -> Result<String, TargetError> {
    let credentials = assume(api, grant, step, now).await?;
    cache.insert(&grant.id, credentials);
    let until = grant.expires_at.time_of_day();
    Ok(format!("session of role/{} · {policies} · until {until}", step.role.name()))
}

/// The session that the step issued a moment ago, or a new one.
pub(in crate::aws) async fn credentials(
    api: Api<'_>,
    cache: &SessionCache,
    grant: &Grant,
    step: &IssueSession,
    now: Timestamp,
) -> Result<Credentials, TargetError> {
    match cache.take(&grant.id) {
        Some(credentials) => Ok(credentials),
        None => assume(api, grant, step, now).await,
    }
}

async fn assume(
    api: Api<'_>,
    grant: &Grant,
    step: &IssueSession,
    now: Timestamp,
) -> Result<Credentials, TargetError> {
    let left = grant.expires_at.since(now).clamp(SHORTEST, LONGEST);
    let mut assuming = api
        .sts
        .assume_role()
        .role_arn(step.role.as_str())
        .role_session_name(grant.id.as_str())
        .source_identity(grant.id.as_str())
        .duration_seconds(i32::try_from(left.as_secs()).unwrap_or(i32::MAX))
        .set_tags(Some(tags(grant)));
    match &step.access {
        SessionAccess::GrantRole => assuming = assuming.external_id(grant.id.as_str()),
        SessionAccess::Narrowed { document, managed } => {
            assuming = assuming.policy(document);
            for policy in managed {
                let policy = PolicyDescriptorType::builder().arn(policy.as_str()).build();
                assuming = assuming.policy_arns(policy);
            }
        }
    }
    let answer = api.call(Priority::Normal, "sts:AssumeRole", assuming.send()).await;
    let answer = answer.map_err(|error| busy_if_new(step, error))?;
    let issued = answer.credentials().ok_or_else(|| TargetError::refused("sts:AssumeRole gave no keys"))?;
    let ends = Timestamp::from_secs(issued.expiration().secs());
    Ok(Credentials::Aws {
        access_key_id: issued.access_key_id().to_owned(),
        secret_access_key: Secret::new(issued.secret_access_key()),
        session_token: Secret::new(issued.session_token()),
        expires_at: ends.min(grant.expires_at),
        region: step.region.clone(),
    })
}

/// AWS denies access to a role that was created a moment ago and is not known everywhere yet.
fn busy_if_new(step: &IssueSession, error: CallError) -> TargetError {
    let may_be_unknown = step.is_of_grant_role() && error.is("AccessDenied");
    let mut error = TargetError::from(error);
    if may_be_unknown {
        error.fault = Fault::Busy { retry_after: Duration::from_millis(500) };
    }
    error
}

/// Tags that CloudTrail shows beside every call of the session: only facts that an issuer signed.
fn tags(grant: &Grant) -> Vec<Tag> {
    let signed = &grant.provenance.signed;
    let facts = [
        (names::GRANT_TAG, Some(grant.id.as_str())),
        (names::AGENT_TAG, Some(grant.agent_id.as_str())),
        ("cloudanix-jit:run", signed.run.as_deref()),
        ("cloudanix-jit:commit", signed.commit.as_deref()),
    ];
    let tag = |(name, value): (&str, Option<&str>)| {
        let value = tag_value(value?);
        Tag::builder().key(name).value(value).build().ok()
    };
    facts.into_iter().filter_map(tag).collect()
}

/// In a session tag's alphabet and length.
pub(in crate::aws) fn tag_value(text: &str) -> String {
    let allowed = |c: char| c.is_alphanumeric() || " _.:/=+-@".contains(c);
    text.chars().map(|c| if allowed(c) { c } else { '_' }).take(256).collect()
}

/// Refuses every session of this grant from now on.
pub(in crate::aws) async fn revert(
    api: Api<'_>,
    consistency: Consistency,
    grant: &Grant,
    step: &IssueSession,
    now: Timestamp,
) -> Result<Removal, TargetError> {
    if let Some(proof) = already_invalid(grant, step) {
        return Ok(Removal::confirmed(proof));
    }
    let expire_at = sessions_expire_at(grant);
    if now >= expire_at {
        // An earlier try may have refused them.
        return Ok(Removal::Confirmed {
            proof: "its sessions have ended".to_owned(),
            session_deny_until: Some(now),
        });
    }
    let document = policy_document::deny_sessions(&grant.id, expire_at);
    match inline_policy::put(api, Priority::Revoke, &step.deny_policy(&grant.id), &document).await {
        Ok(()) => Ok(Removal::Pending {
            receipt: "its sessions are refused".to_owned(),
            observe_at: consistency.read_back_at(now),
        }),
        // Without the role a session can do nothing.
        Err(error) if error.is("NoSuchEntity") => Ok(Removal::confirmed("the role is gone")),
        Err(error) => Err(error.into()),
    }
}

/// Reads whether the session-deny policy is in force.
pub(in crate::aws) async fn observe(
    api: Api<'_>,
    grant: &Grant,
    step: &IssueSession,
    now: Timestamp,
) -> Result<Presence, TargetError> {
    if let Some(proof) = already_invalid(grant, step) {
        return Ok(Presence::absent(proof));
    }
    let expire_at = sessions_expire_at(grant);
    let deny = step.deny_policy(&grant.id);
    let found = inline_policy::read(api, Priority::Revoke, &deny).await?;
    Ok(if found.is_some() || now >= expire_at {
        Presence::Absent {
            proof: "sessions refused · read back".to_owned(),
            session_deny_until: Some(expire_at),
        }
    } else {
        Presence::Present
    })
}

/// Removes the session-deny policy when the sessions that it refuses have ended.
pub(in crate::aws) async fn remove_session_deny(
    api: Api<'_>,
    grant: &Grant,
    step: &IssueSession,
) -> Result<Option<String>, TargetError> {
    inline_policy::remove_session_deny(api, &step.deny_policy(&grant.id)).await
}

fn already_invalid(grant: &Grant, step: &IssueSession) -> Option<&'static str> {
    if grant.granted_at().is_none() {
        // The broker hands out keys only after it has made the grant active.
        return Some("no session was handed out");
    }
    if step.is_of_grant_role() {
        return Some("its sessions end with their role");
    }
    let by_deadline = match &grant.state {
        State::Ending(ending) => ending.cause == EndCause::Deadline,
        State::Denied { .. }
        | State::Waiting(_)
        | State::Applying { .. }
        | State::RollingBack { .. }
        | State::Failed { .. }
        | State::Active { .. }
        | State::Revoked { .. } => false,
    };
    (by_deadline && grant.enforced_by == EnforcedBy::Cloud).then_some("its sessions ended at the deadline")
}

/// When the last session of this grant has ended without a revoke.
fn sessions_expire_at(grant: &Grant) -> Timestamp {
    grant.expires_at.plus(SHORTEST).plus(SKEW)
}
