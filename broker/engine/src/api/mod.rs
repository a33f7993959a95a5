//! The use cases: each checks the caller, writes the intent, calls the driver, and translates the result to the wire.

mod actions;
mod agents;
mod approvals;
mod authorize;
mod break_glass;
mod check_registration;
mod collect;
mod denials;
mod elevate;
mod health;
mod heartbeat;
mod introspect;
mod notifications;
mod observe;
mod posture;
mod queries;
mod renew;
mod replay;
mod revoke;
mod rules;
mod security_events;
mod seen;
mod standing_approvals;
mod test_rules;

pub use elevate::{Elevated, Elevation};
pub use introspect::Introspection;
pub use posture::{PostureSource, Transmitter};
pub use queries::Page;
pub use revoke::{Revocable, RevokeReason};
pub use security_events::EventRefused;
