//! The decisions about a grant as text, with the facts as one line each.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use protocol::printable::printable;
use protocol::rules::{Decided, Explanation, RecordedDecision, RuleSetDigest};
use serde_json::Value;

use super::deciding;

/// Every decision, in order.
pub(super) fn text(explanation: &Explanation) -> String {
    if explanation.decisions.is_empty() {
        return format!("no decision about {} is recorded; older ones are removed\n", explanation.grant_id);
    }
    let mut text = String::new();
    for decision in &explanation.decisions {
        if !text.is_empty() {
            text.push('\n');
        }
        one(&mut text, decision);
    }
    text
}

fn one(text: &mut String, decision: &RecordedDecision) {
    let RecordedDecision { number, at, kind, enforced, shadow, facts, facts_digest } = decision;
    let _ = writeln!(text, "decision {number} · {} · {at}", kind.as_str().replace('_', "-"));
    verdict(text, "decided", enforced);
    if let Some(shadow) = shadow {
        verdict(text, "shadow", shadow);
    }
    let _ = writeln!(text, "  {:<8} {}", "facts", printable(facts_digest));
    let mut lines = Vec::new();
    flatten(String::new(), facts, &mut lines);
    for (name, value) in lines {
        let _ = writeln!(text, "    {}", printable(&format!("{name} = {value}")));
    }
}

fn verdict(text: &mut String, name: &str, decided: &Decided) {
    let Decided { rules, verdict } = decided;
    let set = rules.as_ref().map_or("no rule set", RuleSetDigest::short);
    let by = match (&verdict.refused_by_boundary, rules) {
        (Some(why), _) => format!("the boundary refuses it: {why}"),
        (None, Some(_)) => deciding(verdict.outcome, &verdict.rules),
        (None, None) => "the boundary permits it".to_owned(),
    };
    let policy = verdict.policy.as_ref().map(|policy| format!(" · policy {policy}")).unwrap_or_default();
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<8} {}", printable(value));
    };
    row(name, &format!("{}{policy} · {by} · {set}", verdict.outcome.as_str().replace('_', " ")));
    for hint in &verdict.hints {
        row("hint", hint);
    }
    for error in &verdict.errors {
        row("error", error);
    }
}

/// `signed.repository = octo/app`, `policies[0] = orders-read`.
fn flatten(name: String, value: &Value, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            // The order of a JSON map depends on the features that other crates of a build enable.
            for (field, value) in fields.iter().collect::<BTreeMap<_, _>>() {
                let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                flatten(name, value, lines);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, value) in items.iter().enumerate() {
                flatten(format!("{name}[{index}]"), value, lines);
            }
        }
        Value::String(text) => lines.push((name, text.clone())),
        Value::Null if name.is_empty() => {}
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            lines.push((name, value.to_string()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_facts_are_one_line_each() {
        let facts = serde_json::json!({
            "agent": {"id": "agent-orders", "labels": {}},
            "policies": ["orders-read", "orders-write"],
            "signed": {"repository": "octo/app", "trusted": true, "environment": null},
            "ttl": 900,
        });
        let mut lines = Vec::new();
        flatten(String::new(), &facts, &mut lines);
        let lines: Vec<String> = lines.into_iter().map(|(name, value)| format!("{name} = {value}")).collect();
        assert_eq!(
            lines,
            [
                "agent.id = agent-orders",
                "agent.labels = {}",
                "policies[0] = orders-read",
                "policies[1] = orders-write",
                "signed.environment = null",
                "signed.repository = octo/app",
                "signed.trusted = true",
                "ttl = 900",
            ]
        );
    }
}
