//! The use cases: each checks the caller, writes the intent, calls the driver, and translates the result to the wire.

mod actions;
mod agents;
mod authorize;
mod denials;
mod elevate;
mod heartbeat;
mod introspect;
mod queries;
mod renew;
mod revoke;

pub use elevate::{Elevated, Elevation};
pub use introspect::Introspection;
pub use queries::Page;
pub use revoke::Revocable;
