//! Requests that wait for approval: lists and shows them, and takes votes.

use domain::{Agent, DecisionKind, EndCause, Session, State, Vote};
use protocol::approvals::{
    ApprovalRequest, Choice, MAX_BECAUSE, RequestList, RequestedPolicy, Vote as NewVote,
};
use protocol::people::Right;
use protocol::{Actor, ErrorCode, GrantId, GrantStatus, Secret};
use store::{GrantRecord, Listing, Only};

use super::Page;
use crate::approvals::{Reviewed, waits_for_votes};
use crate::auth::not_for_agents;
use crate::{Caller, Engine, Refusal, to_wire};

/// How often a vote is tried while others change the request.
const TRIES: u32 = 10;

impl Engine {
    /// A page of the requests that wait, newest first: those of agents that the caller may see.
    pub async fn requests(
        &self,
        bearer: Option<&Secret>,
        after: Option<GrantId>,
        page: Page,
    ) -> Result<RequestList, Refusal> {
        let caller = self.person_or_operator(bearer).await?;
        let waiting = Listing { only: Some(Only::Waiting), after, ..Listing::default() };
        let (records, next) = self.seen_grants(&caller, waiting, |_| true, page).await?;
        let mut requests = Vec::with_capacity(records.len());
        for record in &records {
            requests.push(self.shown(record).await?);
        }
        Ok(RequestList { requests, next })
    }

    /// One request, also after it was decided.
    pub async fn request(&self, bearer: Option<&Secret>, id: &GrantId) -> Result<ApprovalRequest, Refusal> {
        let caller = self.person_or_operator(bearer).await?;
        let record = self.driver.read(id).await?;
        self.admit(&caller, Right::View, &record.grant.agent_id).await?;
        if record.grant.approval.is_none() {
            return Err(Refusal::no_such_grant().hint("the grant needed no approval"));
        }
        self.shown(&record).await
    }

    /// Takes the vote of a person.
    pub async fn vote(
        &self,
        bearer: Option<&Secret>,
        id: &GrantId,
        vote: &NewVote,
    ) -> Result<ApprovalRequest, Refusal> {
        let caller = self.person_or_operator(bearer).await?;
        let Caller::Person(session) = &caller else { return Err(person_required()) };
        let because = because(vote.because.as_deref())?;
        for _ in 0..TRIES {
            let record = self.driver.read(id).await?;
            self.admit(&caller, Right::View, &record.grant.agent_id).await?;
            let Some(agent) = self.store.agent(&record.grant.agent_id).await? else {
                return Err(Refusal::no_such_grant());
            };
            let voting = Box::pin(self.try_vote(record, &agent, session, vote, because.as_deref()));
            if let Some(record) = voting.await? {
                return self.shown(&record).await;
            }
        }
        Err(Refusal::new(ErrorCode::ContextUnsettled, "others changed the request during every try to vote")
            .hint("try again")
            .retry_after(1))
    }

