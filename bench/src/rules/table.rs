//! A table of rules, in Cedar and in Rego: one permits every request, and the others forbid requests unlike the agent's.
//!
//! The facts of the measured requests have a value for each condition, so that each is evaluated to its end.

use std::fmt::Write as _;

/// A rule set of this many rules.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Table {
    /// Rules whose heads match every request: the permit, and prohibitions.
    pub(super) matching: usize,
    /// Prohibitions whose heads name other groups, agents and policies.
    pub(super) of_others: usize,
    /// An additional rule.
    pub(super) and: Option<&'static str>,
}

/// Counts other grants of the run, which the store checks again when it creates the grant.
pub(super) const COUNTS: &str = "@id(\"counts\")
forbid (principal, action == Action::\"elevate\", resource) when { context.run.live > 250 };
";

/// Refuses a workload about which the source reports something bad.
pub(super) const HEALTHY: &str = "@id(\"healthy\")
forbid (principal, action == Action::\"elevate\", resource)
when { context.posture.hasTag(\"scanner\") && !context.posture.getTag(\"scanner\").ok };
";

/// What a prohibition looks at.
#[derive(Debug, Clone, Copy)]
enum Condition {
    Project,
    Freeze,
    Branch,
    Term,
    Team,
    Address,
    Workflow,
}

impl Condition {
    const ALL: [Self; 7] =
        [Self::Project, Self::Freeze, Self::Branch, Self::Term, Self::Team, Self::Address, Self::Workflow];

    fn of(number: usize) -> Self {
        Self::ALL.into_iter().cycle().nth(number % Self::ALL.len()).unwrap_or(Self::Project)
    }

    fn cedar(self, number: usize) -> String {
        match self {
            Self::Project => format!(
                "context.claims.hasTag(\"project_path\") && \
                 context.claims.getTag(\"project_path\") == \"dev/closed-{number}\""
            ),
            Self::Freeze => format!("Zone::\"Europe/Berlin\".date == \"{}-12-24\"", year(number)),
            Self::Branch => {
                format!("context.signed has ref && context.signed.ref like \"experiment-{number}/*\"")
            }
            Self::Term => {
                format!("context.request.ttl > duration(\"1m\") && resource.scope == \"scope-{number}\"")
            }
            Self::Team => {
                format!("principal.hasTag(\"team\") && principal.getTag(\"team\") == \"team-{number}\"")
            }
            Self::Address => {
                format!("context has address && context.address.isInRange(ip(\"{}\"))", network(number))
            }
            Self::Workflow => format!(
                "principal.use_case == UseCase::\"build-workflow\" && context.signed has actor && \
                 context.signed.actor == \"actor-{number}\""
            ),
        }
    }

    /// On the facts as the broker records them.
    fn rego(self, number: usize) -> String {
        match self {
            Self::Project => format!("input.identity.claims.project_path == \"dev/closed-{number}\""),
            Self::Freeze => format!("input.local[\"Europe/Berlin\"].date == \"{}-12-24\"", year(number)),
            Self::Branch => format!("startswith(input.identity.signed.ref, \"experiment-{number}/\")"),
            Self::Term => format!(
                "time.parse_duration_ns(input.request.ttl) > 60000000000; \
                 input.request.scope == \"scope-{number}\""
            ),
            Self::Team => format!("input.agent.labels.team == \"team-{number}\""),
            Self::Address => {
                format!("net.cidr_contains(\"{}\", input.observed.address)", network(number))
            }
            Self::Workflow => format!(
                "input.agent.use_case == \"build-workflow\"; input.identity.signed.actor == \"actor-{number}\""
            ),
        }
    }
}

/// A year that is over.
fn year(number: usize) -> usize {
    2000 + number % 25
}

/// A network from which no request comes.
fn network(number: usize) -> String {
    format!("198.51.{}.0/24", number % 256)
}

impl Table {
    /// Each of these rules is evaluated for the agent.
    pub(super) fn of(matching: usize) -> Self {
        Self { matching, ..Self::default() }
    }

    pub(super) fn cedar(&self) -> String {
        let mut text = "@id(\"permit\")\npermit (principal, action, resource);\n".to_owned();
        let mut forbid = |number: usize, principal: &str, resource: &str| {
            let when = Condition::of(number).cedar(number);
            let _ = write!(
                text,
                "@id(\"rule-{number}\")\n@hint(\"rule {number} of the table\")\n\
                 forbid ({principal}, action == Action::\"elevate\", {resource})\nwhen {{ {when} }};\n"
            );
        };
        for number in 1..self.matching {
            forbid(number, "principal", "resource");
        }
        for number in self.matching..self.matching + self.of_others {
            match number % 3 {
                0 => forbid(number, &format!("principal in Group::\"group-{}\"", number % 50), "resource"),
                1 => forbid(number, &format!("principal == Agent::\"agent-{number}\""), "resource"),
                _ => forbid(number, "principal", &format!("resource == Policy::\"policy-{}\"", number % 50)),
            }
        }
        text + self.and.unwrap_or_default()
    }

    /// The rules that match every request.
    pub(super) fn rego(&self) -> String {
        let mut text = "package rules\n\ndefault allow := false\n\nallow if count(forbidden) == 0\n\n\
                        decision := {\"allow\": allow, \"rules\": forbidden}\n\n"
            .to_owned();
        for number in 1..self.matching {
            let condition = Condition::of(number).rego(number);
            let _ = writeln!(text, "forbidden contains \"rule-{number}\" if {{ {condition} }}\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_have_the_same_prohibitions() {
        let table = Table { matching: 20, of_others: 10, and: Some(COUNTS) };
        assert_eq!(table.cedar().matches("@id(").count(), 31);
        assert_eq!(table.rego().matches("forbidden contains").count(), 19);
    }
}
