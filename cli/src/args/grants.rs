//! The command line of `grants`.

use clap::{Args, Subcommand};
use protocol::{AgentId, GrantId, GrantQuery, GrantsIn, PolicyName, Timestamp, Ttl};

use super::Shown;
use super::requests::because;

/// Which grants to list: those for which every filter holds.
#[derive(Debug, Args)]
pub(crate) struct GrantFilter {
    /// Only grants that have not ended
    #[arg(long)]
    live: bool,
    /// Only this agent's
    #[arg(long, value_name = "ID")]
    agent: Option<AgentId>,
    /// Only of this policy
    #[arg(long, value_name = "NAME")]
    policy: Option<PolicyName>,
    /// Only of this repository, as the platform signed it
    #[arg(long, value_name = "NAME")]
    repository: Option<String>,
    /// Only of this commit, or of those that begin so
    #[arg(long, value_name = "COMMIT")]
    commit: Option<String>,
    /// Only of runs that this account started
    #[arg(long, value_name = "ACCOUNT")]
    actor: Option<String>,
    /// Only what this person approved, ended, took by break-glass or reviewed: subject or name
    #[arg(long, value_name = "PERSON")]
    person: Option<String>,
    /// Only what was requested at this time or later
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Only what was requested before this time
    #[arg(long, value_name = "TIME")]
    before: Option<Timestamp>,
}

impl From<GrantFilter> for GrantQuery {
    fn from(filter: GrantFilter) -> Self {
        let GrantFilter { live, agent, policy, repository, commit, actor, person, from, before } = filter;
        let state = live.then_some(GrantsIn::Live);
        let (after, limit) = (None, None);
        Self { state, agent, policy, repository, commit, actor, person, from, before, after, limit }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum GrantsCommand {
    /// List grants, newest first
    #[command(
        after_help = "Examples:\n  cloudanix-jit grants list --live --agent orders-agent\n  cloudanix-jit grants list --commit a7c1f24 --from 2026-11-01T00:00:00Z"
    )]
    List {
        #[command(flatten)]
        filter: GrantFilter,
        #[command(flatten)]
        shown: Shown,
    },
    /// End grants; one that has already ended is a success
    #[command(
        after_help = "Examples:\n  cloudanix-jit grants revoke elev-9c11f3a800000001\n  cloudanix-jit grants revoke --agent orders-agent"
    )]
    Revoke {
        /// The grants
        #[arg(value_name = "GRANT_ID", required_unless_present = "agent", conflicts_with = "agent")]
        grants: Vec<GrantId>,
        /// Every grant of this agent that is live now; `agent disable` keeps it from getting new ones
        #[arg(long, value_name = "ID")]
        agent: Option<AgentId>,
        /// Why, for the timeline
        #[arg(long, value_name = "TEXT", value_parser = because)]
        because: Option<String>,
        /// For how long to try until the broker confirms
        #[arg(long, value_name = "DURATION", default_value = "30s")]
        timeout: Ttl,
    },
}
