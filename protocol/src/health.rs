//! What an operator should look at.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::reconcile::Reconciliation;
use crate::{Grant, Timestamp};

/// The answer to `GET /v2/health`: of the broker that answers, and of the database that all brokers share.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// When.
    pub at: Timestamp,
    /// Why the broker that answers is not ready, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_ready: Option<String>,
    /// How many grants are in each status.
    pub grants: BTreeMap<String, u64>,
    /// Grants whose revoke fails, and those for which a worker should have acted two minutes ago: the newest 50.
    pub stuck: Vec<Grant>,
    /// The last comparison of the targets with the database by the broker that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconciled: Option<Reconciled>,
    /// Notifications that no channel has accepted.
    pub notifications: NotificationsHealth,
    /// Whether the configured folder of rules is refused, and the rules before it decide.
    pub rules_folder_refused: bool,
    /// How often the broker that answers could not reload a file since it started.
    pub reload_failures: u64,
}

/// A comparison of the targets with the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reconciled {
    /// When.
    pub at: Timestamp,
    /// What was found.
    #[serde(flatten)]
    pub found: Reconciliation,
}

/// Notifications that no channel has accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NotificationsHealth {
    /// How many were due and are not sent; counted up to 200.
    pub late: u32,
    /// When the first of them was due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_since: Option<Timestamp>,
    /// How many are not sent any more; counted up to 200.
    pub dead: u32,
}
