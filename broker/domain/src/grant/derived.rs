//! What follows from the state of a grant.

use protocol::{Actor, GrantStatus, Person, Timestamp};

use super::{Ending, Grant, Phase, State};

impl Grant {
    /// When the worker drives it: at the deadline, the next try, the end of the claim, or when its review is overdue.
    pub fn due_at(&self) -> Option<Timestamp> {
        match &self.state {
            State::Applying { claimed_until } => Some(*claimed_until),
            State::RollingBack { retry_at, .. } => Some(*retry_at),
            State::Active { .. } => Some(self.expires_at),
            State::Ending(ending) => Some(ending.retry_at),
            State::Failed { .. } => self.session_deny_until,
            State::Revoked { .. } => {
                [self.session_deny_until, self.review_until()].into_iter().flatten().min()
            }
            State::Waiting(waiting) => Some(waiting.until),
            State::Denied { .. } => None,
        }
    }

    /// When its time begins: with the request, or when the run of an approved request collected it. Nothing was
    /// provisioned for it before.
    pub fn begins_at(&self) -> Timestamp {
        self.expires_at.minus(self.ttl.into())
    }

    /// Whether the client sends heartbeats now, if it promised to.
    pub fn needs_heartbeats(&self) -> bool {
        matches!(self.state, State::Waiting(_) | State::Active { .. })
    }

    /// The state, as the protocol names it.
    pub fn status(&self) -> GrantStatus {
        match &self.state {
            State::Denied { .. } => GrantStatus::Denied,
            State::Waiting(_) => GrantStatus::PendingApproval,
            State::Applying { .. } => GrantStatus::Applying,
            State::RollingBack { .. } => GrantStatus::RollingBack,
            State::Failed { .. } => GrantStatus::Failed,
            State::Active { .. } => GrantStatus::Active,
            State::Ending(ending) => match ending.phase {
                Phase::Revoking => GrantStatus::Revoking,
                Phase::Verifying => GrantStatus::Verifying,
                Phase::RevokeFailing => GrantStatus::RevokeFailing,
                Phase::Expired => GrantStatus::Expired,
            },
            State::Revoked { .. } => GrantStatus::Revoked,
        }
    }

    /// When it became active.
    pub fn granted_at(&self) -> Option<Timestamp> {
        match &self.state {
            State::Active { granted_at } | State::Revoked { granted_at, .. } => Some(*granted_at),
            State::Ending(ending) => Some(ending.granted_at),
            State::Denied { .. }
            | State::Waiting(_)
            | State::Applying { .. }
            | State::RollingBack { .. }
            | State::Failed { .. } => None,
        }
    }

    /// When it became final.
    pub fn ended_at(&self) -> Option<Timestamp> {
        match &self.state {
            State::Denied { ended_at, .. }
            | State::Revoked { ended_at, .. }
            | State::Failed { ended_at, .. } => Some(*ended_at),
            State::Waiting(_)
            | State::Applying { .. }
            | State::RollingBack { .. }
            | State::Active { .. }
            | State::Ending(_) => None,
        }
    }

    /// Why it ended, is ending or was denied.
    pub fn end_reason(&self) -> Option<String> {
        match &self.state {
            State::Denied { why, .. } => Some(why.clone()),
            State::RollingBack { cause, .. } | State::Failed { cause, .. } | State::Revoked { cause, .. } => {
                Some(cause.in_words())
            }
            State::Ending(ending) => Some(ending.cause.in_words()),
            State::Waiting(_) | State::Applying { .. } | State::Active { .. } => None,
        }
    }

    /// The persons who approved it, ended it, took it by break-glass or reviewed it. Who denied a request is in its reason.
    pub fn persons(&self) -> impl Iterator<Item = &Person> {
        let votes = self.approval.iter().flat_map(|approval| &approval.votes);
        let review = self.break_glass.iter().filter_map(|taken| taken.review.as_ref());
        let ended = match &self.state {
            State::RollingBack { cause, .. } | State::Failed { cause, .. } | State::Revoked { cause, .. } => {
                cause.by()
            }
            State::Ending(ending) => ending.cause.by(),
            State::Denied { .. } | State::Waiting(_) | State::Applying { .. } | State::Active { .. } => None,
        };
        let actors = self.break_glass.iter().map(|taken| &taken.by).chain(review.map(|review| &review.by));
        let actors = actors.chain(ended).filter_map(|actor| match actor {
            Actor::Person(person) => Some(person),
            Actor::Operator { .. } | Actor::Code { .. } => None,
        });
        votes.map(|vote| &vote.session.person).chain(actors)
    }

    /// How often reverting it was tried and failed.
    pub fn attempts(&self) -> u32 {
        match &self.state {
            State::RollingBack { attempts, .. } => *attempts,
            State::Ending(ending) => ending.attempts,
            State::Denied { .. }
            | State::Waiting(_)
            | State::Applying { .. }
            | State::Failed { .. }
            | State::Active { .. }
            | State::Revoked { .. } => 0,
        }
    }

    /// Whether every revert was accepted, and the objects are to be observed.
    pub fn is_verifying(&self) -> bool {
        matches!(self.state, State::Ending(Ending { phase: Phase::Verifying, .. }))
    }

    pub(super) fn is_revoke_failing(&self) -> bool {
        matches!(self.state, State::Ending(Ending { phase: Phase::RevokeFailing, .. }))
    }
}
