//! Sends a call to AWS and classifies the error that the SDK reports.

use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_iam::config::http::HttpResponse;
use aws_sdk_iam::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;

use super::accounts::Api;
use crate::Fault;
use crate::calls::{CallError, Outcome, fault_of_status};
use crate::throttle::Priority;

impl CallError {
    /// Whether AWS answered with this code. EKS writes codes with `Exception`, IAM without.
    pub(super) fn is(&self, code: &str) -> bool {
        self.code.as_deref().is_some_and(|found| found.trim_end_matches("Exception") == code)
    }
}

impl Api<'_> {
    /// Sends one call to this account. `name` is as in IAM policies: `iam:PutRolePolicy`.
    pub(super) fn call<T, E>(
        &self,
        priority: Priority,
        name: &str,
        sending: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> impl Future<Output = Result<T, CallError>>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        // On the heap, because the futures of the SDK are large.
        let sending = Box::pin(sending);
        let outcome = move |error: &SdkError<E, HttpResponse>| outcome(&self.id, name, error);
        self.endpoint.call(self.claim, priority, name, sending, outcome)
    }
}

fn outcome<E>(account: &str, name: &str, error: &SdkError<E, HttpResponse>) -> Outcome
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    // By itself the SDK reports this like a machine that cannot be reached.
    if let Some((why, fault)) = no_credentials(error) {
        let what =
            format!("{name} cannot be sent: no credentials of the broker for account {account}: {why}");
        return Outcome::NotSent { what, fault };
    }
    match error {
        SdkError::ServiceError(answer) => {
            let code = error.code().map(str::to_owned);
            let status = answer.raw().status().as_u16();
            let said = answer.err().message().unwrap_or("without a message");
            let shown = code.clone().unwrap_or_else(|| format!("HTTP {status}"));
            // AWS's messages name principals and resources, never secrets; long ones are cut for the timeline.
            let said: String = said.chars().take(300).collect();
            let fault = fault_of(code.as_deref().unwrap_or_default(), status);
            Outcome::Answered(CallError { what: format!("{name} · {shown} · {said}"), code, fault })
        }
        SdkError::ConstructionFailure(_) => {
            let what = format!("{name} cannot be sent: {}", first_line(error));
            Outcome::NotSent { what, fault: Fault::Busy { retry_after: Duration::from_secs(1) } }
        }
        // The type is open for more kinds: of those too AWS may have applied the call.
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) | _ => {
            Outcome::Unanswered { why: first_line(error) }
        }
    }
}

fn sources<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'e (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// Why the broker has no credentials of its own, if that is why nothing was sent.
fn no_credentials(error: &(dyn std::error::Error + 'static)) -> Option<(String, Fault)> {
    let chain: Vec<_> = sources(error).collect();
    let credentials = chain.iter().position(|error| error.is::<CredentialsError>())?;
    let chain = chain.get(credentials..)?;
    // The last error is AWS's own message.
    let why = chain.last()?.to_string();
    let why = why.lines().next().unwrap_or_default().chars().take(300).collect();
    // An account's role exists before the broker's configuration names it, so a refusal is not about a role that AWS
    // does not know everywhere yet, and the caller hears of a wrong external id at once.
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
        // A quota: other grants may end in a moment.
        "LimitExceeded" | "ResourceLimitExceeded" => Fault::Full { retry_after: Duration::from_secs(2) },
        _ => fault_of_status(status),
    }
}

#[cfg(test)]
#[path = "call_tests.rs"]
mod tests;
