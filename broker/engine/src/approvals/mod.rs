//! Approvals: what persons are asked, whose votes count, and what becomes of a grant that waits.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::grant::Transition;
use domain::{
    Agent, AgentStatus, Approval, ApprovalSubject, Claims, Decision, EndCause, Grant, Outcome, State, Vote,
    Waiting,
};
use policy::Permit;
use protocol::{GrantId, Provenance};
use serde::Serialize;
use serde_json::Value;
use store::{GrantRecord, Listing, Only, Precondition, SaveOutcome};

use crate::rules::again::DecidedAgain;
use crate::{Engine, Refusal};

mod standing;
mod voters;

pub use voters::PLATFORMS_OF_PERSONS;

/// How long an approved request waits for its client.
const COLLECT_WITHIN: Duration = Duration::from_secs(5 * 60);

/// Grants per read of the store.
const PAGE: u32 = 500;

/// What becomes of a waiting grant when it is decided again.
pub(crate) enum Reviewed {
    /// Votes are missing.
    Waits(GrantRecord),
    /// It may be collected.
    Approved(GrantRecord, Permit),
    /// It was denied.
    Denied(GrantRecord, Refusal),
    /// Another driver changed it first.
    Overtaken(GrantId),
}

/// Claims with the id of the account that started a run: GitHub and Forgejo, GitLab.
const ACCOUNT_IDS: [&str; 2] = ["actor_id", "user_id"];

/// The approval that a decision asks for, without votes.
pub(crate) fn asked_for(provenance: &Provenance, reason: Option<&str>, decision: &Decision) -> Approval {
    let verdict = &decision.enforced.verdict;
    let request = &decision.facts.request;
    let quorum = verdict.quorum.unwrap_or(1);
    let parts = [
        ("agent", digest_of(&decision.facts.agent.id)),
        ("target", digest_of(&(&request.target, &request.scope, &request.account))),
        // With the digest of what each policy means.
        ("policies", digest_of(&request.policies)),
        ("ttl", digest_of(&(request.ttl, request.heartbeat))),
        ("origin", digest_of(provenance)),
        ("reason", digest_of(&reason)),
        ("rules", digest_of(&(&decision.enforced.rules, &verdict.rules, quorum))),
    ];
    let parts = parts.map(|(name, digest)| (name.to_owned(), digest)).into();
    let digest = digest_of(&parts);
    let (rules, hints) = (verdict.rules.clone(), verdict.hints.clone());
    let started_by = started_by(provenance, &decision.facts.identity.claims);
    let subject = ApprovalSubject { digest, parts };
    Approval { subject, quorum, rules, hints, started_by, votes: Vec::new() }
}

