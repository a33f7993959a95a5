//! Standing approvals: each votes for its person when a request waits that it covers.

use domain::facts::RequestFacts;
use domain::{Agent, Approval, StandingApproval, Vote};
use protocol::{GrantId, StandingApprovalId};
use store::GrantRecord;

use super::waits_for_votes;
use crate::{Engine, Refusal};

/// How often a change is tried again while others change the same standing approval or grant.
const TRIES: u32 = 10;

impl Engine {
    /// Votes for a waiting grant with every standing approval that covers it, until the votes are enough. `request` is
    /// what the grant's approval is for. Returns the grant as it is then.
    ///
    /// A use is stored before its vote. A crash in between costs no second use: the grant has it already.
    pub(crate) async fn vote_by_standing_approvals(
        &self,
        mut record: GrantRecord,
        agent: &Agent,
        request: &RequestFacts,
    ) -> Result<GrantRecord, Refusal> {
        let Some(approval) = &record.grant.approval else { return Ok(record) };
        let digest = approval.subject.digest.clone();
        for standing in self.store.standing_approvals(Some(&agent.id), self.clock.now()).await? {
            if standing.covers(&agent.id, request, &record.grant.provenance.signed) {
                record = Box::pin(self.vote_by_standing_approval(record, agent, &standing, &digest)).await?;
            }
        }
        Ok(record)
    }

    /// Votes with one standing approval, if the grant still waits for what the digest says, and the person may vote and
    /// has not. Others may vote at the same time.
    async fn vote_by_standing_approval(
        &self,
        mut record: GrantRecord,
        agent: &Agent,
        standing: &StandingApproval,
        digest: &str,
    ) -> Result<GrantRecord, Refusal> {
        let now = self.clock.now();
        let person = &standing.session.person;
        let needs_the_vote =
            |approval: &&Approval| approval.subject.digest == digest && !approval.has_vote_of(person);
        for _ in 0..TRIES {
            if !waits_for_votes(&record) || record.grant.approval.as_ref().filter(needs_the_vote).is_none() {
                break;
            }
            if let Err(refusal) = self.may_approve(&standing.session, agent, &record.grant, now) {
                tracing::info!(
                    grant = %record.grant.id, standing_approval = %standing.id, %refusal,
                    "a standing approval does not count for a request"
                );
                break;
            }
            let Some(used) = self.use_standing_approval(&standing.id, &record.grant.id).await? else { break };
            let vote = Vote { session: used.session, at: now, standing: Some(used.id) };
            match self.add_vote(&record, vote, used.because.as_deref()).await? {
                Some(voted) => return Ok(voted),
                None => record = self.driver.read(&record.grant.id).await?,
            }
        }
        Ok(record)
    }

    /// The standing approval with a use for this grant. None if it has ended, or no use is left.
    async fn use_standing_approval(
        &self,
        id: &StandingApprovalId,
        grant: &GrantId,
    ) -> Result<Option<StandingApproval>, Refusal> {
        for _ in 0..TRIES {
            let Some(standing) = self.store.standing_approval(id).await? else { return Ok(None) };
            let used = standing.is_in_force(self.clock.now()).then(|| standing.use_for(grant)).flatten();
            let Some(used) = used else { return Ok(None) };
            if used == standing || self.store.change_standing_approval(&standing, &used).await? {
                return Ok(Some(used));
            }
        }
        Ok(None)
    }

    /// Ends a standing approval, and withdraws its votes for requests that still wait.
    pub(crate) async fn end_standing_approval(
        &self,
        mut standing: StandingApproval,
    ) -> Result<StandingApproval, Refusal> {
        while !standing.revoked {
            let revoked = StandingApproval { revoked: true, ..standing.clone() };
            if self.store.change_standing_approval(&standing, &revoked).await? {
                standing = revoked;
                break;
            }
            match self.store.standing_approval(&standing.id).await? {
                Some(current) => standing = current,
                None => return Ok(revoked),
            }
        }
        let is_of = |vote: &Vote| vote.standing.as_ref() == Some(&standing.id);
        self.withdraw_votes(is_of, "a standing approval was revoked").await?;
        Ok(standing)
    }

    /// Ends every standing approval of a person.
    pub(crate) async fn end_standing_approvals_of(&self, issuer: &str, subject: &str) -> Result<(), Refusal> {
        for standing in self.store.standing_approvals(None, self.clock.now()).await? {
            if standing.session.person.id() == (issuer, subject) {
                self.end_standing_approval(standing).await?;
            }
        }
        Ok(())
    }
}
