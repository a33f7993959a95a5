//! What became of a call to AWS, and what may be concluded from it?

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_iam::config::http::HttpResponse;
use aws_sdk_iam::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use tokio::time::Instant;

use super::accounts::{Account, Claimed};
use super::gate::{Closed, Urgency};
use crate::claim::Claim;
use crate::{Fault, TargetError};

/// IAM answers within a second or two or not at all; a worker must not hang on an account that does not answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// A call did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// AWS's own word for it: `NoSuchEntity`.
    code: Option<String>,
    what: String,
    fault: Fault,
}

impl Failure {
    /// Whether AWS said just this.
    pub(super) fn is(&self, code: &str) -> bool {
        self.code.as_deref().is_some_and(|found| found.trim_end_matches("Exception") == code)
    }
}

impl From<Failure> for TargetError {
    fn from(failure: Failure) -> Self {
        Self { what: failure.what, fault: failure.fault }
    }
}

/// Makes one call when the account's gate lets it, and sends nothing after the end of the claim.
/// `name` is as in IAM policies: `iam:PutRolePolicy`.
pub(super) async fn call<T, E>(
    account: Claimed<'_>,
    urgency: Urgency,
    name: &str,
    sending: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
) -> Result<T, Failure>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    // Boxed, because the SDK's futures are large: nested in a use case they overflow the stack of a debug build.
    let sending = Box::pin(sending);
    let now = Instant::now();
    let turn = account.gate.turn(urgency, now).map_err(|closed| not_now(&account, closed))?;
    wait_until(turn, now).await;
    if !account.claim.lasts_for(ANSWERED_WITHIN) {
        return Err(Failure {
            code: None,
            what: format!("{name} was not sent: the claim under which it was to be sent has lapsed"),
            fault: Fault::Busy { retry_after: Duration::from_secs(1) },
        });
    }
    let answer = tokio::time::timeout(ANSWERED_WITHIN, while_claimed(account.claim, sending)).await;
    let answer = answer.map_err(|_| unanswered(&account, name, "it took too long"))?;
    // Says nothing about the account: this process took too long.
    let answer = answer.ok_or_else(|| not_answered(name, "the claim lapsed meanwhile"))?;
    match answer {
        Ok(answer) => {
            account.gate.answered();
            Ok(answer)
        }
        Err(error) => Err(understood(&account, name, &error)),
    }
}

/// Polls a call only as long as its claim lasts; `None` if the call was dropped. A machine that was paused between two
/// polls, for instance while the connection was made, does not send the request when it continues.
async fn while_claimed<F: Future>(claim: &Claim, mut sending: Pin<Box<F>>) -> Option<F::Output> {
    poll_fn(|context| match claim.lasts_for(Duration::ZERO) {
        true => sending.as_mut().poll(context).map(Some),
        false => Poll::Ready(None),
    })
    .await
}

/// A timer takes a millisecond or two even for a moment that has come, and most turns have.
async fn wait_until(turn: Instant, now: Instant) {
    if turn > now {
        tokio::time::sleep_until(turn).await;
    }
}

fn not_now(account: &Account, closed: Closed) -> Failure {
    let id = &account.id;
    let (what, retry_after) = match closed {
        Closed::TooMany(wait) => (format!("account {id} is called as often as is allowed"), wait),
        Closed::Silent(wait) => (format!("account {id} does not answer"), wait),
    };
    Failure { code: None, what, fault: Fault::Busy { retry_after } }
}

fn understood<E>(account: &Account, name: &str, error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let code = error.code().map(str::to_owned);
    // By itself the SDK says the same of this as of a machine that cannot be reached.
    if let Some((why, fault)) = no_credentials(error) {
        let what =
            format!("{name} cannot be sent: no credentials of the broker for account {}: {why}", account.id);
        return Failure { code, what, fault };
    }
    match error {
        SdkError::ServiceError(answer) => {
            account.gate.answered();
            let status = answer.raw().status().as_u16();
            let said = answer.err().message().unwrap_or("without a message");
            let shown = code.clone().unwrap_or_else(|| format!("HTTP {status}"));
            // AWS's messages name principals and resources, never secrets; long ones are cut for the timeline.
            let said: String = said.chars().take(300).collect();
            let fault = fault_of(code.as_deref().unwrap_or_default(), status);
            Failure { what: format!("{name} · {shown} · {said}"), code, fault }
        }
        SdkError::ConstructionFailure(_) => {
            let what = format!("{name} cannot be sent: {}", first_line(error));
            // Among them: the broker's own credentials cannot be had. Nothing was sent.
            Failure { code, what, fault: Fault::Busy { retry_after: Duration::from_secs(1) } }
        }
        // The type says that there may be more kinds one day: whatever they are, nobody said no.
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) | _ => {
            Failure { code, ..unanswered(account, name, &first_line(error)) }
        }
    }
}

fn unanswered(account: &Account, name: &str, why: &str) -> Failure {
    account.gate.unanswered(Instant::now());
    not_answered(name, why)
}

fn not_answered(name: &str, why: &str) -> Failure {
    Failure { code: None, what: format!("{name} was not answered: {why}"), fault: Fault::Unknown }
}

fn sources<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'e (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// Why the broker's own credentials could not be had, if that is what happened: nothing was sent then.
fn no_credentials(error: &(dyn std::error::Error + 'static)) -> Option<(String, Fault)> {
    let chain: Vec<_> = sources(error).collect();
    let credentials = chain.iter().position(|error| error.is::<CredentialsError>())?;
    let chain = chain.get(credentials..)?;
    // The last of them is what AWS said.
    let why = chain.last()?.to_string();
    let why = why.lines().next().unwrap_or_default().chars().take(300).collect();
    // An account's role is there before the broker is told of it. If it, or its trust, was made a moment ago, whoever
    // set it up tries again; who does not know of it need not wait to hear of a wrong external id.
    let refusal = chain.iter().find_map(|error| error.downcast_ref::<AssumeRoleError>());
    let fault = match refusal.and_then(ProvideErrorMetadata::code) {
        Some("AccessDenied") => Fault::Refused,
        Some(_) | None => Fault::Busy { retry_after: Duration::from_secs(1) },
    };
    Some((why, fault))
}

fn first_line<E: std::error::Error>(error: &E) -> String {
    let whole = DisplayErrorContext(error).to_string();
    whole.lines().next().unwrap_or_default().chars().take(200).collect()
}

fn fault_of(code: &str, status: u16) -> Fault {
    let after = |millis| Fault::Busy { retry_after: Duration::from_millis(millis) };
    match code.trim_end_matches("Exception") {
        "Throttling" | "Throttled" | "RequestLimitExceeded" | "TooManyRequests" | "SlowDown" => after(1000),
        "ConcurrentModification" | "ResourceInUse" | "EntityTemporarilyUnmodifiable" => after(300),
        // A quota: others of our grants may end in a moment.
        "LimitExceeded" | "ResourceLimitExceeded" => Fault::Full { retry_after: Duration::from_secs(2) },
        _ if status == 429 => after(1000),
        // It may have been done, or be done later: an error of theirs says nothing about it.
        _ if status >= 500 => Fault::Unknown,
        _ => Fault::Refused,
    }
}

#[cfg(test)]
#[path = "call_tests.rs"]
mod tests;
