//! The datagrams of an AWS SDK: one JSON document for each attempt of a call, and one for the call when it has ended.

use std::collections::VecDeque;

use serde_json::Value;

use super::services;

/// The longest datagram of an SDK.
pub(super) const LONGEST: usize = 8 * 1024;

const LONGEST_OPERATION: usize = 72;
const LONGEST_EXCEPTION: usize = 48;

/// The number of attempts that are kept until their calls end. More at the same time are rare, and only some SDKs need
/// them.
const OPEN_ATTEMPTS: usize = 32;

/// One call that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AwsCall {
    /// `ecs:UpdateService`
    pub(super) name: String,
    /// `200`, `403 AccessDeniedException`, or the exception alone if there was no answer.
    pub(super) status: Option<String>,
}

/// Parses the datagrams of one grant.
pub(super) struct Reader {
    grant: String,
    attempts: VecDeque<AwsCall>,
}

impl Reader {
    pub(super) fn of(grant: &str) -> Self {
        Self { grant: grant.to_owned(), attempts: VecDeque::new() }
    }

    /// The call that has ended; `None` for an attempt and for every other datagram.
    ///
    /// Only the fields below are read: an attempt contains the session's token too.
    pub(super) fn read(&mut self, datagram: &[u8]) -> Option<AwsCall> {
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
                self.record_attempt(AwsCall { name, status });
                None
            }
            "ApiCall" => {
                let status = status("FinalHttpStatusCode", "FinalAwsException", "FinalSdkException");
                let attempt = self.last_attempt(&name);
                Some(AwsCall { name, status: status.or(attempt) })
            }
            _ => None,
        }
    }

    fn record_attempt(&mut self, attempt: AwsCall) {
        if self.attempts.len() >= OPEN_ATTEMPTS {
            self.attempts.pop_front();
        }
        self.attempts.push_back(attempt);
    }

    /// The status of the last attempt of a call that has ended. Removes its attempts.
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

/// Letters, digits and `._-` only, so that a name contains no control characters.
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
        let calls = datagrams.iter().filter_map(|datagram| reader.read(datagram.as_bytes()));
        calls.map(|call| (call.name, call.status)).collect()
    }

    fn one(datagram: String) -> Option<String> {
        let calls = read(&[datagram]);
        assert_eq!(calls.len(), 1, "{calls:?}");
        assert_eq!(calls[0].0, "ecs:UpdateService");
        calls[0].1.clone()
    }

    #[test]
    fn a_call_is_counted_once_however_many_attempts_it_took() {
        let calls = read(&[
            attempt("UpdateService", ",\"HttpStatusCode\":500"),
            attempt("UpdateService", ",\"HttpStatusCode\":200"),
            call("UpdateService", ",\"FinalHttpStatusCode\":200"),
        ]);
        assert_eq!(calls, [("ecs:UpdateService".to_owned(), Some("200".to_owned()))]);
    }

    #[test]
    fn the_status_is_the_answer_or_the_exception() {
        let denied = ",\"FinalHttpStatusCode\":400,\"FinalAwsException\":\"AccessDeniedException\"";
        assert_eq!(one(call("UpdateService", denied)).as_deref(), Some("400 AccessDeniedException"));
        let no_answer = ",\"FinalSdkException\":\"EndpointConnectionError\"";
        assert_eq!(one(call("UpdateService", no_answer)).as_deref(), Some("EndpointConnectionError"));
        // S3's `HEAD` has no body to name an error: botocore repeats the number.
        let head = ",\"FinalHttpStatusCode\":404,\"FinalAwsException\":\"404\"";
        assert_eq!(one(call("UpdateService", head)).as_deref(), Some("404"));
        assert_eq!(one(call("UpdateService", "")), None);
    }

    #[test]
    fn without_a_final_status_the_last_attempt_of_the_call_has_it() {
        let calls = read(&[
            attempt("UpdateService", ",\"HttpStatusCode\":503"),
            attempt("UpdateService", ",\"HttpStatusCode\":200"),
            attempt("ListTasks", ",\"HttpStatusCode\":403"),
            call("UpdateService", ""),
            call("UpdateService", ""),
        ]);
        let statuses: Vec<_> = calls.iter().map(|(_, status)| status.as_deref()).collect();
        assert_eq!(statuses, [Some("200"), None], "the second call has no attempt of its own");
    }

    #[test]
    fn attempts_without_a_call_are_bounded() {
        let mut reader = Reader::of(GRANT);
        for number in 0..1000 {
            reader.read(attempt(&format!("Call{number}"), "").as_bytes());
        }
        assert_eq!(reader.attempts.len(), OPEN_ATTEMPTS);
    }

    #[test]
    fn foreign_and_malformed_datagrams_are_ignored() {
        let whole = call("UpdateService", "");
        for datagram in [
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
            assert_eq!(read(&[datagram]), []);
        }
    }

    #[test]
    fn names_are_plain_and_short_enough_for_the_broker() {
        let calls = read(&[
            call("Up\\u001b[2Jdate ·\\nService/..", ",\"FinalHttpStatusCode\":200"),
            call(&"x".repeat(5000), &format!(",\"FinalAwsException\":\"{}\"", "y".repeat(500))),
        ]);
        assert_eq!(calls[0].0, "ecs:Up2JdateService..");
        assert!(calls[1].0.len() <= 128 && calls[1].1.as_ref().unwrap().len() <= 64);
    }

    proptest! {
        #[test]
        fn every_row_fits_into_a_report(service: String, api: String, error: String, code: i64) {
            let datagram = serde_json::json!({
                "ClientId": GRANT, "Type": "ApiCall", "Service": service, "Api": api,
                "FinalHttpStatusCode": code, "FinalAwsException": error,
            });
            if let Some(call) = Reader::of(GRANT).read(datagram.to_string().as_bytes()) {
                let is_plain = |letter: char| letter.is_ascii_alphanumeric() || ":._- ".contains(letter);
                prop_assert!(call.name.len() <= 128 && call.name.chars().all(is_plain));
                let status = call.status.unwrap_or_default();
                prop_assert!(status.len() <= 64 && status.chars().all(is_plain));
            }
        }
    }
}
