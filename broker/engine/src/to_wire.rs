//! Translates records to the types of the protocol.

use domain::{State, Vote};
use protocol::approvals::{Approval, Approver};
use protocol::break_glass::{BreakGlass, Review};
use protocol::standing_approvals::StandingApproval;
use protocol::{Grant, Timestamp, agents};
use store::{GrantRecord, StoredToken};

pub(crate) fn grant(record: &GrantRecord) -> Grant {
    let grant = &record.grant;
    Grant {
        id: grant.id.clone(),
        status: grant.status(),
        agent_id: grant.agent_id.clone(),
        policies: grant.policies.clone(),
        target: grant.target.as_str().to_owned(),
        scope: grant.scope.to_string(),
        ttl: grant.ttl,
        requested_at: grant.requested_at,
        granted_at: grant.granted_at(),
        expires_at: grant.expires_at,
        ended_at: grant.ended_at(),
        end_reason: grant.end_reason(),
        enforced_by: grant.enforced_by,
        heartbeat_seconds: record.lease.and_then(|lease| u32::try_from(lease.every.as_secs()).ok()),
        provenance: grant.provenance.clone(),
        reason: grant.reason.clone(),
        approval: grant.approval.as_ref().map(|given| approval(given, &grant.state)),
        break_glass: grant
            .break_glass
            .as_ref()
            .map(|taken| Box::new(break_glass(taken, grant.review_until()))),
        denials: record.denials,
        credentials: None,
    }
}

pub(crate) fn approval(approval: &domain::Approval, state: &State) -> Approval {
    let waiting = match state {
        State::Waiting(waiting) => Some(waiting),
        State::Denied { .. }
        | State::Applying { .. }
        | State::RollingBack { .. }
        | State::Failed { .. }
        | State::Active { .. }
        | State::Ending(_)
        | State::Revoked { .. } => None,
    };
    let approver = |vote: &Vote| Approver {
        person: vote.session.person.clone(),
        at: vote.at,
        standing_approval: vote.standing.clone(),
    };
    Approval {
        digest: approval.subject.digest.clone(),
        quorum: approval.quorum,
        rules: approval.rules.clone(),
        approved_by: approval.votes.iter().map(approver).collect(),
        approved_at: waiting.and_then(|waiting| waiting.approved_at),
        until: waiting.map(|waiting| waiting.until),
    }
}

fn break_glass(taken: &domain::BreakGlass, review_until: Option<Timestamp>) -> BreakGlass {
    let review = taken.review.as_ref().map(|review| Review {
        by: review.by.clone(),
        at: review.at,
        note: review.note.clone(),
    });
    BreakGlass { by: taken.by.clone(), incident: taken.incident.clone(), review_until, review }
}

pub(crate) fn standing_approval(standing: &domain::StandingApproval) -> StandingApproval {
    StandingApproval {
        id: standing.id.clone(),
        person: standing.session.person.clone(),
        agent_id: standing.agent_id.clone(),
        scope: standing.scope.to_string(),
        policies: standing.policies.iter().map(|policy| policy.name.clone()).collect(),
        git_ref: standing.git_ref.clone(),
        uses: standing.uses,
        used: u32::try_from(standing.used_for.len()).unwrap_or(u32::MAX),
        because: standing.because.clone(),
        created_at: standing.created_at,
        until: standing.until,
    }
}

pub(crate) fn agent(agent: &domain::Agent, tokens: &[StoredToken], from_file: bool) -> agents::Agent {
    agents::Agent {
        id: agent.id.clone(),
        description: agent.registration.description.clone(),
        use_case: agent.registration.use_case.as_str().to_owned(),
        max_session: agent.registration.max_session,
        targets: agent.registration.boundary.scopes().map(|scope| scope.name.to_string()).collect(),
        status: match agent.status {
            domain::AgentStatus::Active => agents::AgentStatus::Active,
            domain::AgentStatus::Disabled => agents::AgentStatus::Disabled,
        },
        created_at: agent.created_at,
        updated_at: agent.updated_at,
        registration: agent.source.clone(),
        from_file,
        tokens: tokens
            .iter()
            .map(|token| agents::TokenInfo {
                id: token.id.clone(),
                created_at: token.created_at,
                expires_at: token.expires_at,
            })
            .collect(),
    }
}
