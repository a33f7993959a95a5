//! Calls about steps that run without a grant.

use std::time::Duration;

use protocol::actions::{Action, ActionsReport};
use protocol::observations::{Observation, ObservationReport};
use protocol::routes;
use reqwest::Method;

use super::rules::DecisionFilter;
use super::{Attempts, Client, Notice, Reported, RetryPolicy};
use crate::elevation::Elevation;
use crate::error::Error;

impl Client {
    /// Records what would have been decided about an elevation. The broker grants nothing.
    pub async fn observe(
        &self,
        elevation: &Elevation,
        policy: RetryPolicy,
        mut notice: impl FnMut(Notice<'_>) + Send,
    ) -> Result<Observation, Error> {
        self.repeat_observe(elevation, policy, &mut notice).await.map_err(|error| elevation.explain(error))
    }

    /// Each attempt has a fresh OIDC token where the platform mints on demand.
    async fn repeat_observe(
        &self,
        elevation: &Elevation,
        policy: RetryPolicy,
        notice: &mut (dyn FnMut(Notice<'_>) + Send),
    ) -> Result<Observation, Error> {
        let mut attempts = Attempts::begin(self, policy);
        loop {
            let body = attempts.in_time(elevation.body(self)).await?;
            let call = self.call(Method::POST, routes::OBSERVATIONS)?.json(&body)?;
            if let Some(answer) = attempts.try_once(&call, notice).await? {
                return answer.read(self);
            }
        }
    }

    /// Adds calls of the step to its observation.
    pub async fn report_observed(
        &self,
        observation: &Observation,
        actions: Vec<Action>,
        within: Duration,
    ) -> Result<Reported, Error> {
        let path = format!("{}/{}/actions", routes::OBSERVATIONS, observation.id);
        let call = self.call(Method::POST, &path)?.json(&ActionsReport { actions })?;
        self.reported(RetryPolicy::within(within), &call).await
    }

    /// Reads what was observed, agent by agent.
    pub async fn observation_report(
        &self,
        filter: &DecisionFilter,
        policy: RetryPolicy,
    ) -> Result<ObservationReport, Error> {
        let call = self
            .call(Method::GET, &format!("{}/report", routes::OBSERVATIONS))?
            .query("since", &filter.since.to_string());
        let call = match &filter.agent {
            Some(agent) => call.query("agent", agent.as_str()),
            None => call,
        };
        self.answer(policy, &call).await
    }
}
