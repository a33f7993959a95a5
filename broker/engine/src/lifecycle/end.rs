//! Writes that a grant ends, then reverts it.

use domain::grant::WrongState;
use domain::{EndCause, Grant, State};
use store::{GrantRecord, Precondition, SaveOutcome};
use targets::LateWrites;
use targets::claim::Claim;

use super::Driver;
use super::resource_lock::Unlock;
use crate::Refusal;

impl Driver {
    pub(super) async fn end(
        &self,
        record: GrantRecord,
        cause: &EndCause,
        claim: &Claim,
    ) -> Result<GrantRecord, Refusal> {
        let mut current = record;
        let mut claim_before_read = claim.clone();
        loop {
            // From before the change: another driver may find the grant gone right after it, and counts from there.
            let claim = self.claim_from(self.clock.now());
            let ending = self.mark_claim_as_late_write(current.grant.clone(), cause);
            let ended = match ending.end(self.clock.now(), cause.clone()) {
                Ok(ended) => ended,
                // Another driver ended the grant first.
                Err(WrongState { .. }) => return self.revert(current, &claim_before_read).await,
            };
            let ended = match self.late_writes(current.grant.target) {
                LateWrites::Possible { .. } => ended,
                // Everything to revert is in the broker: both changes are one.
                LateWrites::Impossible => match self.revert_steps(&ended.grant, Unlock::Now, &claim).await? {
                    Some((reverted, _)) => ended.then(reverted),
                    None => ended,
                },
            };
            match self.store.save(&current, &ended, precondition(cause), None).await? {
                SaveOutcome::Done(record) => {
                    self.count_end(cause);
                    self.count_if_final(&record);
                    return self.revert(record, &claim).await;
                }
                SaveOutcome::Conflict | SaveOutcome::LockLost => {
                    let read = self.read(&current.grant.id).await?;
                    match cause {
                        // The client sent a heartbeat, or another driver goes on.
                        EndCause::LeaseLost | EndCause::Abandoned => return Ok(read),
                        // Persons or the client were faster: what they decided is not undone.
                        EndCause::DeniedBy(..) | EndCause::NotApproved | EndCause::NotCollected => {
                            return Ok(read);
                        }
                        // A failed try does not end what another try goes on with or has activated. If the grant was
                        // ended meanwhile, what this try has applied since is reverted as well.
                        EndCause::TargetFailed(_) => return self.revert(read, &claim).await,
                        EndCause::Client(_)
                        | EndCause::Deadline
                        | EndCause::AgentDisabled(_)
                        | EndCause::ContextChanged(_)
                        | EndCause::EndedBy(..) => (current, claim_before_read) = (read, claim),
                    }
                }
            }
        }
    }

    /// Marks what the previous driver may still send as a late write: its saves conflict from now on, but its claim on
    /// the target has not ended.
    pub(super) fn mark_claim_as_late_write(&self, grant: Grant, cause: &EndCause) -> Grant {
        match (&grant.state, cause, self.late_writes(grant.target)) {
            // The driver itself says that it has stopped.
            (_, EndCause::TargetFailed(_), _) | (_, _, LateWrites::Impossible) => grant,
            (State::Applying { claimed_until }, _, LateWrites::Possible { within }) => {
                let until = claimed_until.plus(within);
                grant.mark_late_write_possible(until)
            }
            (
                State::Denied { .. }
                | State::Waiting(_)
                | State::RollingBack { .. }
                | State::Failed { .. }
                | State::Active { .. }
                | State::Ending(_)
                | State::Revoked { .. },
                _,
                LateWrites::Possible { .. },
            ) => grant,
        }
    }

    fn count_end(&self, cause: &EndCause) {
        match cause {
            EndCause::LeaseLost => self.counters.leases_lost(),
            EndCause::Deadline => self.counters.grants_expired(),
            EndCause::Client(_)
            | EndCause::AgentDisabled(_)
            | EndCause::ContextChanged(_)
            | EndCause::EndedBy(..)
            | EndCause::DeniedBy(..)
            | EndCause::NotApproved
            | EndCause::NotCollected
            | EndCause::Abandoned
            | EndCause::TargetFailed(_) => {}
        }
    }
}

/// A lost lease ends a grant only if no heartbeat arrived since the record was read.
fn precondition(cause: &EndCause) -> Precondition {
    match cause {
        EndCause::LeaseLost => Precondition::VersionAndNoHeartbeat,
        EndCause::Client(_)
        | EndCause::Deadline
        | EndCause::AgentDisabled(_)
        | EndCause::ContextChanged(_)
        | EndCause::EndedBy(..)
        | EndCause::DeniedBy(..)
        | EndCause::NotApproved
        | EndCause::NotCollected
        | EndCause::Abandoned
        | EndCause::TargetFailed(_) => Precondition::Version,
    }
}
