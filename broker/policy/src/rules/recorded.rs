//! A recorded request as a test case.

use domain::facts::{PolicyFacts, PostureFacts};
use domain::{DecisionFacts, Outcome};
use serde_json::{Map, Value, json};

/// The request of these facts as a file with one case, which expects this outcome. Local times are left out, because a set
/// computes them from the time; and so is what no rule reads.
pub fn case_of(name: &str, facts: &DecisionFacts, expect: Outcome) -> Result<String, String> {
    let DecisionFacts {
        version: _,
        nonce: _,
        local: _,
        at,
        agent,
        request,
        identity,
        observed,
        posture,
        run,
    } = facts;
    let policy = |policy: &PolicyFacts| json!({"name": policy.name, "sensitivity": policy.sensitivity});
    let found = |(source, found): (&String, &PostureFacts)| {
        (source.clone(), json!({"ok": found.ok, "as_of": found.as_of}))
    };
    let case = json!({
        "name": name,
        "expect": expect,
        "at": at,
        "ttl": request.ttl,
        "heartbeat": request.heartbeat,
        "scope": request.scope,
        "target": request.target,
        "account": request.account,
        "trust": identity.trust,
        "platform": identity.platform,
        "issuer": identity.issuer,
        "subject": identity.subject,
        "address": observed.address,
        "country": observed.country,
        "agent": {
            "id": agent.id, "use_case": agent.use_case, "groups": agent.groups, "labels": agent.labels,
        },
        "policies": request.policies.iter().map(policy).collect::<Vec<_>>(),
        "signed": identity.signed,
        "claims": identity.claims,
        "posture": posture.iter().map(found).collect::<Map<_, _>>(),
        "run": run,
    });
    toml::to_string(&json!({"case": [without_nulls(case)]})).map_err(|error| error.to_string())
}

/// TOML has no null. A rule that reads a claim that is null finds none.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let present = members.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(present.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        Value::Array(elements) => {
            let present = elements.into_iter().filter(|value| !value.is_null());
            Value::Array(present.map(without_nulls).collect())
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}
