//! The wire format between client and broker: request and response types, error codes and ids.
//!
//! No I/O, no clock, no randomness. Client and broker both depend on this crate and share no other. Field names are
//! the API; the OpenAPI document is generated from these types (feature `openapi`).

pub mod actions;
mod actor;
pub mod agents;
pub mod approvals;
pub mod auth_token;
pub mod break_glass;
pub mod elevate;
pub mod grant;
mod grant_query;
pub mod health;
pub mod ids;
pub mod notifications;
pub mod observations;
pub mod people;
pub mod posture;
pub mod printable;
pub mod problem;
pub mod provenance;
pub mod reconcile;
pub mod revoke;
pub mod routes;
pub mod rules;
pub mod secret;
pub mod standing_approvals;
pub mod timeline;
pub mod timestamp;
pub mod ttl;

pub use actor::{Actor, Person};
pub use auth_token::AuthToken;
pub use elevate::{Decision, ElevateRequest};
pub use grant::{Credentials, Denials, EnforcedBy, Grant, GrantList, GrantStatus};
pub use grant_query::{GrantQuery, GrantsIn};
pub use ids::{
    AgentId, BreakGlassCodeId, ChannelName, GrantId, IdempotencyKey, InvalidId, NotificationId, OperatorName,
    PolicyName, StandingApprovalId,
};
pub use problem::{ErrorCode, Problem};
pub use provenance::{Facts, Platform, Provenance, Trust};
pub use revoke::RevokeCause;
pub use secret::Secret;
pub use timeline::{EventKind, Source, Timeline, TimelineEvent};
pub use timestamp::Timestamp;
pub use ttl::Ttl;
