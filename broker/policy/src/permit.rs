//! From the boundary to a permit: no request passes without the answer of the rules. Break-glass asks with no rule set, as
//! where there is none.

use domain::{Approval, DecisionFacts, Outcome, ScopeName, TargetKind, TargetScope, Verdict};
use protocol::{AgentId, ErrorCode, PolicyName, Ttl};

use crate::rules::RuleSet;

/// A request that is within the boundary. It permits nothing yet: the rules can refuse it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithinBoundary {
    pub(crate) agent_id: AgentId,
    pub(crate) scope_name: ScopeName,
    pub(crate) scope: TargetScope,
    pub(crate) policies: Vec<PolicyName>,
    pub(crate) ttl: Ttl,
    pub(crate) max_session: Ttl,
}

/// The proof that a request is within the boundary and that the rules allow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    request: WithinBoundary,
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

impl WithinBoundary {
    pub fn target(&self) -> TargetKind {
        self.scope.kind()
    }

    /// The place at the target, with the requested policies alone.
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

    /// Decides by the active rule set; without one, all that is within the boundary is allowed. Where the rules ask for
    /// an approval, `approval` is the one that the grant has.
    pub fn decide(
        self,
        enforced: Option<&RuleSet>,
        facts: &DecisionFacts,
        approval: Option<&Approval>,
    ) -> (Verdict, Result<Permit, Denied>) {
        let verdict = match enforced {
            None => Verdict::without_rules(),
            Some(_) if !self.is_of(facts) => self.of_another_request(),
            Some(rules) => rules.decide(facts),
        };
        let permit = match verdict.outcome {
            Outcome::Allow => Ok(Permit { request: self }),
            Outcome::NeedsApproval if approval.is_some_and(|given| is_enough(given, &verdict)) => {
                Ok(Permit { request: self })
            }
            Outcome::NeedsApproval => Err(approval_required(&verdict)),
            Outcome::Deny => Err(rule_denied(&verdict)),
            Outcome::Error => Err(rule_error(&verdict)),
        };
        (verdict, permit)
    }

    /// Whether these are facts of this request: a verdict about another one permits nothing.
    fn is_of(&self, facts: &DecisionFacts) -> bool {
        let request = &facts.request;
        facts.agent.id == self.agent_id
            && request.scope == self.scope_name
            && request.target == self.scope.kind()
            && request.ttl == self.ttl
            && request.policies.iter().map(|policy| &policy.name).eq(&self.policies)
    }

    fn of_another_request(&self) -> Verdict {
        let error =
            format!("expected facts of this request of agent `{}`, found those of another", self.agent_id);
        Verdict { outcome: Outcome::Error, errors: vec![error], ..Verdict::without_rules() }
    }
}

impl Permit {
    pub fn target(&self) -> TargetKind {
        self.request.target()
    }

    /// The place at the target, with the permitted policies of this request alone.
    pub fn scope(&self) -> &TargetScope {
        self.request.scope()
    }

    /// The scope's name in the boundary.
    pub fn scope_name(&self) -> &ScopeName {
        self.request.scope_name()
    }

    /// The policies, in the order of the request, each once.
    pub fn policies(&self) -> &[PolicyName] {
        self.request.policies()
    }

    /// The longest grant in this scope.
    pub fn max_session(&self) -> Ttl {
        self.request.max_session()
    }

    pub fn ttl(&self) -> Ttl {
        self.request.ttl()
    }

    /// The passed checks as text.
    pub fn checks(&self) -> Vec<String> {
        self.request.checks()
    }
}

fn rule_denied(verdict: &Verdict) -> Denied {
    let policy = policy(verdict);
    let detail = match verdict.rules.as_slice() {
        [] => format!("rules: expected one that permits {policy}, found none"),
        rules => format!("{policy} is refused by {}", named(rules)),
    };
    let otherwise = "ask an operator: `cloudanix-jit rules show` prints the rules";
    Denied { code: ErrorCode::RuleDenied, detail, hint: hint(verdict, otherwise) }
}

fn approval_required(verdict: &Verdict) -> Denied {
    let policy = policy(verdict);
    let detail = match verdict.rules.as_slice() {
        [] => format!("rules: expected one that permits {policy} without a person, found none"),
        rules => format!("{policy} needs a person's approval by {}", named(rules)),
    };
    let hint = hint(verdict, "a request for it waits until persons have approved it");
    Denied { code: ErrorCode::ApprovalRequired, detail, hint }
}

/// Whether enough different persons approved for what the rules ask now.
fn is_enough(given: &Approval, verdict: &Verdict) -> bool {
    given.is_given() && verdict.quorum.unwrap_or(1) <= given.quorum
}

/// The errors themselves are for operators: they can quote facts.
fn rule_error(verdict: &Verdict) -> Denied {
    let detail = match verdict.rules.as_slice() {
        [] => "the rules could not be evaluated".to_owned(),
        rules => format!("{} could not be evaluated for {}", named(rules), policy(verdict)),
    };
    let otherwise = "an operator is alerted, and has to correct the rules";
    Denied { code: ErrorCode::RuleError, detail, hint: otherwise.to_owned() }
}

fn policy(verdict: &Verdict) -> String {
    verdict.policy.as_ref().map_or_else(|| "the request".to_owned(), |policy| format!("policy `{policy}`"))
}

fn named(rules: &[String]) -> String {
    let word = if rules.len() == 1 { "rule" } else { "rules" };
    format!("{word} {}", rules.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", "))
}

fn hint(verdict: &Verdict, otherwise: &str) -> String {
    if verdict.hints.is_empty() { otherwise.to_owned() } else { verdict.hints.join("; ") }
}

fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
#[path = "permit_tests.rs"]
mod tests;
