//! Notifications: messages that tell persons of requests that wait for their approval, and of break-glass.

use serde::{Deserialize, Serialize};

use crate::approvals::ApprovalRequest;
use crate::{AgentId, ChannelName, GrantId, NotificationId, PolicyName, Timestamp};

/// What a notification tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum NotificationKind {
    /// Requests wait for approval.
    #[serde(rename = "approval.requested")]
    ApprovalRequested,
    /// Half of the time in which requests have to be approved is over.
    #[serde(rename = "approval.reminder")]
    ApprovalReminder,
    /// A grant was requested in an emergency, without rules and approvals.
    #[serde(rename = "break_glass.used")]
    BreakGlassUsed,
    /// The time in which such a grant has to be reviewed is over.
    #[serde(rename = "break_glass.review_overdue")]
    BreakGlassReviewOverdue,
}

impl NotificationKind {
    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApprovalRequested => "approval.requested",
            Self::ApprovalReminder => "approval.reminder",
            Self::BreakGlassUsed => "break_glass.used",
            Self::BreakGlassReviewOverdue => "break_glass.review_overdue",
        }
    }

    /// Whether it asks persons for their approval of a request.
    pub fn asks_for_approval(self) -> bool {
        match self {
            Self::ApprovalRequested | Self::ApprovalReminder => true,
            Self::BreakGlassUsed | Self::BreakGlassReviewOverdue => false,
        }
    }
}

/// How far a notification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum NotificationStatus {
    /// To be sent, for the first time or again.
    Pending,
    /// The channel accepted it.
    Sent,
    /// Every request was decided before it was sent.
    NotNeeded,
    /// Was never accepted, and is not sent any more.
    Dead,
}

impl NotificationStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Sent, Self::NotNeeded, Self::Dead];

    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::NotNeeded => "not_needed",
            Self::Dead => "dead",
        }
    }
}

/// A request that a notification tells of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NotifiedRequest {
    /// The grant.
    pub grant_id: GrantId,
    /// Until when it has to be approved, or until when channels are told that it was taken by break-glass. A request that
    /// has to be approved again has another time.
    pub until: Timestamp,
}

/// A notification to one channel: of requests of one agent for the same policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Notification {
    /// The notification. Attempts to send it have the same id (`webhook-id`).
    pub id: NotificationId,
    /// The channel's name in the configuration.
    pub channel: ChannelName,
    /// What it tells.
    pub kind: NotificationKind,
    /// The agent.
    pub agent_id: AgentId,
    /// The policies that each of the requests asks for.
    pub policies: Vec<PolicyName>,
    /// The requests. Those that are decided when it is sent are left out.
    pub requests: Vec<NotifiedRequest>,
    /// When its first request was read.
    pub created_at: Timestamp,
    /// When it is to be sent.
    pub due_at: Timestamp,
    /// How far it is.
    pub status: NotificationStatus,
    /// How often the broker began to send it.
    pub attempts: u32,
    /// When the next attempt is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When it was sent, or given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_at: Option<Timestamp>,
}

/// Notifications, newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NotificationList {
    /// The notifications about agents that the caller may see.
    pub notifications: Vec<Notification>,
    /// The value of `after` for the next page; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NotificationId>,
}

/// What the broker sends to a channel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Message {
    /// What it tells.
    #[serde(rename = "type")]
    pub kind: NotificationKind,
    /// The time of the attempt.
    pub timestamp: Timestamp,
    /// The requests.
    pub data: MessageData,
}

/// The requests of a message: of one agent for the same policies.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MessageData {
    /// The agent.
    pub agent_id: AgentId,
    /// The policies that each request asks for.
    pub policies: Vec<PolicyName>,
    /// How many requests wait.
    pub total: usize,
    /// The first of them, as `GET /v2/requests/{id}` shows them.
    pub requests: Vec<ApprovalRequest>,
}
