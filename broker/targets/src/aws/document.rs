//! How does a policy document carry a deadline, so that the cloud ends it without us?

use protocol::{GrantId, Timestamp};
use serde_json::{Map, Value, json};

/// A document cannot carry a deadline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("the policy document is not what IAM writes: expected {expected}, found {found}")]
    Shape { expected: &'static str, found: String },
    #[error(
        "the policy has its own conditions on `aws:CurrentTime`: there is no operator left for the deadline"
    )]
    OwnDeadline,
}

const NOW: &str = "aws:CurrentTime";

/// Every statement of `source` with the condition that it is before `ends`. A Deny has it too: what is left on a
/// role when everything of ours is dead must mean nothing any more, whichever way it pointed.
pub(super) fn until(source: &str, ends: Timestamp) -> Result<String, Unfit> {
    let mut document: Map<String, Value> =
        serde_json::from_str(source).map_err(|error| shape("a JSON object", error.to_string()))?;
    let statements = match document.remove("Statement") {
        Some(Value::Array(all)) => all,
        Some(one @ Value::Object(_)) => vec![one],
        _ => return Err(shape("`Statement`", "none".to_owned())),
    };
    let statements = statements
        .into_iter()
        .map(|statement| match statement {
            Value::Object(statement) => ending(statement, ends).map(Value::Object),
            other
            @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                Err(shape("a statement", other.to_string().chars().take(80).collect()))
            }
        })
        .collect::<Result<Vec<_>, _>>()?;
    document.insert("Statement".to_owned(), Value::Array(statements));
    Ok(Value::Object(document).to_string())
}

fn shape(expected: &'static str, found: String) -> Unfit {
    Unfit::Shape { expected, found }
}

/// Conditions of one operator on one key are alternatives; of two operators, both have to hold. So the deadline
/// takes an operator that the statement does not use for this key.
fn ending(mut statement: Map<String, Value>, ends: Timestamp) -> Result<Map<String, Value>, Unfit> {
    let conditions = statement.entry("Condition").or_insert_with(|| json!({}));
    let Value::Object(conditions) = conditions else {
        return Err(shape("an object as `Condition`", conditions.to_string().chars().take(80).collect()));
    };
    for operator in ["DateLessThan", "DateLessThanEquals"] {
        // IAM reads operators and keys without regard to case.
        let there = conditions.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case(operator));
        match there {
            None => {
                conditions.insert(operator.to_owned(), json!({ NOW: iam_time(ends) }));
                return Ok(statement);
            }
            Some((_, Value::Object(keys))) if !keys.keys().any(|key| key.eq_ignore_ascii_case(NOW)) => {
                keys.insert(NOW.to_owned(), json!(iam_time(ends)));
                return Ok(statement);
            }
            Some(_) => {}
        }
    }
    Err(Unfit::OwnDeadline)
}

