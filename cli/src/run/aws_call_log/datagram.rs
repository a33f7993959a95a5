//! What does an AWS SDK say about a call? One JSON document per datagram: one for each attempt, and one for
//! the whole call when it is over.

use std::collections::VecDeque;

use serde_json::Value;

use super::services;

/// SDKs send nothing longer.
pub(super) const LONGEST: usize = 8 * 1024;

const LONGEST_OPERATION: usize = 72;
const LONGEST_EXCEPTION: usize = 48;

/// Attempts whose calls are not over. More at the same time are rare, and only some SDKs leave us to them.
const OPEN_ATTEMPTS: usize = 32;

/// One call that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// `ecs:UpdateService`
    pub(super) name: String,
    /// `200`, `403 AccessDeniedException`, or the exception alone where nobody answered.
    pub(super) status: Option<String>,
}

/// Understands the datagrams that belong to one grant.
pub(super) struct Reader {
    grant: String,
    attempts: VecDeque<Seen>,
}

impl Reader {
    pub(super) fn of(grant: &str) -> Self {
        Self { grant: grant.to_owned(), attempts: VecDeque::new() }
    }

    /// A call that is over. Nothing for an attempt, and for whatever is not meant for us.
    ///
    /// Read is what stands here and nothing else: an attempt carries the session's token too.
    pub(super) fn read(&mut self, datagram: &[u8]) -> Option<Seen> {
        if datagram.len() > LONGEST {
            return None;
        }
        let datagram: Value = serde_json::from_slice(datagram).ok()?;
        let text = |field| datagram.get(field).and_then(Value::as_str);
        if text("ClientId")? != self.grant {
            return None;
        }
        let operation = plain(text("Api")?, LONGEST_OPERATION)?;
        let name = format!("{}:{operation}", services::prefix(text("Service")?)?);
        let status = |code, aws, sdk| {
            status(datagram.get(code).and_then(Value::as_u64), text(aws).or_else(|| text(sdk)))
        };
        match text("Type")? {
            "ApiCallAttempt" => {
                let status = status("HttpStatusCode", "AwsException", "SdkException");
                self.attempted(Seen { name, status });
                None
            }
            "ApiCall" => {
                let status = status("FinalHttpStatusCode", "FinalAwsException", "FinalSdkException");
                let attempt = self.last_attempt(&name);
                Some(Seen { name, status: status.or(attempt) })
            }
            _ => None,
        }
    }

    fn attempted(&mut self, attempt: Seen) {
        if self.attempts.len() >= OPEN_ATTEMPTS {
            self.attempts.pop_front();
        }
        self.attempts.push_back(attempt);
    }

    /// The status of the last attempt at a call that is over; forgets its attempts.
    fn last_attempt(&mut self, name: &str) -> Option<String> {
        let last = self.attempts.iter().rev().find(|attempt| attempt.name == name)?.status.clone();
        self.attempts.retain(|attempt| attempt.name != name);
        last
    }
}

fn status(code: Option<u64>, exception: Option<&str>) -> Option<String> {
    let code = code.filter(|code| *code < 1000).map(|code| code.to_string());
    let exception = exception.and_then(|exception| plain(exception, LONGEST_EXCEPTION));
    match (code, exception) {
        (Some(code), Some(exception)) if exception != code => Some(format!("{code} {exception}")),
        (code, exception) => code.or(exception),
    }
}

