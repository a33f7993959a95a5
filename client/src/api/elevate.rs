//! The elevate call: retries, and the wait for an approval.

use std::time::Duration;

use protocol::approvals::Approval;
use protocol::{Decision, Grant, GrantStatus, routes};
use reqwest::Method;
use tokio::time::{Instant, sleep};

use super::{Attempts, Client, Notice, RetryPolicy};
use crate::elevation::Elevation;
use crate::error::Error;

/// Between two polls of a grant that waits.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long to try to elevate.
#[derive(Debug, Clone, Copy)]
pub struct ElevateLimits {
    /// The timeout for an answer.
    pub answer: Duration,
    /// The timeout for an approval.
    pub approval: Duration,
}

/// A minute for an answer and ten for an approval.
impl Default for ElevateLimits {
    fn default() -> Self {
        Self { answer: Duration::from_secs(60), approval: Duration::from_secs(10 * 60) }
    }
}

impl Client {
    /// Elevates: repeats the request until there is an active grant with credentials, or a refusal.
    ///
    /// Each attempt has a fresh OIDC token where the platform mints on demand. After an error that
    /// [`Elevation::may_have_granted`], and after a cancellation, revoke by key: [`Client::revoke_elevation`].
    /// [`Client::acquire`] does all of that.
    pub async fn elevate(
        &self,
        elevation: &Elevation,
        limits: ElevateLimits,
        mut notice: impl FnMut(Notice<'_>) + Send,
    ) -> Result<Grant, Error> {
        self.repeat_elevate(elevation, limits, &mut notice).await.map_err(|error| elevation.explain(error))
    }

    async fn repeat_elevate(
        &self,
        elevation: &Elevation,
        limits: ElevateLimits,
        notice: &mut (dyn FnMut(Notice<'_>) + Send),
    ) -> Result<Grant, Error> {
        let approval_deadline = Instant::now() + limits.approval;
        loop {
            let mut attempts = Attempts::begin(self, RetryPolicy::elevate(limits.answer));
            let answer = loop {
                let call = attempts.in_time(elevation.call(self)).await?;
                elevation.mark_sent();
                if let Some(answer) = attempts.try_once(&call, notice).await? {
                    break answer;
                }
            };
            let grant: Grant = answer.read(self)?;
            match progress(&grant) {
                Progress::Active if grant.credentials.is_some() => return Ok(grant),
                Progress::Active => {
                    return Err(Error::unexpected(format!(
                        "the broker says that `{}` is active and sends no credentials",
                        grant.id
                    )));
                }
                Progress::Pending | Progress::Approved => {
                    let limit = limits.approval;
                    self.wait_for_approval(grant, elevation, limit, approval_deadline, notice).await?;
                }
                Progress::Ended => return Err(not_active(grant)),
            }
        }
    }

    /// Waits until the grant is approved or active. The next elevate then fetches its credentials.
    async fn wait_for_approval(
        &self,
        mut grant: Grant,
        elevation: &Elevation,
        waited: Duration,
        deadline: Instant,
        notice: &mut (dyn FnMut(Notice<'_>) + Send),
    ) -> Result<(), Error> {
        // A poll is a heartbeat.
        let beat = grant.heartbeat_seconds.map(|seconds| Duration::from_secs(u64::from(seconds.max(1))));
        let longest = beat.map_or(LONGEST_PAUSE, |beat| beat.min(LONGEST_PAUSE));
        let mut pause = Duration::from_millis(500);
        if grant.status == GrantStatus::PendingApproval {
            notice(Notice::WaitingForApproval(&grant));
        }
        loop {
            match progress(&grant) {
                Progress::Approved | Progress::Active => return Ok(()),
                Progress::Ended => return Err(not_active(grant)),
                Progress::Pending => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::NotApproved { id: grant.id, waited });
            }
            sleep(pause.min(left)).await;
            pause = (pause * 2).min(longest);
            grant = self.poll(&grant, elevation).await?;
        }
    }

    /// The grant as it is now. A poll is a heartbeat if the grant needs them: when both stop, the request is withdrawn.
    async fn poll(&self, grant: &Grant, elevation: &Elevation) -> Result<Grant, Error> {
        if grant.heartbeat_seconds.is_some()
            && grant.status == GrantStatus::PendingApproval
            && let Ok(waiting) = self.beat(&grant.id, elevation.key()).await?
        {
            return Ok(waiting);
        }
        self.grant(&grant.id, RetryPolicy::within(Duration::from_secs(30))).await
    }

    /// Requests the decision about an elevation. The broker grants and records nothing.
    pub async fn dry_run(&self, elevation: &Elevation, policy: RetryPolicy) -> Result<Decision, Error> {
        let body = elevation.body(self).await?;
        let call = self.call(Method::POST, routes::GRANTS)?.query("dry_run", "true").json(&body)?;
        self.answer(policy, &call).await
    }
}

fn not_active(grant: Grant) -> Error {
    Error::NotActive { id: grant.id, status: grant.status, reason: grant.end_reason }
}

enum Progress {
    Pending,
    /// The next elevate gets the grant.
    Approved,
    Active,
    Ended,
}

fn progress(grant: &Grant) -> Progress {
    match grant.status {
        GrantStatus::PendingApproval => match &grant.approval {
            Some(Approval { approved_at: Some(_), .. }) => Progress::Approved,
            Some(_) | None => Progress::Pending,
        },
        GrantStatus::Applying => Progress::Pending,
        GrantStatus::Active => Progress::Active,
        GrantStatus::Denied
        | GrantStatus::RollingBack
        | GrantStatus::Failed
        | GrantStatus::Revoking
        | GrantStatus::Verifying
        | GrantStatus::RevokeFailing
        | GrantStatus::Expired
        | GrantStatus::Revoked => Progress::Ended,
    }
}
