//! The client of the broker: one connection that is kept open, one method per call.

mod agents;
mod attempts;
mod break_glass;
mod call;
mod during_step;
mod elevate;
mod gate;
mod grants;
mod health;
mod network;
mod notifications;
mod observations;
mod probe;
mod requests;
mod revoke;
mod rules;
mod sessions;
mod standing_approvals;
#[cfg(test)]
mod tests;

use std::time::Duration;

use protocol::{Grant, GrantId, Timeline, Timestamp, routes};
use reqwest::{Method, Url};

pub use self::agents::IfRegistered;
use self::attempts::Attempts;
pub use self::attempts::RetryPolicy;
pub(crate) use self::call::Call;
pub use self::during_step::{Heartbeat, Renewed, Reported};
pub use self::elevate::ElevateLimits;
pub use self::gate::Gate;
pub use self::network::{Connections, Network};
pub use self::probe::Ready;
pub use self::revoke::{GrantRef, Revoked};
pub use self::rules::DecisionFilter;
use crate::clock::{Clock, system_clock};
use crate::error::Error;
use crate::settings::Settings;

/// A client of one broker, for one agent, operator or person. A clone shares the connection.
#[derive(Clone, Debug)]
pub struct Client {
    settings: Settings,
    base: Url,
    kept: reqwest::Client,
    gate: Option<Gate>,
    clock: Clock,
}

/// Progress that a person may want to see during a call.
#[derive(Debug)]
pub enum Notice<'a> {
    /// An attempt failed and is repeated after a pause.
    Retrying {
        /// Why it failed.
        why: &'a str,
        /// The pause.
        pause: Duration,
    },
    /// The grant waits for approval.
    WaitingForApproval(&'a Grant),
}

impl RetryPolicy {
    const ELEVATE_ATTEMPT: Duration = Duration::from_secs(10);
    const ATTEMPT: Duration = Duration::from_secs(4);

    /// The policy of a read or a revoke that is repeated until `overall` is over.
    pub fn within(overall: Duration) -> Self {
        Self { attempt: Self::ATTEMPT, overall }
    }

    fn elevate(overall: Duration) -> Self {
        Self { attempt: Self::ELEVATE_ATTEMPT, overall }
    }
}

impl Client {
    /// A client that connects with its first call.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        Self::build(settings, None, system_clock)
    }

    /// A client that connects with its first call, and sends nothing before `gate` is open.
    pub fn behind(gate: Gate, settings: &Settings) -> Result<Self, Error> {
        Self::build(settings, Some(gate), system_clock)
    }

    fn build(settings: &Settings, gate: Option<Gate>, clock: Clock) -> Result<Self, Error> {
        let base = Url::parse(&settings.url)
            .map_err(|_| Error::settings(format!("`{}` is not a URL", settings.url)))?;
        let kept = settings.network.client_behind(gate.as_ref(), Connections::Kept)?;
        Ok(Self { settings: settings.clone(), base, kept, gate, clock })
    }

    /// Replaces the system clock, by which OIDC tokens are checked before they are sent.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// A client of the same broker with connections of its own, so that its calls do not delay those of this client.
    pub fn with_own_connections(&self) -> Result<Self, Error> {
        Self::build(&self.settings, None, self.clock)
    }

    fn fresh(&self) -> Result<reqwest::Client, Error> {
        self.settings.network.client_behind(self.gate.as_ref(), Connections::Fresh)
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The HTTP client, which also fetches tokens from an identity provider.
    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.kept
    }

    /// Reads a grant.
    pub async fn grant(&self, id: &GrantId, policy: RetryPolicy) -> Result<Grant, Error> {
        self.answer(policy, &self.call(Method::GET, &format!("{}/{id}", routes::GRANTS))?).await
    }

    /// Reads the timeline of a grant.
    pub async fn timeline(&self, id: &GrantId, policy: RetryPolicy) -> Result<Timeline, Error> {
        self.answer(policy, &self.call(Method::GET, &format!("{}/{id}/timeline", routes::GRANTS))?).await
    }

    async fn answer<T: serde::de::DeserializeOwned>(
        &self,
        policy: RetryPolicy,
        call: &Call,
    ) -> Result<T, Error> {
        attempts::send(self, policy, call).await?.read(self)
    }
}
