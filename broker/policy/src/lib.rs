//! The policy check: whether a request is within the boundary of its agent.
//!
//! Only this crate can make a [`Permit`], and no target acts without one. Rules and approvals will come after this check
//! and can only refuse: see `docs/book/src/develop/roadmap.md`.

#![expect(missing_docs, reason = "the crate is private to the broker")]

use domain::{Agent, AgentStatus, Place, TargetKind};
use protocol::{AgentId, ErrorCode, PolicyName, Ttl};

/// The access that is requested.
#[derive(Debug, Clone, Copy)]
pub struct AccessRequest<'a> {
    pub policies: &'a [PolicyName],
    pub ttl: Ttl,
    /// The boundary's target by default.
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

/// The permission to provision exactly this access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    agent_id: AgentId,
    place: Place,
    policies: Vec<(PolicyName, String)>,
    ttl: Ttl,
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
        self.place.target()
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Each policy with its meaning at the target, as the boundary defines it.
    pub fn policies(&self) -> &[(PolicyName, String)] {
        &self.policies
    }

    pub fn ttl(&self) -> Ttl {
        self.ttl
    }

    /// The passed checks as text.
    pub fn checks(&self) -> Vec<String> {
        vec![
            format!("agent `{}` is active", self.agent_id),
            format!("target `{}` is the boundary's", self.target()),
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
    if let Some(target) = request.target.filter(|target| *target != boundary.target().as_str()) {
        return Err(Denied {
            code: ErrorCode::TargetNotPermitted,
            detail: format!("target: expected `{}`, found `{target}`", boundary.target()),
            hint: "leave `--target` out, or ask for the boundary's".to_owned(),
        });
    }
    let max_session = agent.registration.max_session;
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
    let mut policies: Vec<(PolicyName, String)> = Vec::with_capacity(request.policies.len());
    for name in request.policies {
        let meaning = boundary.policies.get(name).ok_or_else(|| {
            let permitted: Vec<String> = boundary.policies.keys().map(|name| format!("`{name}`")).collect();
            Denied {
                code: ErrorCode::PolicyNotPermitted,
                detail: format!("policy: expected one of {}, found `{name}`", permitted.join(", ")),
                hint: "ask for a permitted policy, or have this one added to the registration's boundary"
                    .to_owned(),
            }
        })?;
        if !policies.iter().any(|(taken, _)| taken == name) {
            policies.push((name.clone(), meaning.clone()));
        }
    }
    if policies.is_empty() {
        return Err(Denied {
            code: ErrorCode::InvalidRequest,
            detail: "policies: expected at least one, found none".to_owned(),
            hint: "name one with `--policy`".to_owned(),
        });
    }
    Ok(Permit { agent_id: agent.id.clone(), place: boundary.place.clone(), policies, ttl: request.ttl })
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
