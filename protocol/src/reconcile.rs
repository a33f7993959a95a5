//! Comparisons of the targets with the broker's database.

use serde::{Deserialize, Serialize};

use crate::GrantId;

/// The body of `POST /v2/reconcile`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReconcileRequest {
    /// Also remove objects of grants that the database does not know: grants made after the backup from which the
    /// database was restored, and grants of another broker in the same account.
    #[serde(default)]
    pub remove_unknown: bool,
}

/// The result of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reconciliation {
    /// How many objects with the broker's names exist.
    pub found: u32,
    /// Objects that belong to no live grant.
    pub orphans: Vec<Orphan>,
    /// How many live grants got a `drift` event: their objects were changed by others.
    pub drifted: u32,
    /// Every live grant whose objects differ from what the broker provisioned, with those that were found before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<Drift>,
    /// How many places could not be read.
    pub not_looked_at: u32,
}

/// A live grant whose objects were changed by others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Drift {
    /// The grant.
    pub grant_id: GrantId,
    /// What differs.
    pub what: String,
}

/// An object with the broker's names that belongs to no live grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Orphan {
    /// The grant that the object names.
    pub grant_id: GrantId,
    /// The object.
    pub object: String,
    /// Whether the database knows that grant.
    pub known: bool,
    /// The action that was taken.
    pub outcome: OrphanOutcome,
    /// Details as text.
    pub detail: String,
}

/// The action taken on an orphan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum OrphanOutcome {
    /// None yet: the grace period is not over.
    Waiting,
    /// The orphan is reported and left.
    Reported,
    /// The orphan was removed.
    Removed,
    /// The removal failed.
    Failed,
}
