//! Policy documents: with a deadline that AWS enforces, and session-deny documents.

use std::time::Duration;

use domain::aws::Pod;
use protocol::{GrantId, Timestamp};
use serde_json::{Map, Value, json};

/// Why a document cannot carry a deadline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoDeadline {
    #[error("the policy document is not what IAM writes: expected {expected}, found {found}")]
    Shape { expected: &'static str, found: String },
    #[error(
        "the policy has its own conditions on `aws:CurrentTime`: there is no operator left for the deadline"
    )]
    OwnDeadline,
}

const NOW: &str = "aws:CurrentTime";

/// Adds the condition that it is before `ends` to every statement of `source`. A Deny gets it too: a document that no
/// broker removes must have no effect after the deadline.
pub(super) fn with_deadline(source: &str, ends: Timestamp) -> Result<String, NoDeadline> {
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
            Value::Object(statement) => statement_with_deadline(statement, ends).map(Value::Object),
            other
            @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                Err(shape("a statement", other.to_string().chars().take(80).collect()))
            }
        })
        .collect::<Result<Vec<_>, _>>()?;
    document.insert("Statement".to_owned(), Value::Array(statements));
    Ok(Value::Object(document).to_string())
}

fn shape(expected: &'static str, found: String) -> NoDeadline {
    NoDeadline::Shape { expected, found }
}

/// IAM takes values of one operator on one key as alternatives, and requires the conditions of two operators both. So the
/// deadline uses an operator that the statement does not use for this key.
fn statement_with_deadline(
    mut statement: Map<String, Value>,
    ends: Timestamp,
) -> Result<Map<String, Value>, NoDeadline> {
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
    Err(NoDeadline::OwnDeadline)
}

/// ISO 8601 in whole seconds, as IAM writes it; rounded down, so that access never ends late.
pub(super) fn iam_time(at: Timestamp) -> String {
    let text = Timestamp::from_secs(at.as_secs()).to_string();
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

/// Denies everything from `ends` on; for a session's own policy.
pub(super) fn deny_after(ends: Timestamp) -> Value {
    json!({
        "Sid": "CloudanixJitDeadline", "Effect": "Deny", "Action": "*", "Resource": "*",
        "Condition": { "DateGreaterThanEquals": { NOW: iam_time(ends) } },
    })
}

/// A document of these statements.
pub(super) fn of(statements: &[Value]) -> String {
    json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
}

/// Denies everything to every session of this grant of the role that the document is put on. The source identity follows a
/// session into every role that it assumes; the tag names the grant too, so that neither key alone decides.
pub(super) fn deny_sessions(grant: &GrantId, issued_before: Timestamp) -> String {
    let deny = |sid: &str, key: String| {
        json!({
            "Sid": sid, "Effect": "Deny", "Action": "*", "Resource": "*",
            "Condition": {
                "StringEquals": { key: grant },
                "DateLessThan": { ISSUED: iam_time(issued_before) },
            },
        })
    };
    of(&[
        deny(SESSIONS, "aws:SourceIdentity".to_owned()),
        deny("CloudanixJitDeadTag", format!("aws:PrincipalTag/{}", super::names::GRANT_TAG)),
    ])
}

/// Denies everything to credentials that EKS issued to this service account's pods before.
pub(super) fn deny_pods(pod: &Pod, issued_before: Timestamp) -> String {
    let Pod { cluster, namespace, service_account } = pod;
    of(&[json!({
        "Sid": PODS, "Effect": "Deny", "Action": "*", "Resource": "*",
        "Condition": {
            "StringEquals": {
                // The session tags that EKS sets.
                "aws:PrincipalTag/eks-cluster-name": cluster,
                "aws:PrincipalTag/kubernetes-namespace": namespace,
                "aws:PrincipalTag/kubernetes-service-account": service_account,
            },
            "DateLessThan": { ISSUED: iam_time(issued_before) },
        },
    })])
}

const SESSIONS: &str = "CloudanixJitDeadSessions";
const PODS: &str = "CloudanixJitDeadPods";
const ISSUED: &str = "aws:TokenIssueTime";
/// The longest lifetime of credentials that EKS issues to a pod.
pub(super) const POD_SESSION: Duration = Duration::from_secs(6 * 60 * 60);

/// Until when a session-deny document is needed; none for other documents.
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

/// The length as IAM counts it: without white space.
pub(super) fn size(document: &str) -> usize {
    document.chars().filter(|c| !c.is_whitespace()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDS: &str = "2026-06-08T14:15:14Z";

    fn parsed(source: &str) -> Result<Value, NoDeadline> {
        with_deadline(source, ENDS.parse().unwrap()).map(|document| serde_json::from_str(&document).unwrap())
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
        let document = parsed(&source.to_string()).unwrap();
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
    fn a_statement_without_a_list_gets_the_deadline() {
        let document = parsed(r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#).unwrap();
        assert_eq!(document.pointer("/Statement/0/Condition/DateLessThan/aws:CurrentTime").unwrap(), ENDS);
    }

    #[test]
    fn a_policys_own_deadline_stays_in_force() {
        let own = |conditions: Value| {
            json!({ "Statement": [{ "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": conditions }] })
                .to_string()
        };
        let document =
            parsed(&own(json!({ "datelessthan": { "AWS:currenttime": "2026-01-01T00:00:00Z" } }))).unwrap();
        let condition = document.pointer("/Statement/0/Condition").unwrap();
        assert_eq!(condition.pointer("/datelessthan/AWS:currenttime").unwrap(), "2026-01-01T00:00:00Z");
        assert_eq!(condition.pointer("/DateLessThanEquals/aws:CurrentTime").unwrap(), ENDS);
        let both = json!({
            "DateLessThan": { "aws:CurrentTime": "2026-01-01T00:00:00Z" },
            "DateLessThanEquals": { "aws:CurrentTime": "2026-01-01T00:00:00Z" },
        });
        assert_eq!(parsed(&own(both)), Err(NoDeadline::OwnDeadline));
        let other_key = json!({ "DateLessThan": { "aws:TokenIssueTime": "2026-01-01T00:00:00Z" } });
        let document = parsed(&own(other_key)).unwrap();
        assert_eq!(document.pointer("/Statement/0/Condition/DateLessThan/aws:CurrentTime").unwrap(), ENDS);
    }

    #[test]
    fn a_document_that_is_no_policy_is_refused() {
        for source in ["[]", "{}", r#"{"Statement":[7]}"#, r#"{"Statement":[{"Condition":[]}]}"#] {
            assert!(matches!(parsed(source), Err(NoDeadline::Shape { .. })), "{source}");
        }
    }

    #[test]
    fn a_session_deny_document_says_until_when_it_is_needed() {
        let grant = GrantId::from_random([1; 8]);
        let bound: Timestamp = ENDS.parse().unwrap();
        let pod = Pod { cluster: "c".into(), namespace: "n".into(), service_account: "s".into() };
        assert_eq!(needed_until(&deny_sessions(&grant, bound)), Some(bound));
        assert_eq!(needed_until(&deny_pods(&pod, bound)), Some(bound.plus(POD_SESSION)));
        assert_eq!(needed_until(&of(&[deny_after(bound)])), None);
    }
}
