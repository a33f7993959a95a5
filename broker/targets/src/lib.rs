//! How is permission given, and taken back?
//!
//! One folder per target; in it, what is done and how that is undone stand side by side. Doing and undoing a
//! step twice is the same as once: after a crash nobody remembers how far the first try came.

use async_trait::async_trait;
use domain::{Grant, Step, TargetKind};
use policy::Permit;
use protocol::{Credentials, EnforcedBy, GrantId, Timestamp};

pub mod token;

/// A target could not be changed or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct TargetError {
    /// What happened, for the timeline: names no secret.
    pub what: String,
}

/// What became of an undo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undone {
    /// Nothing is left, and this is how it is known.
    Gone {
        /// For the timeline.
        proof: String,
    },
    /// The target took it; whether nothing is left shows at `look_at`.
    Accepted {
        /// For the timeline.
        receipt: String,
        /// When to look.
        look_at: Timestamp,
    },
}

/// Whether a change that was begun can arrive after its undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LateChanges {
    /// Nothing is changed outside the broker.
    Impossible,
    /// A call that is under way is not stopped by undoing.
    Possible,
}

/// Where permission is given.
#[async_trait]
pub trait Target: Send + Sync {
    /// Which one.
    fn kind(&self) -> TargetKind;

    /// Who ends a grant at its deadline.
    fn enforced_by(&self) -> EnforcedBy;

    /// Whether what never became active has to be undone once more when nobody can be at it any more.
    fn late_changes(&self) -> LateChanges {
        LateChanges::Possible
    }

    /// What would be done for a grant with this id, in order.
    fn steps(&self, permit: &Permit, id: &GrantId) -> Vec<Step>;

    /// Does one step, and says so in words for the timeline.
    async fn apply(
        &self,
        permit: &Permit,
        grant: &Grant,
        step: &Step,
        now: Timestamp,
    ) -> Result<String, TargetError>;

    /// Undoes one step, whether it was done or not, from what the grant pins alone.
    async fn undo(&self, grant: &Grant, step: &Step, now: Timestamp) -> Result<Undone, TargetError>;

    /// Looks whether an undone step left anything.
    async fn look(&self, grant: &Grant, step: &Step, now: Timestamp) -> Result<Undone, TargetError>;

    /// What the step of the pipeline uses. Asked again when a retry joins the grant.
    async fn credentials(
        &self,
        permit: &Permit,
        grant: &Grant,
        now: Timestamp,
    ) -> Result<Credentials, TargetError>;
}
