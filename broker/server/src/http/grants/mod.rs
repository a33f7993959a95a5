//! Endpoints of grants.

pub(super) mod actions;
pub(crate) mod credentials;
pub(super) mod elevate;
pub(super) mod heartbeat;
pub(super) mod list;
pub(super) mod revoke;
pub(super) mod state;
pub(super) mod timeline;
