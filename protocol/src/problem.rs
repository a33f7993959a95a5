//! Errors: RFC 9457 problem documents with a stable code.

use serde::{Deserialize, Serialize};

/// The media type of a problem document (RFC 9457).
pub const MEDIA_TYPE: &str = "application/problem+json";

macro_rules! codes {
    ($($(#[doc = $meaning:literal])* $name:ident = $code:literal, $status:literal, $title:literal;)*) => {
        /// Why a request was refused. The text of a code never changes; later versions may add codes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[doc = $meaning])* $name,)*
        }

        impl ErrorCode {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable text: `policy_not_permitted`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The HTTP status of the code.
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// The title, the same for every occurrence of the code.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// When the broker answers with it, for the reference page.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($meaning),*).trim_ascii(),)* }
            }

            /// The code with this text, if this version knows it.
            pub fn from_code(code: &str) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }
        }
    };
}

codes! {
    /// No `Authorization: Bearer` header.
    AuthTokenMissing = "auth_token_missing", 401, "no auth token";
    /// Malformed, unknown, expired or revoked: the answer does not say which.
    AuthTokenInvalid = "auth_token_invalid", 401, "auth token not accepted";
    /// The break-glass code is unknown, expired, revoked, used before, or for other agents: the answer does not say which.
    BreakGlassCodeRefused = "break_glass_code_refused", 401, "break-glass code not accepted";
    /// The session of a person is unknown, over, or was not used for long: the answer does not say which.
    SessionEnded = "session_ended", 401, "session ended";
    /// The auth token is another agent's than the one named in the request.
    AgentMismatch = "agent_mismatch", 401, "the credentials lead to different agents";
    /// The agent's trust rules need an OIDC token and the request has none.
    OidcTokenMissing = "oidc_token_missing", 401, "no OIDC token";
    /// Malformed, expired, not yet valid, wrong audience, or a signature that does not verify.
    OidcTokenInvalid = "oidc_token_invalid", 401, "OIDC token not accepted";
    /// A token that may be used once (or by one job) came again.
    OidcTokenReplayed = "oidc_token_replayed", 401, "OIDC token used before";
    /// No trust rule of the agent names the token's issuer.
    IssuerNotTrusted = "issuer_not_trusted", 401, "issuer not trusted for this agent";
    /// A verified token whose claims no trust rule accepts.
    ClaimsNotTrusted = "claims_not_trusted", 403, "claims not trusted for this agent";
    /// A run for a pull request from a fork.
    ForkRefused = "fork_refused", 403, "forked pull requests are refused";
    /// A CircleCI job that was rerun with SSH.
    SshRerunRefused = "ssh_rerun_refused", 403, "jobs rerun with SSH are refused";
    /// A GitHub run that a person without write access can start.
    EventRefused = "event_refused", 403, "events that outsiders can start are refused";
    /// An operator disabled the agent.
    AgentDisabled = "agent_disabled", 403, "agent disabled";
    /// Outside the agent's boundary.
    PolicyNotPermitted = "policy_not_permitted", 403, "policy outside the boundary";
    /// Longer than the agent's longest session.
    TtlTooLong = "ttl_too_long", 403, "longer than the longest session";
    /// Another target than the boundary's.
    TargetNotPermitted = "target_not_permitted", 403, "target outside the boundary";
    /// The agent's grants require heartbeats.
    HeartbeatRequired = "heartbeat_required", 403, "heartbeat required";
    /// The run has as many active grants as the registration permits.
    TooManyActiveGrants = "too_many_active_grants", 403, "too many active grants for one run";
    /// A rule refuses the request, or no rule permits it.
    RuleDenied = "rule_denied", 403, "refused by a rule";
    /// A rule could not be evaluated, which refuses the request.
    RuleError = "rule_error", 403, "a rule could not be evaluated";
    /// The rules ask for the approval of a person, and persons cannot sign in at this broker; or a dry run says so.
    ApprovalRequired = "approval_required", 403, "approval required";
    /// No rule permits the person to do this, or a rule forbids it.
    NotPermitted = "not_permitted", 403, "not permitted";
    /// A grant that was taken in an emergency is reviewed by another person than the one who took it.
    OwnBreakGlass = "own_break_glass", 403, "another person reviews";
    /// The run of the request was started by the person's own account.
    OwnRequest = "own_request", 403, "own request";
    /// The person's account at the platform of the run is not known, so it may be the one that started the run.
    AccountUnknown = "account_unknown", 403, "account at the platform not known";
    /// The sign-in is too long ago for this decision.
    FreshSignInRequired = "fresh_sign_in_required", 403, "fresh sign-in required";
    /// Only the session of a person will do: no token of an operator or agent.
    PersonRequired = "person_required", 403, "a person is required";
    /// An approved request is collected by another run than the one that asked.
    OtherRun = "other_run", 403, "request of another run";
    /// The provider refused the sign-in, or the code at its end is not accepted.
    SignInRefused = "sign_in_refused", 403, "sign-in refused";
    /// Unknown, or another agent's: the answer does not say which.
    GrantNotFound = "grant_not_found", 404, "no such grant";
    /// No agent is registered under this id.
    AgentNotFound = "agent_not_found", 404, "no such agent";
    /// The agent has no auth token with this id.
    TokenNotFound = "token_not_found", 404, "no such auth token";
    /// No rule set has this digest, or there is none in this role.
    RuleSetNotFound = "rule_set_not_found", 404, "no such rule set";
    /// The agent has no observation with this id.
    ObservationNotFound = "observation_not_found", 404, "no such observation";
    /// No sealed code has this id.
    BreakGlassCodeNotFound = "break_glass_code_not_found", 404, "no such break-glass code";
    /// Unknown, forgotten after its end, or for an agent that the caller may not see.
    StandingApprovalNotFound = "standing_approval_not_found", 404, "no such standing approval";
    /// The path does not exist.
    RouteNotFound = "route_not_found", 404, "no such path";
    /// The path exists, with other methods.
    MethodNotAllowed = "method_not_allowed", 405, "method not allowed";
    /// The body did not arrive in time.
    RequestTimeout = "request_timeout", 408, "the request came too slowly";
    /// The idempotency key was used for another request.
    IdempotencyConflict = "idempotency_conflict", 409, "idempotency key used for another request";
    /// The grant has ended, or is ending.
    GrantEnded = "grant_ended", 409, "the grant has ended";
    /// Another person has reviewed the grant.
    AlreadyReviewed = "already_reviewed", 409, "the grant is reviewed";
    /// The grant is still live: it is reviewed when it has ended.
    GrantLive = "grant_live", 409, "the grant is live";
    /// What is to be approved is not what the person was shown.
    RequestChanged = "request_changed", 409, "the request has changed";
    /// The request was approved, denied or withdrawn, or its time is over.
    RequestDecided = "request_decided", 409, "the request is decided";
    /// The agent is registered, and the registration does not replace it.
    AgentExists = "agent_exists", 409, "agent exists";
    /// Another change of the rules came first.
    RulesChanged = "rules_changed", 409, "the rules changed meanwhile";
    /// Longer than the endpoint's limit.
    BodyTooLarge = "body_too_large", 413, "body too large";
    /// Another content type than the endpoint reads.
    UnsupportedMediaType = "unsupported_media_type", 415, "content type not supported";
    /// A body, query or header that does not have the documented form.
    InvalidRequest = "invalid_request", 422, "request not understood";
    /// A registration that cannot be accepted.
    InvalidRegistration = "invalid_registration", 422, "registration refused";
    /// A rule set that cannot be accepted, or whose test cases fail.
    InvalidRules = "invalid_rules", 422, "rules refused";
    /// Too many requests from this agent or address.
    RateLimited = "rate_limited", 429, "too many requests";
    /// A fault of the broker.
    Internal = "internal", 500, "internal error";
    /// The target refused or failed; the grant was rolled back.
    TargetFailed = "target_failed", 502, "the target failed";
    /// The issuer's keys cannot be fetched.
    IssuerUnavailable = "issuer_unavailable", 503, "the OIDC issuer cannot be reached";
    /// No provider for the sign-in of persons is configured, or it cannot be asked.
    SignInUnavailable = "sign_in_unavailable", 503, "persons cannot sign in";
    /// Rules, posture or grants of the run changed again and again while the request was decided.
    ContextUnsettled = "context_unsettled", 503, "the facts changed during the decision";
    /// The broker could not answer in time. The request may have taken effect.
    ProcessingTimeout = "processing_timeout", 503, "the request took too long";
    /// The store cannot be reached or is full.
    StoreUnavailable = "store_unavailable", 503, "the store cannot be reached";
    /// The broker's worker does not run, so grants do not end at their deadlines. Only `/readyz` reports it.
    WorkerNotRunning = "worker_not_running", 503, "the worker does not run";
}

impl Serialize for ErrorCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A problem document. `detail` names what was expected and what was found; `hint` says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `urn:cloudanix-jit:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The title of the code, the same for every occurrence.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The stable code. Text, because a newer broker may send a code that this version does not know.
    pub code: String,
    /// What was expected and what was found.
    pub detail: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The id of this occurrence in the broker's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Problem {
    /// Makes the document for a code, with `detail`.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:cloudanix-jit:problem:{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status(),
            code: code.as_str().to_owned(),
            detail: detail.into(),
            hint: None,
            request_id: None,
        }
    }

    /// Adds a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The code, if this version knows it.
    pub fn known_code(&self) -> Option<ErrorCode> {
        ErrorCode::from_code(&self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_back_and_are_unique() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_code(code.as_str()), Some(*code));
            assert!((400..=599).contains(&code.status()));
        }
    }
}
