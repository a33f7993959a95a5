//! An operator's calls about rules, and the decisions about one grant.

use std::time::Duration;

use protocol::rules::{
    ApplyRules, Comparison, Explanation, ReplayRequest, RolloutRequest, RuleSetDigest, RuleSetFiles,
    RulesApplied, RulesHistory, RulesState, RulesTested, TestRules,
};
use protocol::{AgentId, GrantId, Timestamp, routes};
use reqwest::Method;

use super::call::Call;
use super::{Client, RetryPolicy, attempts};
use crate::error::Error;

/// Which recorded decisions a diff report compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionFilter {
    /// Only decisions since then.
    pub since: Timestamp,
    /// Only decisions about this agent.
    pub agent: Option<AgentId>,
}

impl Client {
    /// Reads which rule sets decide.
    pub async fn rules(&self, policy: RetryPolicy) -> Result<RulesState, Error> {
        self.answer(policy, &self.call(Method::GET, routes::RULES)?).await
    }

    /// Checks a rule set with its test cases, and gives it a role unless only the check is requested.
    pub async fn apply_rules(&self, rules: &ApplyRules, policy: RetryPolicy) -> Result<RulesApplied, Error> {
        self.answer(policy, &self.call(Method::POST, routes::RULES)?.json(rules)?).await
    }

    /// Lists one page of changes of the rules, newest first.
    pub async fn rules_history(
        &self,
        before: Option<i64>,
        policy: RetryPolicy,
    ) -> Result<RulesHistory, Error> {
        let first = self.call(Method::GET, &format!("{}/history", routes::RULES))?.query("limit", "100");
        let call = match before {
            Some(before) => first.query("before", &before.to_string()),
            None => first,
        };
        self.answer(policy, &call).await
    }

    /// Reads the files of a rule set.
    pub async fn rule_set(&self, digest: &RuleSetDigest, policy: RetryPolicy) -> Result<RuleSetFiles, Error> {
        self.answer(policy, &self.call(Method::GET, &format!("{}/sets/{digest}", routes::RULES))?).await
    }

    /// Makes the candidate the active set. The request is sent once.
    pub async fn promote_rules(&self, within: Duration) -> Result<RulesState, Error> {
        let call = self.call(Method::POST, &format!("{}/promote", routes::RULES))?;
        self.change_rules(&call, within).await
    }

    /// Asks the rule sets about requests that are only tried.
    pub async fn test_rules(&self, request: &TestRules, policy: RetryPolicy) -> Result<RulesTested, Error> {
        self.answer(policy, &self.call(Method::POST, &format!("{}/test", routes::RULES))?.json(request)?)
            .await
    }

    /// Lets the candidate decide for some agents. The request is sent once.
    pub async fn roll_out_rules(
        &self,
        rollout: &RolloutRequest,
        within: Duration,
    ) -> Result<RulesState, Error> {
        let call = self.call(Method::POST, &format!("{}/rollout", routes::RULES))?.json(rollout)?;
        self.change_rules(&call, within).await
    }

    /// Ends the rollout; without a rollout, makes the previous set active again. The request is sent once.
    pub async fn roll_back_rules(&self, within: Duration) -> Result<RulesState, Error> {
        let call = self.call(Method::POST, &format!("{}/rollback", routes::RULES))?;
        self.change_rules(&call, within).await
    }

    /// Removes the candidate. The request is sent once.
    pub async fn clear_candidate_rules(&self, within: Duration) -> Result<RulesState, Error> {
        let call = self.call(Method::DELETE, &format!("{}/candidate", routes::RULES))?;
        self.change_rules(&call, within).await
    }

    /// Sends a change without retries: a second rollback would undo the first one, whose answer was lost.
    async fn change_rules(&self, call: &Call, within: Duration) -> Result<RulesState, Error> {
        attempts::send_once(self, within, call).await?.read(self)
    }

    /// Compares one page of recorded decisions with the verdicts of the other set at that time.
    pub async fn diff_report(
        &self,
        filter: &DecisionFilter,
        after: Option<i64>,
        policy: RetryPolicy,
    ) -> Result<Comparison, Error> {
        let mut call = self
            .call(Method::GET, &format!("{}/diff-report", routes::RULES))?
            .query("since", &filter.since.to_string());
        if let Some(agent) = &filter.agent {
            call = call.query("agent", agent.as_str());
        }
        if let Some(after) = after {
            call = call.query("after", &after.to_string());
        }
        self.answer(policy, &call).await
    }

    /// Decides one page of recorded decisions again by another rule set. Nothing is granted and nothing is changed.
    pub async fn replay(&self, request: &ReplayRequest, policy: RetryPolicy) -> Result<Comparison, Error> {
        let call = self.call(Method::POST, &format!("{}/replay", routes::RULES))?.json(request)?;
        self.answer(policy, &call).await
    }

    /// Reads the decisions about one grant.
    pub async fn decisions(&self, id: &GrantId, policy: RetryPolicy) -> Result<Explanation, Error> {
        let path = format!("{}/{id}/{}", routes::GRANTS, routes::DECISIONS);
        self.answer(policy, &self.call(Method::GET, &path)?).await
    }
}
