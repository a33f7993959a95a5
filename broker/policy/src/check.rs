//! Checks a request against the boundary of its agent.

use domain::{Agent, AgentStatus, Boundary, Scope};
use protocol::{ErrorCode, PolicyName, Ttl};

use crate::{Denied, WithinBoundary};

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

/// Checks a request against the agent's boundary.
pub fn check(agent: &Agent, request: AccessRequest<'_>) -> Result<WithinBoundary, Denied> {
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
    Ok(WithinBoundary {
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

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
