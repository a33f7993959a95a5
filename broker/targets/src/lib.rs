//! Targets: where access is provisioned and removed.
//!
//! One folder per target; apply, revert and observe of a step stand side by side in one file. Applying or reverting a
//! step twice has the same effect as once, because a broker that crashed does not know how far it came.

use std::time::Duration;

use async_trait::async_trait;
use domain::{Grant, Step, TargetKind, TargetScope};
use policy::Permit;
use protocol::{Credentials, EnforcedBy, GrantId, Timestamp};

use self::claim::Claim;

pub mod aws;
mod calls;
pub mod claim;
mod reconcile;
mod step;
mod throttle;
pub mod token;

pub use self::reconcile::{Drift, Found, OrphanRule, Reconcile};

/// A call to a target failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct TargetError {
    /// For the timeline. Contains no secret.
    pub what: String,
    /// How to react.
    pub fault: Fault,
}

/// How the driver reacts to a failed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The target refused. A retry would be refused as well.
    Refused,
    /// A quota of the target is used up. Another grant may free it, and a fallback plan may not need it.
    Full {
        /// When to retry.
        retry_after: Duration,
    },
    /// The target refused for now: throttled, or busy with another change.
    Busy {
        /// When to retry.
        retry_after: Duration,
    },
    /// No answer. The target may have applied the change, or may still apply it.
    Unknown,
}

impl TargetError {
    /// A refusal of the target.
    pub fn refused(what: impl Into<String>) -> Self {
        Self { what: what.into(), fault: Fault::Refused }
    }
}

/// The steps of a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In order. Each step contains everything that reverting it needs.
    pub steps: Vec<Step>,
    /// Who ends the access at the deadline.
    pub enforced_by: EnforcedBy,
}

/// The result of reverting a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// The object is gone.
    Confirmed {
        /// For the timeline.
        proof: String,
        /// When the session-deny policy that reverting installed can be removed, if it installed one.
        session_deny_until: Option<Timestamp>,
    },
    /// The target accepted the change; observe the object at `observe_at`.
    Pending {
        /// For the timeline.
        receipt: String,
        /// When to observe the object.
        observe_at: Timestamp,
    },
}

impl Removal {
    /// Gone, with no session-deny policy left behind.
    pub fn confirmed(proof: impl Into<String>) -> Self {
        Self::Confirmed { proof: proof.into(), session_deny_until: None }
    }
}

/// The result of observing a step's object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// The object does not exist, or the access that it gave is refused.
    Absent {
        /// For the timeline.
        proof: String,
        /// When the session-deny policy that was found or installed can be removed.
        session_deny_until: Option<Timestamp>,
    },
    /// The object exists. Reverting has had no effect, or another owner created it.
    Present,
}

impl Presence {
    /// Absent, with no session-deny policy left behind.
    pub fn absent(proof: impl Into<String>) -> Self {
        Self::Absent { proof: proof.into(), session_deny_until: None }
    }
}

/// Whether a write that was sent can still be applied after its step was reverted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LateWrites {
    /// The target changes nothing outside the broker.
    Impossible,
    /// A call whose answer was lost may still be applied.
    Possible {
        /// Counted from the end of the claim under which the call was sent.
        within: Duration,
    },
}

/// A place where access is provisioned.
#[async_trait]
pub trait Target: Send + Sync {
    /// The kind of this target.
    fn kind(&self) -> TargetKind;

    /// Checks that this broker can provision in a scope; the error says what is missing.
    fn check_scope(&self, _scope: &TargetScope) -> Result<(), String> {
        Ok(())
    }

    /// Whether a timed-out call can still take effect after its step was reverted.
    fn late_writes(&self) -> LateWrites;

    /// Plans the steps of a grant with this id and deadline. Changes nothing.
    async fn plan(&self, permit: &Permit, id: &GrantId, ends: Timestamp) -> Result<Plan, TargetError>;

    /// Whether a step can be applied, and reverted, in parallel with the step before it.
    fn can_run_in_parallel_with(&self, _step: &Step, _before: &Step) -> bool {
        false
    }

    /// Applies one step; returns the receipt for the timeline. No call that changes the target is sent after the end of
    /// the claim; the same holds for the claims below.
    async fn apply(
        &self,
        grant: &Grant,
        step: &Step,
        now: Timestamp,
        claim: &Claim,
    ) -> Result<String, TargetError>;

    /// Reverts one step, whether it was applied or not, using only what the grant pins.
    async fn revert(
        &self,
        grant: &Grant,
        step: &Step,
        now: Timestamp,
        claim: &Claim,
    ) -> Result<Removal, TargetError>;

    /// Reads whether a step's object exists.
    async fn observe(
        &self,
        grant: &Grant,
        step: &Step,
        now: Timestamp,
        claim: &Claim,
    ) -> Result<Presence, TargetError>;

    /// Removes the session-deny policy of a reverted step; returns a text for the timeline if there was one.
    async fn remove_session_deny(
        &self,
        _grant: &Grant,
        _step: &Step,
        _now: Timestamp,
        _claim: &Claim,
    ) -> Result<Option<String>, TargetError> {
        Ok(None)
    }

    /// When the session-deny policy installed by reverting this step at `now` can be removed, if it installs one.
    fn session_deny_needed_until(&self, _step: &Step, _now: Timestamp) -> Option<Timestamp> {
        None
    }

    /// Credentials for the pipeline's step. Called again when a retry joins the grant, and when a session expires before
    /// the grant.
    async fn credentials(
        &self,
        permit: &Permit,
        grant: &Grant,
        now: Timestamp,
    ) -> Result<Credentials, TargetError>;

    /// A plan to use instead of a step that failed, if there is one.
    async fn fallback_plan(
        &self,
        _permit: &Permit,
        _grant: &Grant,
        _step: &Step,
        _error: &TargetError,
    ) -> Option<Plan> {
        None
    }

    /// Compares this target with the store; none if the target changes nothing outside the broker.
    fn reconcile(&self) -> Option<&dyn Reconcile> {
        None
    }
}
