//! Retries: which answers are worth one, how soon, and for how long.

use std::time::{Duration, UNIX_EPOCH};

use protocol::problem::MEDIA_TYPE;
use protocol::{Problem, Timestamp};
use reqwest::{RequestBuilder, Response, StatusCode, header};
use tokio::time::{Instant, sleep, timeout_at};

use super::call::Call;
use super::network::causes;
use super::{Client, Notice};
use crate::error::Error;

/// The longest answer that is read: a timeline can be long, a proxy's error page must not exhaust the memory.
const MAX_ANSWER: usize = 4 * 1024 * 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The time limits of one call.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// The timeout of each attempt.
    pub attempt: Duration,
    /// The timeout of all attempts together.
    pub overall: Duration,
}

/// A complete answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) date: Option<String>,
    media_type: String,
    retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

enum Failure {
    /// The connection failed; the request may or may not have arrived.
    Connection(String),
    /// The server's certificate is not trusted: a retry changes nothing.
    Certificate(String),
    TimedOut,
}

/// The attempts of one call.
pub(super) struct Attempts<'a> {
    client: &'a Client,
    each: Duration,
    deadline: Instant,
    pause: Duration,
    /// The HTTP client of every attempt but the first.
    fresh: Option<reqwest::Client>,
    closed_connections: u32,
}

/// Sends `call` until an answer is final or the time is over.
pub(super) async fn send(broker: &Client, policy: RetryPolicy, call: &Call) -> Result<Answer, Error> {
    let mut attempts = Attempts::begin(broker, policy);
    loop {
        if let Some(answer) = attempts.try_once(call, &mut |_| {}).await? {
            return Ok(answer);
        }
    }
}

/// Sends `call` once: a retry of a call that the broker has executed would change something again.
pub(super) async fn send_once(broker: &Client, within: Duration, call: &Call) -> Result<Answer, Error> {
    let request = call.request(&broker.kept).bearer_auth(broker.settings.bearer.reveal());
    once(request, Instant::now() + within).await.map_err(|failure| match failure {
        Failure::Connection(why) | Failure::Certificate(why) => unreachable(broker, &why),
        Failure::TimedOut => unreachable(broker, "no answer in time"),
    })
}

impl<'a> Attempts<'a> {
    pub(super) fn begin(broker: &'a Client, policy: RetryPolicy) -> Self {
        Self {
            client: broker,
            each: policy.attempt,
            deadline: Instant::now() + policy.overall,
            pause: FIRST_PAUSE,
            fresh: None,
            closed_connections: 0,
        }
    }

    /// Prepares an attempt, within the deadline of all.
    pub(super) async fn in_time<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let late = |_| unreachable(self.client, "no time was left to send the request");
        timeout_at(self.deadline, work).await.map_err(late)?
    }

    /// A final answer, or none after the pause before the next attempt.
    pub(super) async fn try_once(
        &mut self,
        call: &Call,
        notice: &mut (dyn FnMut(Notice<'_>) + Send),
    ) -> Result<Option<Answer>, Error> {
        let client = self.fresh.as_ref().unwrap_or(&self.client.kept);
        let request = call.request(client).bearer_auth(self.client.settings.bearer.reveal());
        let outcome = once(request, (Instant::now() + self.each).min(self.deadline)).await;
        let (why, requested_delay, last_answer) = match outcome {
            Ok(answer) if !is_retryable(answer.status) => return Ok(Some(answer)),
            Ok(answer) => (format!("HTTP {}", answer.status.as_u16()), answer.retry_after, Some(answer)),
            Err(Failure::Connection(why)) => {
                self.closed_connections += 1;
                (why, None, None)
            }
            Err(Failure::Certificate(why)) => return Err(unreachable(self.client, &why)),
            Err(Failure::TimedOut) => ("no answer in time".to_owned(), None, None),
        };
        if self.fresh.is_none() {
            self.fresh = Some(self.client.fresh()?);
        }
        // The kept connection was closed while idle, which says nothing about the broker's health.
        let at_once = self.closed_connections == 1 && last_answer.is_none();
        let wait = match requested_delay {
            _ if at_once => Duration::ZERO,
            Some(delay) => delay.max(jittered(FIRST_PAUSE)),
            None => jittered(self.pause),
        };
        if Instant::now() + wait >= self.deadline {
            return match last_answer {
                Some(answer) => Ok(Some(answer)),
                None => Err(unreachable(self.client, &why)),
            };
        }
        if !at_once {
            notice(Notice::Retrying { why: &why, pause: wait });
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
        sleep(wait).await;
        Ok(None)
    }
}

async fn once(request: RequestBuilder, deadline: Instant) -> Result<Answer, Failure> {
    let answer = async {
        let response = request.send().await.map_err(|error| failure(&error))?;
        read(response).await
    };
    timeout_at(deadline, answer).await.unwrap_or(Err(Failure::TimedOut))
}

async fn read(mut response: Response) -> Result<Answer, Failure> {
    let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let status = response.status();
    let date = text(header::DATE);
    let media_type = text(header::CONTENT_TYPE).unwrap_or_default();
    let retry_after = text(header::RETRY_AFTER).and_then(|delay| retry_after(&delay, date.as_deref()));
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(Failure::Connection(format!("the answer is longer than {MAX_ANSWER} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, date, media_type, retry_after, body })
}

fn failure(error: &reqwest::Error) -> Failure {
    let why = causes(error);
    if error.is_timeout() {
        Failure::TimedOut
    } else if why.contains("invalid peer certificate") {
        Failure::Certificate(why)
    } else {
        Failure::Connection(why)
    }
}

fn is_retryable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500..=599)
}

/// Seconds, or a date, which is compared with the answer's own `Date` so that this machine's clock does not matter.
fn retry_after(delay: &str, date: Option<&str>) -> Option<Duration> {
    match delay.trim().parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds.min(3600))),
        Err(_) => Some(http_date(delay)?.since(http_date(date?)?)),
    }
}

