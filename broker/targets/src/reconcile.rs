//! Compares a target with the store: finds orphans, and objects of live grants that were changed by others.

use async_trait::async_trait;
use domain::{Grant, Step, StepData, TargetScope};
use protocol::{GrantId, Timestamp};
use serde::Deserialize;

use crate::TargetError;
use crate::claim::Claim;

/// A managed object that a survey found at the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The grant in the object's name.
    pub grant: GrantId,
    /// The object, as in [`Step::object`].
    pub object: String,
    /// Everything that removing the object needs; only the target reads it.
    pub data: StepData,
    /// When the object was created, if the target knows.
    pub created_at: Option<Timestamp>,
    /// Until when a session-deny policy is needed; it is no orphan before.
    pub needed_until: Option<Timestamp>,
}

/// A difference between a live grant's object and what the broker provisioned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// The name under which a shared step of another grant may have created it.
    pub object: Option<String>,
    /// For the timeline.
    pub what: String,
}

/// What the reconciler does with orphans.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrphanRule {
    /// Removes them.
    #[default]
    Remove,
    /// Reports them.
    Report,
}

/// The half of a target that compares it with the store.
#[async_trait]
pub trait Reconcile: Send + Sync {
    /// Lists every managed object within a scope.
    async fn survey(&self, scope: &TargetScope) -> Result<Vec<Found>, TargetError>;

    /// Removes an orphan; returns a text for the timeline. Sends no call after the end of the claim.
    async fn remove(&self, found: &Found, now: Timestamp, claim: &Claim) -> Result<String, TargetError>;

    /// Compares a live grant's object with what this step applied.
    async fn drift(&self, grant: &Grant, step: &Step, now: Timestamp) -> Result<Option<Drift>, TargetError>;
}
