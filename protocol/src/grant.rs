//! Grants as the API shows them: status, credentials, facts.

use serde::{Deserialize, Serialize};

use crate::approvals::Approval;
use crate::break_glass::BreakGlass;
use crate::{AgentId, GrantId, PolicyName, Provenance, Secret, Timestamp, Ttl, secret};

/// The state of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum GrantStatus {
    /// The request was refused; nothing was provisioned.
    Denied,
    /// Waits for the approval of persons, or for the client that collects an approved grant.
    PendingApproval,
    /// The broker provisions the access.
    Applying,
    /// Did not become active; the broker removes what it provisioned.
    RollingBack,
    /// Did not become active; nothing is left at the target.
    Failed,
    /// The access exists.
    Active,
    /// The broker removes the access.
    Revoking,
    /// The target accepted the removal; the broker verifies that the access is gone.
    Verifying,
    /// The revoke failed repeatedly; the broker keeps trying, and raises an alarm.
    RevokeFailing,
    /// The target ended the access at the deadline; the broker removes the rest.
    Expired,
    /// The access is gone, verified.
    Revoked,
}

impl GrantStatus {
    /// Every status, in the order in which a grant passes them.
    pub const ALL: &'static [Self] = &[
        Self::Denied,
        Self::PendingApproval,
        Self::Applying,
        Self::RollingBack,
        Self::Failed,
        Self::Active,
        Self::Revoking,
        Self::Verifying,
        Self::RevokeFailing,
        Self::Expired,
        Self::Revoked,
    ];

    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::PendingApproval => "pending_approval",
            Self::Applying => "applying",
            Self::RollingBack => "rolling_back",
            Self::Failed => "failed",
            Self::Active => "active",
            Self::Revoking => "revoking",
            Self::Verifying => "verifying",
            Self::RevokeFailing => "revoke_failing",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    /// Whether the grant never changes again.
    pub fn is_final(self) -> bool {
        match self {
            Self::Denied | Self::Failed | Self::Revoked => true,
            Self::PendingApproval
            | Self::Applying
            | Self::RollingBack
            | Self::Active
            | Self::Revoking
            | Self::Verifying
            | Self::RevokeFailing
            | Self::Expired => false,
        }
    }
}

/// Who ends the access at the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum EnforcedBy {
    /// The target: the access ends even if no broker runs.
    Cloud,
    /// The broker: the access ends once a broker runs.
    Broker,
}

impl EnforcedBy {
    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cloud => "cloud",
            Self::Broker => "broker",
        }
    }
}

/// The credentials of a grant. Part of the answer to elevate, and of no other unless they are requested again.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Credentials {
    /// A signed JWT. The step reads it from `CLOUDANIX_GRANT_TOKEN`.
    Token {
        /// The JWT in compact form.
        #[serde(serialize_with = "secret::on_the_wire")]
        #[cfg_attr(feature = "openapi", schema(value_type = String, format = Password))]
        token: Secret,
    },
    /// The workload's own credentials: the access was added to their principal.
    Held,
    /// The keys of an AWS session for this grant alone. The step reads them from `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`.
    Aws {
        /// The key's id. Not a secret: AWS writes it to its logs.
        access_key_id: String,
        /// The key that signs calls.
        #[serde(serialize_with = "secret::on_the_wire")]
        #[cfg_attr(feature = "openapi", schema(value_type = String, format = Password))]
        secret_access_key: Secret,
        /// The token that every call carries.
        #[serde(serialize_with = "secret::on_the_wire")]
        #[cfg_attr(feature = "openapi", schema(value_type = String, format = Password))]
        session_token: Secret,
        /// When the keys expire. Before the grant's deadline if AWS allows no longer session: request them again then.
        expires_at: Timestamp,
        /// The region (`AWS_REGION`), if the registration names one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<String>,
    },
}

/// How often a request was refused. The time of the first refusal is the grant's `requested_at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Denials {
    /// How many requests were refused, including the first.
    pub count: u64,
    /// When the last request was refused.
    pub last_at: Timestamp,
}

/// One elevation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Grant {
    /// The grant's id: `elev-…`
    pub id: GrantId,
    /// The state of the grant.
    pub status: GrantStatus,
    /// The agent.
    pub agent_id: AgentId,
    /// The policies.
    pub policies: Vec<PolicyName>,
    /// The target: `token` or `aws`.
    pub target: String,
    /// The name of the boundary's scope, as `--target` takes it.
    pub scope: String,
    /// The requested length.
    pub ttl: Ttl,
    /// When the grant was requested.
    pub requested_at: Timestamp,
    /// When the grant became active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_at: Option<Timestamp>,
    /// The deadline.
    pub expires_at: Timestamp,
    /// When the access was gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Why the grant ended or was refused, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_reason: Option<String>,
    /// Who ends the access at the deadline.
    pub enforced_by: EnforcedBy,
    /// The heartbeat interval in seconds; absent for a grant without heartbeats. A grant without a heartbeat for three
    /// intervals is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_seconds: Option<u32>,
    /// Where the request came from.
    pub provenance: Provenance,
    /// The reason, as the client reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The approval of persons, if a rule asked for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// How it was taken, if in an emergency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<Box<BreakGlass>>,
    /// How often the request was refused, if it was. Not part of the timeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denials: Option<Denials>,
    /// The credentials. Only in the answers to elevate and to a request for credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
}

/// A page of grants.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GrantList {
    /// The grants, newest first.
    pub grants: Vec<Grant>,
    /// The value of `after` for the next page; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<GrantId>,
}
