//! How is permission given, and taken back?
//!
//! One folder per target; in it, what is done and how that is undone stand side by side. Doing and undoing a
//! step twice is the same as once: after a crash nobody remembers how far the first try came.

use std::time::Duration;

use async_trait::async_trait;
use domain::{Boundary, Grant, Place, Step, TargetKind};
use policy::Permit;
use protocol::{Credentials, EnforcedBy, GrantId, Timestamp};

use self::claim::Claim;
use self::leave::Leave;

pub mod aws;
pub mod claim;
pub mod leave;
pub mod token;

/// A target could not be changed or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct TargetError {
    /// What happened, for the timeline: names no secret.
    pub what: String,
    /// What can be concluded from it.
    pub fault: Fault,
}

/// What can be concluded from a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The target said no. Asking again would get the same answer.
    Refused,
    /// A quota is used up. It may be free again when another grant ends; another way may need none of it.
    Full {
        /// When to ask again.
        retry_after: Duration,
    },
    /// The target said no for now: throttled, or somebody else's change is under way.
    Busy {
        /// When to ask again.
        retry_after: Duration,
    },
    /// No answer came. What was asked may be done, or be done later.
    Unknown,
}

impl TargetError {
    /// The target said no.
    pub fn refused(what: impl Into<String>) -> Self {
        Self { what: what.into(), fault: Fault::Refused }
    }
}

/// What is to be done for a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In order, with all that undoing them needs.
    pub steps: Vec<Step>,
    /// Who ends the grant at its deadline.
    pub enforced_by: EnforcedBy,
}

/// What became of an undo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undone {
    /// Nothing is left, and this is how it is known.
    Gone {
        /// For the timeline.
        proof: String,
        /// Something keeps sessions dead that cannot be called back; it can be taken away then.
        sweep_at: Option<Timestamp>,
    },
    /// The target took it; whether nothing is left shows at `look_at`.
    Accepted {
        /// For the timeline.
        receipt: String,
        /// When to look.
        look_at: Timestamp,
    },
}

impl Undone {
    /// Nothing is left at all.
    pub fn gone(proof: impl Into<String>) -> Self {
        Self::Gone { proof: proof.into(), sweep_at: None }
    }
}

/// Whether a change that was begun can arrive after its undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LateChanges {
    /// Nothing is changed outside the broker.
    Impossible,
    /// A call that is under way is not stopped by undoing, and may arrive for so long.
    Possible {
        /// Counted from when its caller lost it: from the end of the caller's claim at the latest.
        within: Duration,
    },
}

/// Something with our names on it that was found at the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The grant that it says it is of.
    pub grant: GrantId,
    /// As a step that can be undone.
    pub step: Step,
    /// When it was made, if the target knows.
    pub made_at: Option<Timestamp>,
    /// It keeps ended sessions dead until then: no orphan before.
    pub needed_until: Option<Timestamp>,
}

/// Somebody else changed what a live grant gave, or gives it too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// As a shared step would name what is there as well: another grant may have put it there after all.
    pub object: Option<String>,
    /// For the timeline.
    pub what: String,
}

/// Where permission is given.
#[async_trait]
pub trait Target: Send + Sync {
    /// Which one.
    fn kind(&self) -> TargetKind;

    /// Whether grants can be given there; if not, what is missing.
    fn serves(&self, _place: &Place) -> Result<(), String> {
        Ok(())
    }

    /// Whether what never became active has to be undone once more when nothing can arrive any more.
    fn late_changes(&self) -> LateChanges;

    /// What would be done for a grant with this id that ends then. Changes nothing.
    async fn plan(&self, permit: &Permit, id: &GrantId, ends: Timestamp) -> Result<Plan, TargetError>;

    /// Whether a step needs nothing of the one before it: then both are done at once, and undone.
    fn goes_with(&self, _step: &Step, _before: &Step) -> bool {
        false
    }

    /// Does one step, and says so in words for the timeline. Before it has leave it may get ready, but not change
    /// anything: until then the step is not written down, or not to be done at all. No call that changes something is
    /// sent after the end of the claim that comes with the leave; the same holds for the claims below.
    async fn apply(
        &self,
        grant: &Grant,
        step: &Step,
        now: Timestamp,
        leave: Leave,
    ) -> Result<String, TargetError>;

    /// Undoes one step, whether it was done or not, from what the grant pins alone.
    async fn undo(
        &self,
        grant: &Grant,
        step: &Step,
        now: Timestamp,
        claim: &Claim,
    ) -> Result<Undone, TargetError>;

    /// Looks whether a step's object is there.
    async fn look(
        &self,
        grant: &Grant,
        step: &Step,
        now: Timestamp,
        claim: &Claim,
    ) -> Result<Undone, TargetError>;

    /// Takes away what kept a step's sessions dead. Says so in words if there was anything.
    async fn sweep(
        &self,
        _grant: &Grant,
        _step: &Step,
        _now: Timestamp,
        _claim: &Claim,
    ) -> Result<Option<String>, TargetError> {
        Ok(None)
    }

    /// Until when that is needed which an undo of this step at `now` puts there to keep sessions dead; nothing if it puts
    /// nothing.
    fn keeps_dead_until(&self, _step: &Step, _now: Timestamp) -> Option<Timestamp> {
        None
    }

    /// What the step of the pipeline uses. Asked again when a retry joins the grant, and when a session ends
    /// before the grant.
    async fn credentials(
        &self,
        permit: &Permit,
        grant: &Grant,
        now: Timestamp,
    ) -> Result<Credentials, TargetError>;

    /// What can be done in the place of a step that failed; nothing if there is no other way.
    async fn instead(
        &self,
        _permit: &Permit,
        _grant: &Grant,
        _step: &Step,
        _error: &TargetError,
    ) -> Option<Plan> {
        None
    }

    /// Everything with our names on it within a boundary.
    async fn survey(&self, _boundary: &Boundary) -> Result<Vec<Found>, TargetError> {
        Ok(Vec::new())
    }

    /// Removes what was found and belongs to no live grant. Says so in words.
    async fn remove(&self, found: &Found, _now: Timestamp, _claim: &Claim) -> Result<String, TargetError> {
        Err(TargetError::refused(format!("`{}` is not a step of this target", found.step.action)))
    }

    /// How what is there differs from what this step of a live grant did.
    async fn drift(
        &self,
        _grant: &Grant,
        _step: &Step,
        _now: Timestamp,
    ) -> Result<Option<Drift>, TargetError> {
        Ok(None)
    }
}