    /// None if another driver changed the grant first.
    async fn try_vote(
        &self,
        record: GrantRecord,
        agent: &Agent,
        session: &Session,
        vote: &NewVote,
        because: Option<&str>,
    ) -> Result<Option<GrantRecord>, Refusal> {
        let now = self.clock.now();
        match vote.choice {
            Choice::Approve => self.may_approve(session, agent, &record.grant, now)?,
            // Also the person who started the run.
            Choice::Deny => self.may_vote(session, agent, (&record.grant).into(), now)?,
        }
        let denial = EndCause::DeniedBy(Actor::Person(session.person.clone()), because.map(str::to_owned));
        let counts_already = match vote.choice {
            Choice::Approve => has_approved(&record, session),
            Choice::Deny => {
                matches!(&record.grant.state, State::Denied { why, .. } if *why == denial.in_words())
            }
        };
        if counts_already {
            return Ok(Some(record));
        }
        if !waits_for_votes(&record) {
            return Err(decided(&record));
        }
        let again = self.decide_again(DecisionKind::Approval, &record, agent).await?;
        let record = match Box::pin(self.review(record, agent, &again)).await? {
            Reviewed::Waits(record) => record,
            Reviewed::Approved(record, _) | Reviewed::Denied(record, _) => return Err(decided(&record)),
            Reviewed::Overtaken(_) => return Ok(None),
        };
        let Some(approval) = &record.grant.approval else { return Ok(None) };
        if approval.subject.digest != vote.digest {
            let rules =
                if approval.rules.is_empty() { "no rule".to_owned() } else { approval.rules.join(", ") };
            return Err(Refusal::new(
                ErrorCode::RequestChanged,
                format!(
                    "the request is not the one that was shown: its digest is {} (asked by {rules})",
                    approval.subject.digest
                ),
            )
            .hint("look at the request again, and vote for what it is now"));
        }
        match vote.choice {
            Choice::Deny => {
                let claim = self.driver.claim_from(now);
                let record = self.driver.drive_to_end(record, &denial, &claim).await?;
                let denied = matches!(record.grant.state, State::Denied { .. });
                if denied {
                    self.counters.requests_denied();
                }
                Ok(denied.then_some(record))
            }
            Choice::Approve => {
                let vote = Vote { session: session.clone(), at: now, standing: None };
                self.add_vote(&record, vote, because).await
            }
        }
    }

    pub(crate) async fn shown(&self, record: &GrantRecord) -> Result<ApprovalRequest, Refusal> {
        let grant = &record.grant;
        let agent = self.store.agent(&grant.agent_id).await?;
        let scope = agent.as_ref().and_then(|agent| agent.registration.boundary.scope(grant.scope.as_str()));
        let policies = grant.policies.iter().map(|name| RequestedPolicy {
            name: name.clone(),
            sensitivity: scope
                .and_then(|scope| scope.sensitivity.get(name).copied())
                .unwrap_or_default()
                .as_str()
                .to_owned(),
            meaning: scope.and_then(|scope| scope.target.meaning_of(name)),
        });
        Ok(ApprovalRequest {
            grant: to_wire::grant(record),
            policies: policies.collect(),
            hints: grant.approval.as_ref().map(|approval| approval.hints.clone()).unwrap_or_default(),
        })
    }

    pub(super) async fn person_or_operator(&self, bearer: Option<&Secret>) -> Result<Caller, Refusal> {
        match self.caller(bearer).await? {
            caller @ (Caller::Operator(_) | Caller::Person(_)) => Ok(caller),
            Caller::Agent(_) | Caller::Code(_) => Err(not_for_agents()),
        }
    }
}

/// Whether the person's vote stands: another one changes nothing.
fn has_approved(record: &GrantRecord, session: &Session) -> bool {
    let approval = record.grant.approval.as_ref();
    // Also when its step has run to the end: an approval whose answer was lost, or a second click, is sent again.
    let undecided_or_approved = record.grant.status() != GrantStatus::Denied;
    undecided_or_approved && approval.is_some_and(|approval| approval.has_vote_of(&session.person))
}

fn decided(record: &GrantRecord) -> Refusal {
    let how = match record.grant.end_reason() {
        Some(why) => why,
        None => "approved".to_owned(),
    };
    Refusal::new(ErrorCode::RequestDecided, format!("the request takes no votes any more: {how}"))
}

pub(super) fn person_required() -> Refusal {
    Refusal::new(
        ErrorCode::PersonRequired,
        "a person decides: expected the session of a person, found an operator token",
    )
    .hint("run `cloudanix-jit login`")
}

/// The reason of a vote, as it may stand on a timeline.
pub(super) fn because(text: Option<&str>) -> Result<Option<String>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    let found = text.chars().count();
    if found > MAX_BECAUSE {
        let detail = format!("because: expected at most {MAX_BECAUSE} characters, found {found}");
        return Err(Refusal::new(ErrorCode::InvalidRequest, detail));
    }
    Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}