/// Letters, digits and `._-` only, so that nothing can be smuggled into a name.
fn plain(text: &str, longest: usize) -> Option<String> {
    let allowed = |letter: &char| letter.is_ascii_alphanumeric() || "._-".contains(*letter);
    let text: String = text.chars().filter(allowed).take(longest).collect();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GRANT: &str = "elev-0000000000000001";

    /// As botocore 1.44 sends it, less a few numbers.
    fn call(api: &str, more: &str) -> String {
        format!(
            r#"{{"Version":1,"ClientId":"{GRANT}","Type":"ApiCall","Service":"ECS","Api":"{api}","Timestamp":1,"AttemptCount":1,"Region":"eu-west-1","UserAgent":"Boto3/1.44","Latency":12,"MaxRetriesExceeded":0{more}}}"#
        )
    }

    fn attempt(api: &str, more: &str) -> String {
        call(api, more).replace("ApiCall", "ApiCallAttempt").replace(
            "\"Latency\"",
            "\"Fqdn\":\"ecs.eu-west-1.amazonaws.com\",\"AccessKey\":\"AKIAX\",\"SessionToken\":\"a token\",\"AttemptLatency\"",
        )
    }

    fn read(datagrams: &[String]) -> Vec<(String, Option<String>)> {
        let mut reader = Reader::of(GRANT);
        let seen = datagrams.iter().filter_map(|datagram| reader.read(datagram.as_bytes()));
        seen.map(|seen| (seen.name, seen.status)).collect()
    }

    fn one(datagram: String) -> Option<String> {
        let seen = read(&[datagram]);
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!(seen[0].0, "ecs:UpdateService");
        seen[0].1.clone()
    }

    #[test]
    fn a_call_is_counted_once_however_many_attempts_it_took() {
        let seen = read(&[
            attempt("UpdateService", ",\"HttpStatusCode\":500"),
            attempt("UpdateService", ",\"HttpStatusCode\":200"),
            call("UpdateService", ",\"FinalHttpStatusCode\":200"),
        ]);
        assert_eq!(seen, [("ecs:UpdateService".to_owned(), Some("200".to_owned()))]);
    }

    #[test]
    fn how_it_ended_is_the_answer_or_what_stood_in_its_place() {
        let denied = ",\"FinalHttpStatusCode\":400,\"FinalAwsException\":\"AccessDeniedException\"";
        assert_eq!(one(call("UpdateService", denied)).as_deref(), Some("400 AccessDeniedException"));
        let nobody = ",\"FinalSdkException\":\"EndpointConnectionError\"";
        assert_eq!(one(call("UpdateService", nobody)).as_deref(), Some("EndpointConnectionError"));
        // S3's `HEAD` has no body to name an error: botocore repeats the number.
        let head = ",\"FinalHttpStatusCode\":404,\"FinalAwsException\":\"404\"";
        assert_eq!(one(call("UpdateService", head)).as_deref(), Some("404"));
        assert_eq!(one(call("UpdateService", "")), None);
    }

    #[test]
    fn without_a_final_status_the_last_attempt_of_the_same_call_has_it() {
        let seen = read(&[
            attempt("UpdateService", ",\"HttpStatusCode\":503"),
            attempt("UpdateService", ",\"HttpStatusCode\":200"),
            attempt("ListTasks", ",\"HttpStatusCode\":403"),
            call("UpdateService", ""),
            call("UpdateService", ""),
        ]);
        let statuses: Vec<_> = seen.iter().map(|(_, status)| status.as_deref()).collect();
        assert_eq!(statuses, [Some("200"), None], "the second call has no attempt of its own");
    }

    #[test]
    fn attempts_that_never_become_a_call_do_not_pile_up() {
        let mut reader = Reader::of(GRANT);
        for number in 0..1000 {
            reader.read(attempt(&format!("Call{number}"), "").as_bytes());
        }
        assert_eq!(reader.attempts.len(), OPEN_ATTEMPTS);
    }

    #[test]
    fn what_is_not_ours_or_not_understood_is_nothing() {
        let whole = call("UpdateService", "");
        for strange in [
            whole.replace(GRANT, "elev-0000000000000002"),
            whole.replace("ApiCall", "Weather"),
            whole.replace("\"Service\"", "\"Servant\""),
            whole.replace("ECS", "…"),
            whole.replace("UpdateService", ""),
            whole.replace('}', ""),
            whole.replace("\"AttemptCount\":1", &format!("\"Long\":\"{}\"", "x".repeat(LONGEST))),
            String::new(),
            "[".repeat(5000),
        ] {
            assert_eq!(read(&[strange]), []);
        }
    }

    #[test]
    fn a_name_holds_letters_digits_and_little_else_and_is_never_too_long_for_the_broker() {
        let seen = read(&[
            call("Up\\u001b[2Jdate ·\\nService/..", ",\"FinalHttpStatusCode\":200"),
            call(&"x".repeat(5000), &format!(",\"FinalAwsException\":\"{}\"", "y".repeat(500))),
        ]);
        assert_eq!(seen[0].0, "ecs:Up2JdateService..");
        assert!(seen[1].0.len() <= 128 && seen[1].1.as_ref().unwrap().len() <= 64);
    }

    proptest! {
        #[test]
        fn whatever_is_sent_a_row_fits_into_a_report(service: String, api: String, error: String, code: i64) {
            let datagram = serde_json::json!({
                "ClientId": GRANT, "Type": "ApiCall", "Service": service, "Api": api,
                "FinalHttpStatusCode": code, "FinalAwsException": error,
            });
            if let Some(seen) = Reader::of(GRANT).read(datagram.to_string().as_bytes()) {
                let is_plain = |letter: char| letter.is_ascii_alphanumeric() || ":._- ".contains(letter);
                prop_assert!(seen.name.len() <= 128 && seen.name.chars().all(is_plain));
                let status = seen.status.unwrap_or_default();
                prop_assert!(status.len() <= 64 && status.chars().all(is_plain));
            }
        }
    }
}
