//! The policy check: whether a request is within the boundary of its agent.
//!
//! Only this crate can make a [`Permit`], and no target acts without one. Rules and approvals will come after this check
//! and can only refuse: see `docs/book/src/develop/roadmap.md`.

#![expect(missing_docs, reason = "the crate is private to the broker")]

use domain::{Agent, AgentStatus, Boundary, Scope, ScopeName, TargetKind, TargetScope};
use protocol::{AgentId, ErrorCode, PolicyName, Ttl};

/// The access that is requested.
#[derive(Debug, Clone, Copy)]
pub struct AccessRequest<'a> {
    pub policies: &'a [PolicyName],
    pub ttl: Ttl,
    /// The scope of the boundary; a boundary with one scope needs no name.
    pub target: Option<&'a str>,
    pub holder: Holder,
}

/// Whether the grant depends on heartbeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Three missed heartbeats end the grant.
    Heartbeat,
    /// Only the deadline ends the grant.
    DeadlineOnly,
}

/// The proof that a request is within the boundary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    agent_id: AgentId,
    scope_name: ScopeName,
    scope: TargetScope,
    policies: Vec<PolicyName>,
    ttl: Ttl,
    max_session: Ttl,
}

/// A refusal: what was expected and what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Denied {
    pub code: ErrorCode,
    /// Details for the caller, whose identity is verified.
    pub detail: String,
    pub hint: String,
}

impl Permit {
    pub fn agent_id(&self) -> &AgentId {
        &self.agent_id
    }

    pub fn target(&self) -> TargetKind {
        self.scope.kind()
    }

    /// The place at the target, with the permitted policies of this request alone.
    pub fn scope(&self) -> &TargetScope {
        &self.scope
    }

    /// The scope's name in the boundary.
    pub fn scope_name(&self) -> &ScopeName {
        &self.scope_name
    }

    /// The policies, in the order of the request, each once.
    pub fn policies(&self) -> &[PolicyName] {
        &self.policies
    }

    /// The longest grant in this scope.
    pub fn max_session(&self) -> Ttl {
        self.max_session
    }

    pub fn ttl(&self) -> Ttl {
        self.ttl
    }

    /// The passed checks as text.
    pub fn checks(&self) -> Vec<String> {
        vec![
            format!("agent `{}` is active", self.agent_id),
            format!("target `{}` is the boundary's", self.scope_name),
            format!("{} permitted", count(self.policies.len(), "policy is", "policies are")),
            format!("`{}` is within the longest session", self.ttl),
        ]
    }
}

/// Checks a request against the agent's boundary.
pub fn check(agent: &Agent, request: AccessRequest<'_>) -> Result<Permit, Denied> {
    let boundary = &agent.registration.boundary;
    match agent.status {
        AgentStatus::Active => {}
        AgentStatus::Disabled => {
            return Err(Denied {
                code: ErrorCode::AgentDisabled,
                detail: format!("agent `{}` is disabled", agent.id),
                hint: format!("an operator can run `cloudanix-jit agent enable {}`", agent.id),
            });
        }
    }
    let scope = choose(boundary, request.target)?;
    let max_session = scope.max_session;
    if request.ttl > max_session {
        return Err(Denied {
            code: ErrorCode::TtlTooLong,
            detail: format!("ttl: expected at most `{max_session}`, found `{}`", request.ttl),
            hint: format!(
                "ask for `--ttl {max_session}` or less, or have `max_session` raised in the registration"
            ),
        });
    }
    match request.holder {
        Holder::DeadlineOnly if agent.registration.require_heartbeat => {
            return Err(Denied {
                code: ErrorCode::HeartbeatRequired,
                detail:
                    "heartbeat: expected a holder that sends heartbeats (`require_heartbeat`), found none"
                        .to_owned(),
                hint: "use `cloudanix-jit run`: it sends heartbeats for as long as the step runs".to_owned(),
            });
        }
        Holder::DeadlineOnly | Holder::Heartbeat => {}
    }
    let permitted = scope.target.policy_names();
    let mut policies: Vec<PolicyName> = Vec::with_capacity(request.policies.len());
    for name in request.policies {
        if !permitted.contains(&name) {
            return Err(not_permitted(boundary, scope, name));
        }
        if !policies.contains(name) {
            policies.push(name.clone());
        }
    }
    if policies.is_empty() {
        return Err(Denied {
            code: ErrorCode::InvalidRequest,
            detail: "policies: expected at least one, found none".to_owned(),
            hint: "name one with `--policy`".to_owned(),
        });
    }
    Ok(Permit {
        agent_id: agent.id.clone(),
        scope_name: scope.name.clone(),
        scope: scope.target.narrowed_to(&policies),
        policies,
        ttl: request.ttl,
        max_session,
    })
}

