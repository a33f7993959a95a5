//! Transitions of a grant that waits for the approval of persons.

use std::collections::BTreeMap;

use protocol::{Actor, EnforcedBy, EventKind, Source, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Grant, Request, State, Step, Transition, WrongState};
use crate::approval::{Approval, Vote};
use crate::event::NewEvent;

/// What an event says of an approval, in its field [`ApprovalStep::FIELD`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApprovalStep {
    /// A rule asks for it.
    Required,
    /// A person approved.
    Given,
    /// What is to be approved changed, or a vote does not count any more: votes before do not count.
    RequiredAgain,
    /// A change of rules made it unnecessary.
    NotRequired,
    /// The run collected the grant.
    Collected,
}

impl ApprovalStep {
    /// The name of the field.
    pub const FIELD: &str = "approval";

    const ALL: [Self; 5] =
        [Self::Required, Self::Given, Self::RequiredAgain, Self::NotRequired, Self::Collected];

    /// As in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Given => "given",
            Self::RequiredAgain => "required_again",
            Self::NotRequired => "not_required",
            Self::Collected => "collected",
        }
    }

    /// What the fields of an event say.
    pub fn of(fields: &BTreeMap<String, String>) -> Option<Self> {
        let said = fields.get(Self::FIELD)?;
        Self::ALL.into_iter().find(|step| step.as_str() == said)
    }
}

/// How far a grant is that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Since when it is approved; none while votes are missing.
    pub approved_at: Option<Timestamp>,
    /// The end of the wait: for votes, or for the client that collects the grant.
    pub until: Timestamp,
}

impl Grant {
    /// Creates a grant that needs approval. It has no steps: nothing is planned before it is collected.
    pub fn waiting(request: Request, now: Timestamp, approval: Approval, until: Timestamp) -> Transition {
        let key = request.key.clone();
        let state = State::Waiting(Waiting { approved_at: None, until });
        let mut grant = request.into_grant(now, Some(key), EnforcedBy::Broker, Vec::new(), state);
        let needed = needs(&approval);
        let event = NewEvent::new(now, EventKind::Approval, format!("boundary OK · {needed}"))
            .with(ApprovalStep::FIELD, ApprovalStep::Required.as_str())
            .with("digest", &approval.subject.digest)
            .with("quorum", approval.quorum)
            .with("until", until);
        grant.approval = Some(approval);
        let mut events = vec![grant.request_event()];
        events.extend(grant.danger_event());
        events.push(event);
        Transition { grant, events }
    }

    /// Adds the vote of a person for approval. With `collect_until` the votes are enough.
    pub fn vote(
        mut self,
        vote: Vote,
        because: Option<&str>,
        collect_until: Option<Timestamp>,
    ) -> Result<Transition, WrongState> {
        let (State::Waiting(waiting @ Waiting { approved_at: None, .. }), Some(approval)) =
            (&mut self.state, &mut self.approval)
        else {
            return Err(self.cannot("be approved"));
        };
        let (now, person) = (vote.at, vote.session.person.clone());
        let standing = vote.standing.clone();
        approval.votes.push(vote);
        let mut text = format!("approved by {}", person.shown());
        if let Some(because) = because {
            text = format!("{text}: {because}");
        }
        if let Some(standing) = &standing {
            text = format!("{text} · in advance by {standing}");
        }
        text = format!("{text} · {} of {}", approval.votes.len(), approval.quorum);
        let mut event = NewEvent::new(now, EventKind::Approval, text)
            .said_by(Source::Operator)
            .caused_by(Some(Actor::Person(person)))
            .with(ApprovalStep::FIELD, ApprovalStep::Given.as_str())
            .with("digest", &approval.subject.digest);
        if let Some(standing) = standing {
            event = event.with("standing_approval", standing);
        }
        if let Some(until) = collect_until {
            *waiting = Waiting { approved_at: Some(now), until };
            event = event.with("until", until);
        }
        Ok(Transition { grant: self, events: vec![event] })
    }

    /// Replaces what is to be approved, or removes votes of which one does not count any more: persons have to vote
    /// again.
    pub fn ask_again(
        mut self,
        now: Timestamp,
        approval: Approval,
        until: Timestamp,
        why: &str,
    ) -> Result<Transition, WrongState> {
        if !matches!(self.state, State::Waiting(_)) {
            return Err(self.cannot("wait for votes again"));
        }
        let by = approval.rules.join(", ");
        let by = if by.is_empty() { by } else { format!(" · {by}") };
        let text = format!("{why} · {}{by}", needs(&approval));
        let event = NewEvent::new(now, EventKind::Approval, text)
            .with(ApprovalStep::FIELD, ApprovalStep::RequiredAgain.as_str())
            .with("digest", &approval.subject.digest)
            .with("quorum", approval.quorum)
            .with("until", until);
        self.state = State::Waiting(Waiting { approved_at: None, until });
        self.approval = Some(Approval { votes: Vec::new(), ..approval });
        Ok(Transition { grant: self, events: vec![event] })
    }

    /// The rules do not ask for an approval any more.
    pub fn needs_no_approval(
        mut self,
        now: Timestamp,
        collect_until: Timestamp,
    ) -> Result<Transition, WrongState> {
        let State::Waiting(waiting) = &mut self.state else {
            return Err(self.cannot("be approved by a change of rules"));
        };
        *waiting = Waiting { approved_at: Some(now), until: collect_until };
        let event = NewEvent::new(now, EventKind::Approval, "the rules ask for no approval any more")
            .with(ApprovalStep::FIELD, ApprovalStep::NotRequired.as_str())
            .with("until", collect_until);
        Ok(Transition { grant: self, events: vec![event] })
    }

    /// The client collects the approved grant: it has steps and a deadline from now on. The caller has the claim until
    /// `claimed_until`.
    pub fn collect(
        mut self,
        now: Timestamp,
        enforced_by: EnforcedBy,
        steps: Vec<Step>,
        claimed_until: Timestamp,
    ) -> Result<Transition, WrongState> {
        let State::Waiting(Waiting { approved_at: Some(_), .. }) = &self.state else {
            return Err(self.cannot("be collected"));
        };
        self.state = State::Applying { claimed_until };
        self.expires_at = now.plus(self.ttl.into());
        self.enforced_by = enforced_by;
        self.steps = steps;
        let event = NewEvent::new(now, EventKind::Approval, "collected by its run")
            .with(ApprovalStep::FIELD, ApprovalStep::Collected.as_str())
            .with("enforced_by", enforced_by.as_str());
        Ok(Transition { grant: self, events: vec![event] })
    }
}

fn needs(approval: &Approval) -> String {
    match approval.quorum {
        1 => "needs the approval of a person".to_owned(),
        several => format!("needs the approval of {several} persons"),
    }
}
