//! What rules name and read: time zones, attributes of the context, attributes of entities that are not in a request.

use cedar_policy::Policy;
use serde_json::Value;

use super::schema::{self, Type};
use super::zones;

/// Which parts of the context are read. What is never read need not be loaded.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reads {
    pub(super) posture: bool,
    pub(super) run: bool,
}

/// The zones that a rule names.
pub(super) fn zones(rule: &Policy) -> Vec<String> {
    let literals = rule.entity_literals();
    let zones = literals.iter().filter(|entity| *entity.type_name() == *schema::ZONE);
    zones.map(|zone| zone.id().unescaped().to_owned()).collect()
}

/// Entities that a rule names although no request has them, or although their attributes are known for one request only:
/// the problem and the hint.
pub(super) fn problems(rule: &Policy) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    for zone in zones(rule).iter().filter(|zone| zones::find(zone).is_none()) {
        let hint = match zones::similar(zone) {
            Some(similar) => format!("write `Zone::\"{similar}\"`"),
            None => "write it like `Zone::\"Europe/Berlin\"`".to_owned(),
        };
        found.push((format!("expected the name of an IANA time zone, found `Zone::{zone:?}`"), hint));
    }
    let named = rule.entity_literals();
    let names = |of: &Type| named.iter().any(|entity| *entity.type_name() == **of);
    for (of, attribute) in [(&schema::CLAIMS, "context.claims"), (&schema::POSTURE, "context.posture")] {
        if names(of) {
            let problem = format!("expected `{attribute}`, found an entity `{}::…`", **of);
            found.push((problem, format!("each request has its own: write `{attribute}.hasTag(…)`")));
        }
    }
    walk(&json(rule)?, &mut |node| {
        for (of, variable) in [(&schema::AGENT, "principal"), (&schema::POLICY, "resource")] {
            if let Node::AttributeOfLiteral { entity_type, attribute } = node
                && entity_type == of.to_string()
            {
                let problem = format!(
                    "expected an attribute of `{variable}`, found `.{attribute}` of a named {entity_type}"
                );
                let hint = format!(
                    "compare first, `{variable} == {entity_type}::\"…\"`, and read `{variable}.{attribute}`"
                );
                found.push((problem, hint));
            }
        }
    });
    Ok(found)
}

pub(super) fn reads(rule: &Policy) -> Result<Reads, String> {
    let mut reads = Reads::default();
    walk(&json(rule)?, &mut |node| match node {
        Node::OfContext("posture") => reads.posture = true,
        Node::OfContext("run") => reads.run = true,
        Node::OfContext(_) | Node::AttributeOfLiteral { .. } => {}
        Node::Context => reads = Reads { posture: true, run: true },
    });
    Ok(reads)
}

fn json(rule: &Policy) -> Result<Value, String> {
    rule.to_json().map_err(|error| error.to_string())
}

enum Node<'a> {
    /// `context.NAME` or `context has NAME`.
    OfContext(&'a str),
    /// The context in any other expression, which may read all of it.
    Context,
    /// `Agent::"x".NAME`.
    AttributeOfLiteral { entity_type: &'a str, attribute: &'a str },
}

/// Goes through an expression in Cedar's JSON form.
fn walk(value: &Value, visit: &mut impl FnMut(Node<'_>)) {
    match value {
        Value::Object(map) => {
            for (operator, operand) in map {
                if operator == "Var" && operand == "context" {
                    visit(Node::Context);
                }
                let attribute = operand.get("attr").and_then(Value::as_str);
                let of = operand.get("left").filter(|_| operator == "." || operator == "has");
                match (of, attribute) {
                    (Some(of), Some(attribute)) if of.get("Var").is_some_and(|var| var == "context") => {
                        visit(Node::OfContext(attribute));
                    }
                    (Some(of), Some(attribute)) => {
                        let literal = of.pointer("/Value/__entity/type").and_then(Value::as_str);
                        if let Some(entity_type) = literal.filter(|_| operator == ".") {
                            visit(Node::AttributeOfLiteral { entity_type, attribute });
                        }
                        walk(of, visit);
                    }
                    (Some(_) | None, _) => walk(operand, visit),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| walk(value, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