/// The scope that the request names, or the only one.
fn choose<'a>(boundary: &'a Boundary, target: Option<&str>) -> Result<&'a Scope, Denied> {
    let names = || listed(boundary.scopes().map(|scope| scope.name.as_str()));
    match (target, boundary.only()) {
        (None, Some(only)) => Ok(only),
        (None, None) => Err(Denied {
            code: ErrorCode::InvalidRequest,
            detail: format!("target: expected one of {}, found none", names()),
            hint: "choose one with `--target NAME`".to_owned(),
        }),
        (Some(target), only) => boundary.scope(target).ok_or_else(|| match only {
            Some(only) => Denied {
                code: ErrorCode::TargetNotPermitted,
                detail: format!("target: expected `{}`, found `{target}`", only.name),
                hint: "leave `--target` out, or ask for the boundary's".to_owned(),
            },
            None => Denied {
                code: ErrorCode::TargetNotPermitted,
                detail: format!("target: expected one of {}, found `{target}`", names()),
                hint: "choose one of these with `--target NAME`, or have this one added to the registration's boundary"
                    .to_owned(),
            },
        }),
    }
}

fn not_permitted(boundary: &Boundary, scope: &Scope, name: &PolicyName) -> Denied {
    let permitted = listed(scope.target.policy_names().into_iter().map(PolicyName::as_str));
    let place = match boundary.only() {
        Some(_) => String::new(),
        None => format!(" in `{}`", scope.name),
    };
    let elsewhere = boundary.scopes().filter(|other| other.target.policy_names().contains(&name));
    let elsewhere =
        elsewhere.map(|other| format!("`--target {}`", other.name)).collect::<Vec<_>>().join(", ");
    let hint = if elsewhere.is_empty() {
        "ask for a permitted policy, or have this one added to the registration's boundary".to_owned()
    } else {
        format!("`{name}` is permitted with {elsewhere}")
    };
    Denied {
        code: ErrorCode::PolicyNotPermitted,
        detail: format!("policy: expected one of {permitted}{place}, found `{name}`"),
        hint,
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use protocol::Timestamp;

    use super::*;

    fn agent(status: AgentStatus) -> Agent {
        let source = r#"
            id = "orders-agent"
            use_case = "other"
            max_session = "1h"
            [[trust]]
            issuer = "https://issuer.example"
            platform = "oidc"
            audience = "cloudanix-jit"
            claims = { sub = "orders" }
            [boundary]
            target = "token"
            policies = { "orders-read" = "orders:read", "orders-write" = "orders:write" }
        "#;
        let registration = domain::registration::parse(source).unwrap();
        let at = Timestamp::from_secs(0);
        Agent {
            id: registration.id.clone(),
            registration,
            source: source.to_owned(),
            status,
            created_at: at,
            updated_at: at,
            revision: 1,
        }
    }

    fn decide(
        status: AgentStatus,
        policies: &str,
        ttl: &str,
        target: Option<&str>,
    ) -> Result<Permit, Denied> {
        let policies: Vec<PolicyName> =
            policies.split(',').filter(|name| !name.is_empty()).map(|name| name.parse().unwrap()).collect();
        let asked = AccessRequest {
            policies: &policies,
            ttl: ttl.parse().unwrap(),
            target,
            holder: Holder::DeadlineOnly,
        };
        check(&agent(status), asked)
    }

    #[test]
    fn require_heartbeat_refuses_requests_without_heartbeats() {
        let mut agent = agent(AgentStatus::Active);
        agent.registration.require_heartbeat = true;
        let policies = ["orders-read".parse().unwrap()];
        let asked = AccessRequest {
            policies: &policies,
            ttl: "15m".parse().unwrap(),
            target: None,
            holder: Holder::DeadlineOnly,
        };
        let denied = check(&agent, asked).unwrap_err();
        assert_eq!(denied.code, ErrorCode::HeartbeatRequired);
        assert!(denied.hint.contains("cloudanix-jit run"), "{}", denied.hint);
        assert!(check(&agent, AccessRequest { holder: Holder::Heartbeat, ..asked }).is_ok());
    }

    /// The decision table: who asks what, and the answer.
    #[test]
    fn the_decision_table() {
        use AgentStatus::{Active, Disabled};
        use ErrorCode::{AgentDisabled, InvalidRequest, PolicyNotPermitted, TargetNotPermitted, TtlTooLong};
        for (status, policies, ttl, target, expected) in [
            (Active, "orders-read", "15m", None, Ok(1)),
            (Active, "orders-read,orders-write", "1h", Some("token"), Ok(2)),
            (Active, "orders-read,orders-read", "15m", None, Ok(1)),
            (Disabled, "orders-read", "15m", None, Err(AgentDisabled)),
            (Active, "orders-read", "3601s", None, Err(TtlTooLong)),
            (Active, "orders-read", "15m", Some("aws"), Err(TargetNotPermitted)),
            (Active, "orders-delete", "15m", None, Err(PolicyNotPermitted)),
            (Active, "orders-read,orders-delete", "15m", None, Err(PolicyNotPermitted)),
            (Active, "Orders-Read", "15m", None, Err(PolicyNotPermitted)),
            (Active, "", "15m", None, Err(InvalidRequest)),
        ] {
            let decided = decide(status, policies, ttl, target);
            assert_eq!(
                decided.map(|permit| permit.policies().len()).map_err(|denied| denied.code),
                expected,
                "{status:?} {policies} {ttl} {target:?}"
            );
        }
    }

    fn agent_in_two_places() -> Agent {
        let one = agent(AgentStatus::Active);
        let start = one.source.find("[boundary]").unwrap();
        let source = format!(
            r#"{}
            [[boundary.scope]]
            name = "staging"
            target = "token"
            policies = {{ "orders-read" = "orders:read", "orders-write" = "orders:write" }}
            [[boundary.scope]]
            name = "production"
            target = "token"
            max_session = "15m"
            policies = {{ "orders-read" = "production:read" }}
            "#,
            &one.source[..start]
        );
        Agent { registration: domain::registration::parse(&source).unwrap(), ..one }
    }

    #[test]
    fn a_request_chooses_one_of_several_scopes_by_its_name() {
        let agent = agent_in_two_places();
        let decide = |policy: &str, ttl: &str, target: Option<&str>| {
            let policies = [policy.parse().unwrap()];
            let holder = Holder::DeadlineOnly;
            check(&agent, AccessRequest { policies: &policies, ttl: ttl.parse().unwrap(), target, holder })
        };
        let permit = decide("orders-read", "15m", Some("production")).unwrap();
        assert_eq!(permit.scope_name().as_str(), "production");
        let TargetScope::Token(scope) = permit.scope() else { panic!("{permit:?}") };
        let scopes: Vec<_> = scope.policies.iter().map(|(_, scope)| scope.as_str()).collect();
        assert_eq!(scopes, ["production:read"], "the scope's own meaning, and of the asked policy alone");
        assert!(decide("orders-write", "1h", Some("staging")).is_ok());
        for (policy, ttl, target, code, detail, hint) in [
            (
                "orders-read",
                "15m",
                None,
                ErrorCode::InvalidRequest,
                "target: expected one of `staging`, `production`, found none",
                "choose one with `--target NAME`",
            ),
            (
                "orders-read",
                "15m",
                Some("token"),
                ErrorCode::TargetNotPermitted,
                "target: expected one of `staging`, `production`, found `token`",
                "choose one of these with `--target NAME`, or have this one added to the registration's boundary",
            ),
            (
                "orders-write",
                "15m",
                Some("production"),
                ErrorCode::PolicyNotPermitted,
                "policy: expected one of `orders-read` in `production`, found `orders-write`",
                "`orders-write` is permitted with `--target staging`",
            ),
            (
                "orders-read",
                "16m",
                Some("production"),
                ErrorCode::TtlTooLong,
                "ttl: expected at most `15m`, found `16m`",
                "ask for `--ttl 15m` or less, or have `max_session` raised in the registration",
            ),
        ] {
            let denied = decide(policy, ttl, target).unwrap_err();
            assert_eq!((denied.code, denied.detail.as_str(), denied.hint.as_str()), (code, detail, hint));
        }
    }

    #[test]
    fn a_refusal_names_what_was_expected_and_what_was_found() {
        assert_eq!(
            decide(AgentStatus::Active, "admin", "15m", None).unwrap_err().detail,
            "policy: expected one of `orders-read`, `orders-write`, found `admin`"
        );
        assert_eq!(
            decide(AgentStatus::Active, "orders-read", "2h", None).unwrap_err().detail,
            "ttl: expected at most `1h`, found `2h`"
        );
    }
}
