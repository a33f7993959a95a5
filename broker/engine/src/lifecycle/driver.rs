//! The driver moves one grant toward its goal: active, or gone.
//!
//! The state of the record decides what is next, so a request, a retry, the worker after a crash and a roll-back run the
//! same code:
//!
//! | state | goal | the driver |
//! |---|---|---|
//! | applying | activate | applies the steps, then activates ([`apply`](super::apply)) |
//! | waiting for approval | end | writes that it is denied: nothing was provisioned |
//! | applying, active | end | writes the end, then reverts ([`end`](super::end)) |
//! | rolling back, ending | any | reverts the steps or observes their objects ([`revert`](super::revert)) |
//! | failed, revoked | any | removes a session-deny policy that is due |
//!
//! Each change is saved only over the version that was read: of two drivers of one grant, the first to save wins, and
//! the other stops.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use domain::{EndCause, State, TargetKind};
use policy::Permit;
use protocol::{Credentials, GrantId, Timestamp};
use store::{GrantRecord, Store};
use targets::claim::Claim;
use targets::{LateWrites, Target};

use crate::{Clock, Counters, Refusal, Settings};

/// The goal of the driver.
#[derive(Debug)]
pub enum Goal<'g> {
    /// Active: the steps are applied.
    Activate {
        /// Allows a fallback plan, and requests credentials. The worker has no permit: a client that retries joins the grant
        /// and gets credentials then.
        permit: Option<&'g Permit>,
        /// When the caller claimed the grant; without it, the driver claims the grant first.
        claimed_at: Option<Timestamp>,
    },
    /// Gone, for this reason. A grant that is ending already keeps its first reason.
    End(EndCause),
    /// The goal in the record itself: a grant that is ending is reverted; no grant is activated or ended.
    Finish,
}

/// The result of driving a grant.
#[derive(Debug)]
pub enum Outcome {
    /// This call activated the grant.
    Activated {
        /// As it was saved.
        record: GrantRecord,
        /// Made before the activation was saved: ending the grant from then on ends them as well. Only with a permit.
        credentials: Option<Credentials>,
    },
    /// A step could not be applied, and the grant is rolled back.
    NotActivated(Refusal),
    /// Another driver saved the grant first, and goes on with it or has ended it.
    Overtaken(GrantId),
    /// Nothing is left to do now.
    Settled(GrantRecord),
}

/// Drives grants. Knows nothing of requests.
pub struct Driver {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) targets: Vec<Arc<dyn Target>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Arc<ArcSwap<Settings>>,
    pub(crate) counters: Arc<Counters>,
}

impl Driver {
    /// Moves a grant toward `goal` as far as possible now. `claim` counts from before the record was read.
    ///
    /// The work is on the heap: with it in each future from the request to here, a debug build overflowed the stack of a
    /// thread.
    pub async fn drive(
        &self,
        record: GrantRecord,
        goal: Goal<'_>,
        claim: &Claim,
    ) -> Result<Outcome, Refusal> {
        let record = match goal {
            Goal::Activate { permit, claimed_at } => match &record.grant.state {
                State::Applying { .. } => {
                    return Box::pin(self.activate(record, permit, claimed_at, claim)).await;
                }
                State::Denied { .. }
                | State::Waiting(_)
                | State::RollingBack { .. }
                | State::Failed { .. }
                | State::Active { .. }
                | State::Ending(_)
                | State::Revoked { .. } => self.finish(record, claim).await?,
            },
            Goal::End(cause) => self.drive_to_end(record, &cause, claim).await?,
            Goal::Finish => self.finish(record, claim).await?,
        };
        Ok(Outcome::Settled(record))
    }

    pub(crate) async fn drive_to_end(
        &self,
        record: GrantRecord,
        cause: &EndCause,
        claim: &Claim,
    ) -> Result<GrantRecord, Refusal> {
        match &record.grant.state {
            State::Waiting(_) | State::Applying { .. } | State::Active { .. } => {
                Box::pin(self.end(record, cause, claim)).await
            }
            State::Denied { .. }
            | State::RollingBack { .. }
            | State::Failed { .. }
            | State::Ending(_)
            | State::Revoked { .. } => self.finish(record, claim).await,
        }
    }

    async fn finish(&self, record: GrantRecord, claim: &Claim) -> Result<GrantRecord, Refusal> {
        match &record.grant.state {
            State::RollingBack { .. } | State::Ending(_) => Box::pin(self.revert(record, claim)).await,
            State::Failed { .. } | State::Revoked { .. } => self.remove_session_denies(record, claim).await,
            State::Denied { .. } | State::Waiting(_) | State::Applying { .. } | State::Active { .. } => {
                Ok(record)
            }
        }
    }

    /// The claim of a driver that reads a grant at `began` or later.
    pub fn claim_from(&self, began: Timestamp) -> Claim {
        self.claim_until(began.plus(self.settings.load().claim))
    }

    pub(crate) fn claim_until(&self, ends: Timestamp) -> Claim {
        let clock = Arc::clone(&self.clock);
        Claim::until(ends, move || clock.now())
    }

    pub(crate) fn target(&self, kind: TargetKind) -> Result<&Arc<dyn Target>, Refusal> {
        self.targets.iter().find(|target| target.kind() == kind).ok_or_else(|| {
            Refusal::new(
                protocol::ErrorCode::TargetFailed,
                format!("this broker is not set up for the target `{kind}`"),
            )
        })
    }

    /// Whether a call for this kind of target can be applied late. A target that is not configured is treated like one
    /// where that is possible.
    pub(super) fn late_writes(&self, kind: TargetKind) -> LateWrites {
        self.target(kind)
            .map_or(LateWrites::Possible { within: Duration::ZERO }, |target| target.late_writes())
    }

    pub(crate) async fn read(&self, id: &GrantId) -> Result<GrantRecord, Refusal> {
        self.store.grant(id).await?.ok_or_else(Refusal::no_such_grant)
    }
}
