//! What does a grant look like from outside?

use serde::{Deserialize, Serialize};

use crate::{AgentId, GrantId, PolicyName, Provenance, Secret, Timestamp, Ttl, secret};

/// Where a grant stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum GrantStatus {
    /// Refused; nothing was given.
    Denied,
    /// A person has to say yes first.
    PendingApproval,
    /// The target is being changed.
    Applying,
    /// It did not become active: what was done is being undone.
    RollingBack,
    /// It did not become active and nothing is left of it.
    Failed,
    /// The permission is there.
    Active,
    /// The permission is being taken back.
    Revoking,
    /// The target has accepted; being read back.
    Verifying,
    /// Taking back keeps failing; it is tried for ever, and somebody is told.
    RevokeFailing,
    /// The target itself ended it at the deadline; what is left is being removed.
    Expired,
    /// Gone, verified.
    Revoked,
}

impl GrantStatus {
    /// Every status, in the order of a grant's life.
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

    /// Nothing will happen to it any more.
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

/// Who ends the permission at the deadline if nobody gives it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum EnforcedBy {
    /// The target: access ends even if every broker is dead.
    Cloud,
    /// The broker: access ends when a broker runs.
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

/// What the step uses. Given once, in the answer to elevate.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Credentials {
    /// A signed JWT; the step finds it in `CLOUDANIX_GRANT_TOKEN`.
    Token {
        /// The JWT in compact form.
        #[serde(serialize_with = "secret::on_the_wire")]
        #[cfg_attr(feature = "openapi", schema(value_type = String, format = Password))]
        token: Secret,
    },
    /// None besides those that the workload holds already: the permission was given to their principal.
    Held,
    /// Keys of an AWS session of this grant alone; the step finds them in `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`.
    Aws {
        /// Not a secret: it is in every log of the cloud.
        access_key_id: String,
        /// Signs calls.
        #[serde(serialize_with = "secret::on_the_wire")]
        #[cfg_attr(feature = "openapi", schema(value_type = String, format = Password))]
        secret_access_key: Secret,
        /// Goes with every call.
        #[serde(serialize_with = "secret::on_the_wire")]
        #[cfg_attr(feature = "openapi", schema(value_type = String, format = Password))]
        session_token: Secret,
        /// When these keys end. Before the grant's deadline if the cloud gives no longer session: ask again then.
        expires_at: Timestamp,
        /// `AWS_REGION`, where the registration names one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<String>,
    },
}

/// How often a request was refused. The first time is the grant's `requested_at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Denials {
    /// How many requests, the first one included.
    pub count: u64,
    /// When the last one was refused.
    pub last_at: Timestamp,
}

/// One elevation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Grant {
    /// `elev-…`
    pub id: GrantId,
    /// Where it stands.
    pub status: GrantStatus,
    /// Whose it is.
    pub agent_id: AgentId,
    /// What was asked for and permitted.
    pub policies: Vec<PolicyName>,
    /// Where permission is given: `token` or `aws`.
    pub target: String,
    /// For how long it was asked.
    pub ttl: Ttl,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When it became active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_at: Option<Timestamp>,
    /// The deadline.
    pub expires_at: Timestamp,
    /// When it had ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Why it ended or was refused, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_reason: Option<String>,
    /// Who ends it at the deadline.
    pub enforced_by: EnforcedBy,
    /// How often the holder must beat, in seconds; absent when only the deadline counts. Silent for three
    /// times as long, the grant is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_seconds: Option<u32>,
    /// Where it came from.
    pub provenance: Provenance,
    /// Why it was asked for, as the client says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of a refused request: how often it was refused. Not part of the timeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denials: Option<Denials>,
    /// Only in the answer to elevate, and when they are asked for again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
}

/// A page of grants.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GrantList {
    /// Newest first.
    pub grants: Vec<Grant>,
    /// Give this as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<GrantId>,
}
