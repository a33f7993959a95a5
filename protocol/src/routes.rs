//! The paths of the endpoints.

/// Elevate and list; with `/{id}` show and revoke.
pub const GRANTS: &str = "/v2/agentic/jit";
/// After a grant's path: request the credentials of an active grant again.
pub const CREDENTIALS: &str = "credentials";
/// Register and list agents.
pub const AGENTS: &str = "/v2/agents";
/// Check a registration, and try its trust rules.
pub const CHECK_REGISTRATION: &str = "/v2/registrations/check";
/// After a grant's path: the decisions about it.
pub const DECISIONS: &str = "decisions";
/// Apply and show rule sets.
pub const RULES: &str = "/v2/rules";
/// What other systems say about subjects of requests.
pub const POSTURE: &str = "/v2/posture";
/// Steps that run without a grant; with `/{id}/actions` their calls.
pub const OBSERVATIONS: &str = "/v2/observations";
/// Requests that wait for approval; with `/{id}/votes` decide one.
pub const REQUESTS: &str = "/v2/requests";
/// After a request's path: the votes of persons.
pub const VOTES: &str = "votes";
/// Standing approvals; `/{id}` for one.
pub const STANDING_APPROVALS: &str = "/v2/standing-approvals";
/// Take a grant in an emergency, and list those; with `/{id}/review` review one.
pub const BREAK_GLASS: &str = "/v2/break-glass";
/// After a grant's path: its review.
pub const REVIEW: &str = "review";
/// Sealed break-glass codes; `/{id}` for one.
pub const BREAK_GLASS_CODES: &str = "/v2/break-glass-codes";
/// Notifications of requests that wait.
pub const NOTIFICATIONS: &str = "/v2/notifications";
/// What an operator should look at.
pub const HEALTH: &str = "/v2/health";
/// Compare the targets with the database.
pub const RECONCILE: &str = "/v2/reconcile";
/// Exchange the code of a sign-in for its session; with `/current` show and end it.
pub const SESSIONS: &str = "/v2/sessions";
/// Where a browser begins the sign-in of a person.
pub const SIGN_IN: &str = "/sign-in";
/// Where the provider sends the browser back to.
pub const SIGN_IN_CALLBACK: &str = "/sign-in/callback";
/// RFC 7662 token introspection for grants of the `token` target.
pub const INTROSPECT: &str = "/v2/introspect";
/// The header with the idempotency key.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The content type of a registration file.
pub const REGISTRATION_MEDIA_TYPE: &str = "application/toml";