/// Logins can be renamed, and a provider may know persons by the ids of their accounts.
fn started_by(provenance: &Provenance, claims: &Claims) -> BTreeSet<String> {
    let has_persons = provenance.platform.is_some_and(|platform| PLATFORMS_OF_PERSONS.contains(&platform));
    let id = |name: &&str| match claims.get(*name)? {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let ids = ACCOUNT_IDS.iter().filter_map(id);
    ids.chain(provenance.signed.actor.clone()).filter(|_| has_persons).collect()
}

/// SHA-256 of a value in JSON: its fields have a fixed order.
fn digest_of(value: &impl Serialize) -> String {
    audit::sha256(&serde_json::to_string(value).unwrap_or_default())
}

impl Engine {
    /// Applies the rules, the agent and the votes as they are now to a grant that waits.
    pub(crate) async fn review(
        &self,
        record: GrantRecord,
        agent: &Agent,
        again: &DecidedAgain,
    ) -> Result<Reviewed, Refusal> {
        let now = self.clock.now();
        let id = record.grant.id.clone();
        let State::Waiting(waiting) = record.grant.state else { return Ok(Reviewed::Overtaken(id)) };
        let Some(approval) = &record.grant.approval else { return Ok(Reviewed::Overtaken(id)) };
        if waiting.until <= now {
            return self.end_waiting(record, &over(waiting)).await;
        }
        if agent.status == AgentStatus::Disabled {
            return self.end_waiting(record, &EndCause::AgentDisabled(None)).await;
        }
        let decided = &again.decided;
        let Grant { provenance, reason, .. } = &record.grant;
        let asked = asked_for(provenance, reason.as_deref(), &decided.decision);
        match (&decided.permit, decided.decision.enforced.verdict.outcome) {
            (Ok(permit), Outcome::Allow) if waiting.approved_at.is_some() => {
                Ok(Reviewed::Approved(record, permit.clone()))
            }
            (Ok(permit), Outcome::Allow) => {
                let approved = record.grant.clone().needs_no_approval(now, now.plus(COLLECT_WITHIN));
                let saved = self.save_waiting(&record, approved.ok()).await?;
                Ok(match saved {
                    Some(saved) => Reviewed::Approved(saved, permit.clone()),
                    None => Reviewed::Overtaken(id),
                })
            }
            (_, Outcome::NeedsApproval) if asked.subject != approval.subject => {
                let changed = approval.subject.changed_parts(&asked.subject).join(", ");
                self.ask_again(record, asked, &format!("changed: {changed}")).await
            }
            (permit, Outcome::NeedsApproval) => {
                let all_count = self.all_votes_count(approval, agent, &record.grant).await?;
                match permit {
                    _ if !all_count => {
                        self.ask_again(record, asked, "a person who approved may not any more").await
                    }
                    Ok(permit) if waiting.approved_at.is_some() => {
                        Ok(Reviewed::Approved(record, permit.clone()))
                    }
                    // A change of rules asked for no approval for a while.
                    Err(_) if waiting.approved_at.is_some() => {
                        self.ask_again(record, asked, "the rules ask for an approval again").await
                    }
                    Ok(_) | Err(_) => Ok(Reviewed::Waits(record)),
                }
            }
            (_, Outcome::Allow | Outcome::Deny | Outcome::Error) => {
                self.store.record_decision(Some(&record.grant.id), &decided.decision).await?;
                let rules = decided.decision.enforced.verdict.rules.clone();
                let denied = decided.permit.as_ref().err().cloned();
                let ended = self.end_waiting(record, &EndCause::ContextChanged(rules)).await?;
                Ok(match (ended, denied) {
                    (Reviewed::Denied(record, _), Some(denied)) => Reviewed::Denied(record, denied.into()),
                    (other, _) => other,
                })
            }
        }
    }

    /// Adds a vote for approval. None if another driver changed the grant first.
    pub(crate) async fn add_vote(
        &self,
        record: &GrantRecord,
        vote: Vote,
        because: Option<&str>,
    ) -> Result<Option<GrantRecord>, Refusal> {
        let Some(mut approval) = record.grant.approval.clone() else { return Ok(None) };
        approval.votes.push(vote.clone());
        let collect_until = approval.is_given().then(|| vote.at.plus(COLLECT_WITHIN));
        let voted = record.grant.clone().vote(vote, because, collect_until);
        let saved = self.save_waiting(record, voted.ok()).await?;
        if saved.is_some() && collect_until.is_some() {
            self.counters.requests_approved();
        }
        Ok(saved)
    }

    async fn ask_again(
        &self,
        record: GrantRecord,
        approval: Approval,
        why: &str,
    ) -> Result<Reviewed, Refusal> {
        let now = self.clock.now();
        let until = now.plus(self.people()?.approval);
        let asked = record.grant.clone().ask_again(now, approval, until, why);
        let saved = self.save_waiting(&record, asked.ok()).await?;
        Ok(saved.map_or_else(|| Reviewed::Overtaken(record.grant.id.clone()), Reviewed::Waits))
    }

    /// Has every waiting request approved again that this person has approved.
    pub(crate) async fn withdraw_votes_of(&self, issuer: &str, subject: &str) -> Result<(), Refusal> {
        let is_of = |vote: &Vote| vote.session.person.id() == (issuer, subject);
        self.withdraw_votes(is_of, "the sessions of a person who approved were ended").await
    }

    /// Has every waiting request approved again that has such a vote.
    async fn withdraw_votes(&self, is_withdrawn: impl Fn(&Vote) -> bool, why: &str) -> Result<(), Refusal> {
        let has_vote = |record: &GrantRecord| {
            let mut votes = record.grant.approval.iter().flat_map(|approval| &approval.votes);
            matches!(record.grant.state, State::Waiting(_)) && votes.any(&is_withdrawn)
        };
        let mut after = None;
        loop {
            let listing = Listing { only: Some(Only::Waiting), after, limit: PAGE, ..Listing::default() };
            let records = self.store.list(&listing).await?;
            let Some(last) = records.last() else { return Ok(()) };
            after = Some(last.grant.id.clone());
            for mut record in records {
                // Others may vote at the same time.
                while has_vote(&record)
                    && let Some(approval) = record.grant.approval.clone()
                {
                    let id = record.grant.id.clone();
                    self.ask_again(record, approval, why).await?;
                    record = self.driver.read(&id).await?;
                }
            }
        }
    }

    async fn end_waiting(&self, record: GrantRecord, cause: &EndCause) -> Result<Reviewed, Refusal> {
        let claim = self.driver.claim_from(self.clock.now());
        let record = self.driver.drive_to_end(record, cause, &claim).await?;
        Ok(match record.grant.state {
            State::Denied { .. } => {
                let refusal = Refusal::grant_ended(record.grant.end_reason());
                Reviewed::Denied(record, refusal)
            }
            State::Waiting(_)
            | State::Applying { .. }
            | State::RollingBack { .. }
            | State::Failed { .. }
            | State::Active { .. }
            | State::Ending(_)
            | State::Revoked { .. } => Reviewed::Overtaken(record.grant.id),
        })
    }

    /// The grant as it was saved; none if another driver changed it first.
    pub(crate) async fn save_waiting(
        &self,
        record: &GrantRecord,
        transition: Option<Transition>,
    ) -> Result<Option<GrantRecord>, Refusal> {
        let Some(transition) = transition else { return Ok(None) };
        Ok(match self.store.save(record, &transition, Precondition::Version, None).await? {
            SaveOutcome::Done(record) => Some(record),
            SaveOutcome::Conflict | SaveOutcome::LockLost => None,
        })
    }
}

/// Whether votes are missing.
pub(crate) fn waits_for_votes(record: &GrantRecord) -> bool {
    matches!(&record.grant.state, State::Waiting(waiting) if waiting.approved_at.is_none())
}

/// Why the wait is over.
pub(crate) fn over(waiting: Waiting) -> EndCause {
    if waiting.approved_at.is_some() { EndCause::NotCollected } else { EndCause::NotApproved }
}
