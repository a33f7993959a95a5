//! Where is each endpoint? The paths, once for both ends.

/// Elevate, list; with `/{id}` state and revoke.
pub const GRANTS: &str = "/v2/agentic/jit";
/// After a grant's path: its credentials once more, while it is active.
pub const CREDENTIALS: &str = "credentials";
/// Register, list.
pub const AGENTS: &str = "/v2/agents";
/// Compare the target with the database.
pub const RECONCILE: &str = "/v2/reconcile";
/// RFC 7662 token introspection for grants of the `token` target.
pub const INTROSPECT: &str = "/v2/introspect";
/// The header that makes retries join.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The content type of a registration file.
pub const REGISTRATION_MEDIA_TYPE: &str = "application/toml";
