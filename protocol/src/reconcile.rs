//! Is the target as the broker's database says?

use serde::{Deserialize, Serialize};

use crate::GrantId;

/// The body of `POST /v2/reconcile`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReconcileRequest {
    /// Remove what belongs to grants that the database does not know, too. It does not know those that were given
    /// after the backup from which it was restored, and those of another broker in the same account.
    #[serde(default)]
    pub remove_unknown: bool,
}

/// What a comparison found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reconciliation {
    /// How many things have our names on them.
    pub found: u32,
    /// Those that belong to no live grant.
    pub orphans: Vec<Orphan>,
    /// How many live grants were told that somebody else has changed something beside them.
    pub drifted: u32,
    /// How many places could not be looked at.
    pub not_looked_at: u32,
}

/// Something with our names on it that belongs to no live grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Orphan {
    /// The grant that it says it is of.
    pub grant_id: GrantId,
    /// What it is.
    pub object: String,
    /// Whether the database knows that grant.
    pub known: bool,
    /// What was done about it.
    pub outcome: OrphanOutcome,
    /// Why, or how.
    pub detail: String,
}

/// What was done about an orphan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum OrphanOutcome {
    /// Nothing yet: its grace is not over.
    Waiting,
    /// It is only reported.
    Reported,
    /// It is gone.
    Removed,
    /// It was to be removed, and could not be.
    Failed,
}