/// ISO 8601 in whole seconds, as IAM writes it; rounded down, so that access never ends late.
pub(super) fn iam_time(at: Timestamp) -> String {
    let text = Timestamp::from_secs(at.as_secs()).to_string();
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

/// Denies everything from `ends` on: for a principal of ours alone, or a session.
pub(super) fn nothing_after(ends: Timestamp) -> Value {
    json!({
        "Sid": "CloudanixJitDeadline", "Effect": "Deny", "Action": "*", "Resource": "*",
        "Condition": { "DateGreaterThanEquals": { NOW: iam_time(ends) } },
    })
}

/// A document of these statements.
pub(super) fn of(statements: &[Value]) -> String {
    json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
}

/// Refuses every session of this grant. Which role's sessions it meets is where it is put. The source identity
/// goes with a session into every role that it assumes; the tag says the same of the session itself, so that
/// neither key alone decides.
pub(super) fn dead_sessions(grant: &GrantId, issued_before: Timestamp) -> String {
    let dead = |sid: &str, key: String| {
        json!({
            "Sid": sid, "Effect": "Deny", "Action": "*", "Resource": "*",
            "Condition": {
                "StringEquals": { key: grant },
                "DateLessThan": { ISSUED: iam_time(issued_before) },
            },
        })
    };
    of(&[
        dead(SESSIONS, "aws:SourceIdentity".to_owned()),
        dead("CloudanixJitDeadTag", format!("aws:PrincipalTag/{}", super::names::GRANT_TAG)),
    ])
}

/// Refuses what this service account's pods were given before.
pub(super) fn dead_pods(cluster: &str, namespace: &str, account: &str, issued_before: Timestamp) -> String {
    of(&[json!({
        "Sid": PODS, "Effect": "Deny", "Action": "*", "Resource": "*",
        "Condition": {
            "StringEquals": {
                // The session tags that EKS sets.
                "aws:PrincipalTag/eks-cluster-name": cluster,
                "aws:PrincipalTag/kubernetes-namespace": namespace,
                "aws:PrincipalTag/kubernetes-service-account": account,
            },
            "DateLessThan": { ISSUED: iam_time(issued_before) },
        },
    })])
}

const SESSIONS: &str = "CloudanixJitDeadSessions";
const PODS: &str = "CloudanixJitDeadPods";
const ISSUED: &str = "aws:TokenIssueTime";
/// The longest that EKS gives a pod's credentials.
pub(super) const POD_SESSION: std::time::Duration = std::time::Duration::from_secs(6 * 60 * 60);

/// Until when a document that keeps sessions dead is needed; none if it is not such a document.
pub(super) fn needed_until(document: &str) -> Option<Timestamp> {
    let document: Value = serde_json::from_str(document).ok()?;
    let statement = document.pointer("/Statement/0")?;
    let bound = statement.pointer("/Condition/DateLessThan/aws:TokenIssueTime")?.as_str()?.parse().ok()?;
    match statement.get("Sid")?.as_str()? {
        SESSIONS => Some(bound),
        PODS => Some(bound.plus(POD_SESSION)),
        _ => None,
    }
}

/// As IAM counts: without white space.
pub(super) fn size(document: &str) -> usize {
    document.chars().filter(|c| !c.is_whitespace()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDS: &str = "2026-06-08T14:15:14Z";

    fn with_deadline(source: &str) -> Result<Value, Unfit> {
        until(source, ENDS.parse().unwrap()).map(|document| serde_json::from_str(&document).unwrap())
    }

    #[test]
    fn every_statement_gets_the_deadline() {
        let source = json!({
            "Version": "2012-10-17",
            "Statement": [
                { "Effect": "Allow", "Action": "ecs:*", "Resource": "*" },
                { "Effect": "Deny", "Action": "ecs:DeleteCluster", "Resource": "*",
                  "Condition": { "StringEquals": { "aws:RequestedRegion": "eu-west-1" } } },
            ],
        });
        let document = with_deadline(&source.to_string()).unwrap();
        for n in 0..2 {
            let at = format!("/Statement/{n}/Condition/DateLessThan/aws:CurrentTime");
            assert_eq!(document.pointer(&at).unwrap(), ENDS);
        }
        assert_eq!(
            document.pointer("/Statement/1/Condition/StringEquals/aws:RequestedRegion").unwrap(),
            "eu-west-1"
        );
    }

    #[test]
    fn a_single_statement_is_one_too() {
        let document =
            with_deadline(r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#).unwrap();
        assert_eq!(document.pointer("/Statement/0/Condition/DateLessThan/aws:CurrentTime").unwrap(), ENDS);
    }

    #[test]
    fn a_policys_own_deadline_goes_on_to_count() {
        let own = |conditions: Value| {
            json!({ "Statement": [{ "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": conditions }] })
                .to_string()
        };
        let document =
            with_deadline(&own(json!({ "datelessthan": { "AWS:currenttime": "2026-01-01T00:00:00Z" } })))
                .unwrap();
        let condition = document.pointer("/Statement/0/Condition").unwrap();
        assert_eq!(condition.pointer("/datelessthan/AWS:currenttime").unwrap(), "2026-01-01T00:00:00Z");
        assert_eq!(condition.pointer("/DateLessThanEquals/aws:CurrentTime").unwrap(), ENDS);
        let both = json!({
            "DateLessThan": { "aws:CurrentTime": "2026-01-01T00:00:00Z" },
            "DateLessThanEquals": { "aws:CurrentTime": "2026-01-01T00:00:00Z" },
        });
        assert_eq!(with_deadline(&own(both)), Err(Unfit::OwnDeadline));
        let other_key = json!({ "DateLessThan": { "aws:TokenIssueTime": "2026-01-01T00:00:00Z" } });
        let document = with_deadline(&own(other_key)).unwrap();
        assert_eq!(document.pointer("/Statement/0/Condition/DateLessThan/aws:CurrentTime").unwrap(), ENDS);
    }

    #[test]
    fn what_is_no_policy_is_refused_with_what_was_found() {
        for source in ["[]", "{}", r#"{"Statement":[7]}"#, r#"{"Statement":[{"Condition":[]}]}"#] {
            assert!(matches!(with_deadline(source), Err(Unfit::Shape { .. })), "{source}");
        }
    }

    #[test]
    fn how_long_dead_sessions_have_to_be_kept_dead_is_in_the_document() {
        let grant = GrantId::from_random([1; 8]);
        let bound: Timestamp = ENDS.parse().unwrap();
        assert_eq!(needed_until(&dead_sessions(&grant, bound)), Some(bound));
        assert_eq!(needed_until(&dead_pods("c", "n", "s", bound)), Some(bound.plus(POD_SESSION)));
        assert_eq!(needed_until(&of(&[nothing_after(bound)])), None);
    }
}
