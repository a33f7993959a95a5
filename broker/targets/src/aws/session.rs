//! A session of a role, narrowed to the grant: how is it made, handed out once, and killed?
//!
//! STS cannot take a session back. What can be done is to refuse it: a Deny on the role for this grant's source
//! identity, which no other session of the role has, and which a session cannot change.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_sts::types::{PolicyDescriptorType, Tag};
use domain::aws::IamKind;
use domain::{EndCause, Grant, State, Step};
use protocol::{Credentials, EnforcedBy, GrantId, Secret, Timestamp};
use tokio::time::Instant;

use super::accounts::Claimed;
use super::bound_policy::{self, Spot};
use super::call::{Failure, call};
use super::gate::Urgency;
use super::{AwsTarget, document, fact, names};
use crate::{Fault, Presence, Removal, TargetError};

/// STS gives no shorter one; what is shorter ends by the deadline in the session's policy.
const SHORTEST: Duration = Duration::from_secs(900);
/// What every role allows, and the most that one role may give another.
const LONGEST: Duration = Duration::from_secs(3600);
/// What a session may outlive its own end by, by clocks that differ.
const SKEW: Duration = Duration::from_secs(60);
/// A session that nobody fetched is forgotten.
const FETCHED_WITHIN: Duration = Duration::from_secs(60);

/// Sessions that were made when their step was done, until they are handed out a moment later.
#[derive(Default)]
pub(super) struct Sessions(Mutex<BTreeMap<GrantId, (Credentials, Instant)>>);

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sessions(…)")
    }
}

impl Sessions {
    fn keep(&self, grant: &GrantId, credentials: Credentials) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (_, since)| since.elapsed() < FETCHED_WITHIN);
        kept.insert(grant.clone(), (credentials, Instant::now()));
    }

    fn take(&self, grant: &GrantId) -> Option<Credentials> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(grant);
        kept.filter(|(_, since)| since.elapsed() < FETCHED_WITHIN).map(|(credentials, _)| credentials)
    }
}

/// Do.
pub(super) async fn apply(
    account: Claimed<'_>,
    grant: &Grant,
    step: &Step,
    now: Timestamp,
) -> Result<String, TargetError> {
    let credentials = assume(account, grant, step, now).await?;
    account.sessions.keep(&grant.id, credentials);
    let until = grant.expires_at.time_of_day();
    Ok(format!("session of role/{} · {} · until {until}", step.fact(fact::PRINCIPAL), step.fact(fact::GIVES)))
}

/// The session that was just made, or another one.
pub(super) async fn credentials(
    account: Claimed<'_>,
    grant: &Grant,
    step: &Step,
    now: Timestamp,
) -> Result<Credentials, TargetError> {
    match account.sessions.take(&grant.id) {
        Some(credentials) => Ok(credentials),
        None => assume(account, grant, step, now).await,
    }
}

async fn assume(
    account: Claimed<'_>,
    grant: &Grant,
    step: &Step,
    now: Timestamp,
) -> Result<Credentials, TargetError> {
    let left = grant.expires_at.since(now).clamp(SHORTEST, LONGEST);
    let mut asking = account
        .sts
        .assume_role()
        .role_arn(step.fact(fact::ARN))
        .role_session_name(grant.id.as_str())
        .source_identity(grant.id.as_str())
        .duration_seconds(i32::try_from(left.as_secs()).unwrap_or(i32::MAX))
        .set_tags(Some(tags(grant)));
    if !step.fact(fact::EXTERNAL_ID).is_empty() {
        asking = asking.external_id(step.fact(fact::EXTERNAL_ID));
    }
    if !step.fact(fact::DOCUMENT).is_empty() {
        asking = asking.policy(step.fact(fact::DOCUMENT));
    }
    for arn in step.fact(fact::MANAGED).split_whitespace() {
        asking = asking.policy_arns(PolicyDescriptorType::builder().arn(arn).build());
    }
    let answer = call(account, Urgency::Give, "sts:AssumeRole", asking.send()).await;
    let answer = answer.map_err(|failure| if_new(step, failure))?;
    let given = answer.credentials().ok_or_else(|| TargetError::refused("sts:AssumeRole gave no keys"))?;
    let ends = Timestamp::from_secs(given.expiration().secs());
    let region = step.fact(fact::REGION);
    Ok(Credentials::Aws {
        access_key_id: given.access_key_id().to_owned(),
        secret_access_key: Secret::new(given.secret_access_key()),
        session_token: Secret::new(given.session_token()),
        expires_at: ends.min(grant.expires_at),
        region: (!region.is_empty()).then(|| region.to_owned()),
    })
}