/// An HTTP date (RFC 9110): `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(super) fn http_date(text: &str) -> Option<Timestamp> {
    let since = httpdate::parse_http_date(text.trim()).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_secs(i64::try_from(since.as_secs()).ok()?))
}

/// Between half of `pause` and all of it, so that a thousand jobs do not retry at once.
fn jittered(pause: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX);
    pause.mul_f64(0.5 + f64::from(random) / f64::from(u32::MAX) / 2.0)
}

pub(super) fn unreachable(broker: &Client, why: &str) -> Error {
    let url = broker.settings.url.trim_end_matches('/').to_owned();
    let hint = if why.contains("certificate") {
        "for a private certificate authority set `CLOUDANIX_CA_FILE` to its PEM file"
    } else {
        "`cloudanix-jit doctor` shows how far a request gets"
    };
    Error::Unreachable { url, why: why.to_owned(), hint: Some(hint.to_owned()) }
}

impl Answer {
    /// The body as `T`, or the broker's problem.
    pub(super) fn read<T: serde::de::DeserializeOwned>(self, broker: &Client) -> Result<T, Error> {
        if self.status.is_success() {
            serde_json::from_slice(&self.body).map_err(|_| self.not_a_broker(broker))
        } else {
            Err(self.refusal(broker))
        }
    }

    /// The broker's problem. An answer without one does not come from a broker.
    pub(super) fn refusal(self, broker: &Client) -> Error {
        match self.problem() {
            Some(problem) => Error::Problem(Box::new(problem)),
            None => self.not_a_broker(broker),
        }
    }

    pub(super) fn problem(&self) -> Option<Problem> {
        self.media_type.starts_with(MEDIA_TYPE).then(|| serde_json::from_slice(&self.body).ok())?
    }

    fn not_a_broker(&self, broker: &Client) -> Error {
        let media_type: String = self.media_type.chars().take(80).collect();
        let found = if media_type.is_empty() { "nothing".to_owned() } else { format!("`{media_type}`") };
        let why = format!(
            "expected a broker's answer, found HTTP {} with {found} that is not one",
            self.status.as_u16()
        );
        unreachable(broker, &why).with_hint("check `CLOUDANIX_URL`, and what stands between here and there")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_transient_statuses_are_retried() {
        let tried: Vec<u16> =
            (200..600).filter(|code| StatusCode::from_u16(*code).is_ok_and(is_retryable)).collect();
        assert_eq!(&tried[..4], [408, 425, 429, 500]);
        assert_eq!(tried.len(), 103);
    }

    #[test]
    fn a_retry_after_is_seconds_or_a_date() {
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(retry_after("7", None), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:57 GMT", date), Some(Duration::from_secs(20)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:57 GMT", None), None);
        assert_eq!(retry_after("soon", date), None);
    }

    #[test]
    fn a_jittered_pause_is_at_least_half() {
        for _ in 0..100 {
            let pause = jittered(Duration::from_secs(2));
            assert!((Duration::from_secs(1)..=Duration::from_secs(2)).contains(&pause), "{pause:?}");
        }
    }
}
