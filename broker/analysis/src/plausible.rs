//! A condition that every request of a broker fulfills, so that the solver finds no request that cannot happen.

use std::collections::BTreeSet;

use cedar_policy::{Policy, PolicySet};
use policy::rules::RuleSet;
use serde_json::Value;

/// The condition, in Cedar's JSON form.
pub(crate) struct Condition(Value);

const CONTEXT: &str = r#"
    context.now >= datetime("1970-01-01") && context.now <= datetime("9999-12-31T23:59:59.999Z") &&
    context.request.ttl >= duration("1s") && context.request.ttl <= duration("24h") &&
    context.run.live >= 0 && context.run.live <= 250 &&
    context.run.last_hour >= 0 && context.run.last_hour <= 250 &&
    context.run.agent_live >= 0 && context.run.agent_live <= 250 &&
    context.run.agent_last_hour >= 0 && context.run.agent_last_hour <= 250
"#;

impl Condition {
    /// For requests to these rule sets, with the zones and the posture sources that they name.
    pub(crate) fn of(sets: &[&RuleSet]) -> Result<Self, String> {
        let mut condition = CONTEXT.to_owned();
        let zones: BTreeSet<&String> = sets.iter().flat_map(|set| set.zones()).collect();
        for zone in zones {
            let zone = format!("Zone::{zone:?}");
            condition += &format!(
                "&& {zone}.time >= duration(\"0s\") && {zone}.time < duration(\"24h\") \
                 && {zone}.weekday >= 1 && {zone}.weekday <= 7"
            );
        }
        let mut sources = BTreeSet::new();
        for rule in sets.iter().flat_map(|set| set.policies().policies()) {
            posture_sources(&json(rule)?, &mut sources);
        }
        for source in sources {
            let (name, since) = (format!("{source:?}"), "datetime(\"1970-01-01\")");
            condition += &format!(
                "&& (if context.posture.hasTag({name}) then context.posture.getTag({name}).as_of >= {since} \
                 && context.posture.getTag({name}).as_of <= context.now else true)"
            );
        }
        let rule = format!("permit(principal, action, resource) when {{ {condition} }};");
        let rule = Policy::parse(None, rule).map_err(|error| error.to_string())?;
        let parsed = json(&rule)?.pointer_mut("/conditions/0").map(Value::take);
        parsed.map(Self).ok_or_else(|| "expected a condition".to_owned())
    }

    /// The rules of a set, each with the condition before its own. They answer plausible requests as before, and match no
    /// other.
    pub(crate) fn set(&self, rules: &RuleSet) -> Result<PolicySet, String> {
        let rules = rules.policies().policies().map(|rule| self.with(rule));
        PolicySet::from_policies(rules.collect::<Result<Vec<_>, String>>()?)
            .map_err(|error| error.to_string())
    }

    fn with(&self, rule: &Policy) -> Result<Policy, String> {
        let mut json = json(rule)?;
        let conditions = json.get_mut("conditions").and_then(Value::as_array_mut);
        conditions.ok_or("expected conditions")?.insert(0, self.0.clone());
        Policy::from_json(Some(rule.id().clone()), json).map_err(|error| error.to_string())
    }
}

fn json(rule: &Policy) -> Result<Value, String> {
    rule.to_json().map_err(|error| error.to_string())
}

/// The names in `getTag("…")`, of the posture or of other tags.
fn posture_sources(value: &Value, sources: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            let name = map.get("getTag").and_then(|tag| tag.pointer("/right/Value")?.as_str());
            let of = map.get("getTag").and_then(|tag| tag.pointer("/left/./attr")?.as_str());
            if let (Some(name), Some("posture")) = (name, of) {
                sources.insert(name.to_owned());
            }
            map.values().for_each(|value| posture_sources(value, sources));
        }
        Value::Array(values) => values.iter().for_each(|value| posture_sources(value, sources)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
