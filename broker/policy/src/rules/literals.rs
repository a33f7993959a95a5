//! What rules name and read: time zones, attributes of the context, attributes of entities that are not in a request.

use cedar_policy::{EntityUid, Policy};
use serde_json::Value;

use super::schema::{self, Type};
use super::zones;

/// Which parts of the context are read. What is never read need not be loaded.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reads {
    pub(super) posture: bool,
    pub(super) run: bool,
}

/// What one rule names and reads.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) zones: Vec<String>,
    pub(super) reads: Reads,
    /// Entities that no request has, or whose attributes are known for one request only: the problem and the hint.
    pub(super) problems: Vec<(String, String)>,
}

impl Named {
    pub(super) fn of(rule: &Policy) -> Result<Self, String> {
        let mut named = Self::default();
        let entities = rule.entity_literals();
        let of_type = |of: &Type, entity: &&EntityUid| *entity.type_name() == **of;
        for zone in entities.iter().filter(|entity| of_type(&schema::ZONE, entity)) {
            named.zone(zone.id().unescaped());
        }
        for (of, attribute) in [(&schema::CLAIMS, "context.claims"), (&schema::POSTURE, "context.posture")] {
            if entities.iter().any(|entity| of_type(of, &entity)) {
                let problem = format!("expected `{attribute}`, found an entity `{}::…`", **of);
                let hint = format!("each request has its own: write `{attribute}.hasTag(…)`");
                named.problems.push((problem, hint));
            }
        }
        let json = rule.to_json().map_err(|error| error.to_string())?;
        walk(&json, &mut |node| named.node(node));
        Ok(named)
    }

    fn zone(&mut self, name: &str) {
        self.zones.push(name.to_owned());
        if zones::find(name).is_some() {
            return;
        }
        let hint = match zones::similar(name) {
            Some(similar) => format!("write `Zone::\"{similar}\"`"),
            None => "write it like `Zone::\"Europe/Berlin\"`".to_owned(),
        };
        self.problems.push((format!("expected the name of an IANA time zone, found `Zone::{name:?}`"), hint));
    }

    fn node(&mut self, node: Node<'_>) {
        match node {
            Node::OfContext("posture") => self.reads.posture = true,
            Node::OfContext("run") => self.reads.run = true,
            Node::OfContext(_) => {}
            Node::Context => self.reads = Reads { posture: true, run: true },
            Node::AttributeOfLiteral { entity_type, attribute } => {
                let variable = match entity_type {
                    "Agent" => "principal",
                    "Policy" => "resource",
                    _ => return,
                };
                let problem = format!(
                    "expected an attribute of `{variable}`, found `.{attribute}` of a named {entity_type}"
                );
                let hint = format!(
                    "compare first, `{variable} == {entity_type}::\"…\"`, and read `{variable}.{attribute}`"
                );
                self.problems.push((problem, hint));
            }
        }
    }
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