/// A role that was made a moment ago is not known everywhere yet.
fn if_new(step: &Step, failure: Failure) -> TargetError {
    let is_new = !step.fact(fact::EXTERNAL_ID).is_empty();
    let not_known_yet = failure.is("AccessDenied");
    let mut error = TargetError::from(failure);
    if is_new && not_known_yet {
        error.fault = Fault::Busy { retry_after: Duration::from_millis(500) };
    }
    error
}

/// What CloudTrail shows beside every call of the session: only what an issuer signed.
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

/// A session tag's alphabet, and its length.
pub(super) fn tag_value(text: &str) -> String {
    let allowed = |c: char| c.is_alphanumeric() || " _.:/=+-@".contains(c);
    text.chars().map(|c| if allowed(c) { c } else { '_' }).take(256).collect()
}

/// Undo: every session of this grant is refused from now on.
pub(super) async fn revert(
    target: &AwsTarget,
    account: Claimed<'_>,
    grant: &Grant,
    step: &Step,
    now: Timestamp,
) -> Result<Removal, TargetError> {
    if let Some(proof) = dead_already(grant, step) {
        return Ok(Removal::confirmed(proof));
    }
    let bound = ends_by_itself(grant);
    if now >= bound {
        // An earlier try may have refused them.
        return Ok(Removal::Confirmed {
            proof: "its sessions have ended".to_owned(),
            session_deny_until: Some(now),
        });
    }
    let deny = names::deny(&grant.id);
    let put = document::dead_sessions(&grant.id, bound);
    match bound_policy::put(account, Urgency::TakeBack, spot(step, &deny), &put).await {
        Ok(()) => Ok(Removal::Pending {
            receipt: "its sessions are refused".to_owned(),
            observe_at: target.read_back_at(now),
        }),
        // Without the role there is nothing that a session could do.
        Err(failure) if failure.is("NoSuchEntity") => Ok(Removal::confirmed("the role is gone")),
        Err(failure) => Err(failure.into()),
    }
}

/// Whether the refusal is in force.
pub(super) async fn observe(
    account: Claimed<'_>,
    grant: &Grant,
    step: &Step,
    now: Timestamp,
) -> Result<Presence, TargetError> {
    if let Some(proof) = dead_already(grant, step) {
        return Ok(Presence::absent(proof));
    }
    let bound = ends_by_itself(grant);
    let deny = names::deny(&grant.id);
    let found = bound_policy::read(account, Urgency::TakeBack, spot(step, &deny)).await?;
    Ok(if found.is_some() || now >= bound {
        Presence::Absent {
            proof: "sessions refused · read back".to_owned(), session_deny_until: Some(bound)
        }
    } else {
        Presence::Present
    })
}

/// Takes the refusal away when it has nothing left to refuse.
pub(super) async fn remove_session_deny(
    account: Claimed<'_>,
    grant: &Grant,
    step: &Step,
) -> Result<Option<String>, TargetError> {
    bound_policy::remove_session_deny(account, spot(step, &names::deny(&grant.id))).await
}

fn spot<'a>(step: &'a Step, policy: &'a str) -> Spot<'a> {
    Spot { kind: IamKind::Role, principal: step.fact(fact::PRINCIPAL), policy }
}

fn dead_already(grant: &Grant, step: &Step) -> Option<&'static str> {
    if grant.granted_at().is_none() {
        // Keys are handed out by whoever made the grant active, after that.
        return Some("no session was handed out");
    }
    if !step.fact(fact::EXTERNAL_ID).is_empty() {
        return Some("its sessions end with their role");
    }
    let by_deadline = match &grant.state {
        State::Ending(ending) => ending.cause == EndCause::Deadline,
        State::Denied { .. }
        | State::Applying { .. }
        | State::RollingBack { .. }
        | State::Failed { .. }
        | State::Active { .. }
        | State::Revoked { .. } => false,
    };
    (by_deadline && grant.enforced_by == EnforcedBy::Cloud).then_some("its sessions ended at the deadline")
}

/// When the last session of this grant has ended, even if nobody does anything.
fn ends_by_itself(grant: &Grant) -> Timestamp {
    grant.expires_at.plus(SHORTEST).plus(SKEW)
}
