//! Renders the page of error codes: the code, its HTTP status, its meaning, and what to do.

use std::fmt::Write as _;

use protocol::ErrorCode;

pub(crate) fn page() -> String {
    let mut page = String::from(
        "# Error codes\n\n\
         <!-- Generated from protocol/src/problem.rs and broker/server/tests/documents/error_codes.rs. -->\n\n\
         Every error is a problem document (RFC 9457) with one of these codes in `code`, what was expected and found in \
         `detail`, usually a `hint`, and a `request_id` that the broker's log has too. A code never changes; new ones \
         may come. What the client exits with is in [exit codes](exit-codes.md).\n",
    );
    let mut status = 0;
    for code in ErrorCode::ALL {
        if code.status() != status {
            status = code.status();
            let _ = write!(page, "\n## {status}\n\n| code | meaning | what to do |\n|---|---|---|\n");
        }
        let _ = writeln!(page, "| `{}` | {} | {} |", code.as_str(), code.meaning(), what_to_do(*code));
    }
    page
}

fn what_to_do(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::AuthTokenMissing => "Set `CLOUDANIX_AUTH_TOKEN` in the job.",
        ErrorCode::AuthTokenInvalid => {
            "Check the secret of the pipeline. An operator can issue a new token with `cloudanix-jit agent rotate-token`."
        }
        ErrorCode::AgentMismatch => "Use the auth token of the agent that `CLOUDANIX_AGENT_ID` names.",
        ErrorCode::OidcTokenMissing => {
            "Allow the job to have an OIDC token; `cloudanix-jit doctor` says how on its platform."
        }
        ErrorCode::OidcTokenInvalid => {
            "Compare the token's audience with the trust rule, and the clocks. Tokens expire within minutes on some platforms."
        }
        ErrorCode::OidcTokenReplayed => {
            "Elevate once per token, or fetch a fresh one. If the job did not use it before, another process did: rotate the auth token."
        }
        ErrorCode::IssuerNotTrusted => {
            "Add a trust rule for the issuer, or correct `issuer` in the registration."
        }
        ErrorCode::ClaimsNotTrusted => {
            "Compare `cloudanix-jit whoami` in the job with `claims` in the registration."
        }
        ErrorCode::ForkRefused => {
            "Run the step outside of pull requests of forks, or see `allow` in the registration."
        }
        ErrorCode::SshRerunRefused => "Rerun the job without SSH, or see `allow` in the registration.",
        ErrorCode::EventRefused => "Start the step by another event, or see `allow` in the registration.",
        ErrorCode::AgentDisabled => "An operator can enable it: `cloudanix-jit agent enable`.",
        ErrorCode::PolicyNotPermitted => "Request a policy of the boundary, or add it to the registration.",
        ErrorCode::TtlTooLong => "Request a shorter `--ttl`, or raise `max_session` in the registration.",
        ErrorCode::TargetNotPermitted => "Leave `--target` out, or name the boundary's target.",
        ErrorCode::HeartbeatRequired => "Use `cloudanix-jit run`, which sends heartbeats.",
        ErrorCode::TooManyActiveGrants => {
            "Let the run's other grant end first, or raise `max_active_grants_per_run` in the registration."
        }
        ErrorCode::RuleDenied => {
            "`detail` names the policy and the rules; `hint` is what the rules say to do."
        }
        ErrorCode::RuleError => {
            "An operator corrects the rule that `detail` names; the broker's log has the error."
        }
        ErrorCode::ApprovalRequired => {
            "An operator configures `[people]`, so that persons can [approve](../operate/approvals.md); or request a policy that the rules allow without them."
        }
        ErrorCode::StandingApprovalNotFound => "`cloudanix-jit approvals list` shows those in force.",
        ErrorCode::RuleSetNotFound => "Check the digest; `cloudanix-jit rules history` shows all.",
        ErrorCode::ObservationNotFound => "Check the id, and that it belongs to this agent.",
        ErrorCode::RulesChanged => "Look at the rules with `cloudanix-jit rules show`, and try again.",
        ErrorCode::InvalidRules => "`detail` names the file, the line and the problem.",
        ErrorCode::ContextUnsettled => "Try again with the same idempotency key; the client does.",
        ErrorCode::SessionEnded => "Sign in again: `cloudanix-jit login`.",
        ErrorCode::NotPermitted => {
            "`detail` names the right, and the rule that forbids it. [Persons](../operate/people.md) describes the rules."
        }
        ErrorCode::OwnRequest => "Another person has to approve it.",
        ErrorCode::AccountUnknown => {
            "An operator names the claim with the person's account in `people.accounts`: see [Approvals](../operate/approvals.md#say-who-approves)."
        }
        ErrorCode::FreshSignInRequired => "Run `cloudanix-jit login --fresh`, and try again.",
        ErrorCode::PersonRequired => {
            "Sign in with `cloudanix-jit login`; tokens of operators and agents neither vote, break glass nor review."
        }
        ErrorCode::BreakGlassCodeRefused => {
            "Use another code: each is good for one grant. `cloudanix-jit break-glass codes` lists them."
        }
        ErrorCode::BreakGlassCodeNotFound => "`cloudanix-jit break-glass codes` lists the sealed codes.",
        ErrorCode::OwnBreakGlass => "Another person has to review it.",
        ErrorCode::GrantLive => "End it first with `cloudanix-jit revoke`, or wait for its deadline.",
        ErrorCode::AlreadyReviewed => "Nothing: `detail` says who reviewed it.",
        ErrorCode::OtherRun => {
            "Elevate with a key of its own: a request belongs to the run and job that made it."
        }
        ErrorCode::RequestChanged => {
            "Look at the request again with `cloudanix-jit requests`, and vote for what it is now."
        }
        ErrorCode::RequestDecided => "Nothing: `detail` says how it was decided.",
        ErrorCode::SignInRefused => {
            "Run `cloudanix-jit login` again; `detail` has what the provider answered."
        }
        ErrorCode::SignInUnavailable => {
            "Check `[people]` in the configuration, and that the broker reaches the provider."
        }
        ErrorCode::GrantNotFound => "Check the id, and that it belongs to this agent.",
        ErrorCode::AgentNotFound => "Check the id; `cloudanix-jit agent list` shows all.",
        ErrorCode::TokenNotFound => "Check the token's id; `cloudanix-jit agent show` lists them.",
        ErrorCode::RouteNotFound => "Check the path, and that the broker is as new as the client.",
        ErrorCode::MethodNotAllowed => "Use a method that the path has: see the [HTTP API](http-api.md).",
        ErrorCode::RequestTimeout => "Send the whole body within ten seconds.",
        ErrorCode::IdempotencyConflict => "Use a new key for another request.",
        ErrorCode::GrantEnded => "Elevate again with a new key.",
        ErrorCode::AgentExists => "Leave `--create-only` out to replace the registration.",
        ErrorCode::BodyTooLarge => "Send at most 64 KiB, with a rule set 2 MiB.",
        ErrorCode::UnsupportedMediaType => "Send the content type that the [HTTP API](http-api.md) names.",
        ErrorCode::InvalidRequest => "`detail` names the field.",
        ErrorCode::InvalidRegistration => {
            "`detail` names the key; see [Register agents](../operate/agents.md)."
        }
        ErrorCode::RateLimited => "Wait for as long as `Retry-After` says; the client does.",
        ErrorCode::Internal => "Look up `request_id` in the broker's log, and report it.",
        ErrorCode::ProcessingTimeout => {
            "Try again with the same idempotency key; the client does. The request may have taken effect."
        }
        ErrorCode::TargetFailed => {
            "Read `detail` and the timeline; see the [runbook](../operate/runbooks/aws-account-down.md)."
        }
        ErrorCode::IssuerUnavailable => "Try again; the client does. The broker has to reach the issuer.",
        ErrorCode::WorkerNotRunning => {
            "Restart the broker; its log says why the worker stopped. See [The broker is down](../operate/runbooks/broker-down.md)."
        }
        ErrorCode::StoreUnavailable => {
            "Try again; the client does. See [The broker is down](../operate/runbooks/broker-down.md)."
        }
    }
}
