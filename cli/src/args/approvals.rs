//! The command lines of `approvals`.

use clap::{Args, Subcommand};
use protocol::standing_approvals::{MAX_HOURS, MAX_USES};
use protocol::{AgentId, PolicyName, StandingApprovalId, Ttl};

use super::Shown;
use super::requests::because;

#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalsCommand {
    /// Approve requests of an agent in advance, as the person who signed in
    #[command(
        after_help = "Example:\n  cloudanix-jit approvals allow --agent deployer --policy orders-write --uses 5 --for 4h --because \"release 1.4\""
    )]
    Allow(AllowArgs),
    /// List the standing approvals in force, newest first
    List {
        #[command(flatten)]
        shown: Shown,
    },
    /// End a standing approval, and withdraw its votes for requests that still wait
    #[command(after_help = "Example:\n  cloudanix-jit approvals revoke sa-5f2c9a1e8b7d4c3a")]
    Revoke {
        /// The standing approval
        #[arg(value_name = "ID")]
        id: StandingApprovalId,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AllowArgs {
    /// The agent whose requests are approved
    #[arg(long, value_name = "AGENT_ID")]
    pub(crate) agent: AgentId,
    /// A policy that a request may ask for; repeat it or separate several with commas
    #[arg(long = "policy", value_name = "P", required = true, value_delimiter = ',')]
    pub(crate) policies: Vec<PolicyName>,
    /// The scope of the agent's boundary, or its target; required if the boundary has several
    #[arg(long, value_name = "T")]
    pub(crate) target: Option<String>,
    /// The branch, tag or ref that the run has to have, as its platform signs it, like refs/heads/main; any without it
    #[arg(long = "ref", value_name = "REF")]
    pub(crate) git_ref: Option<String>,
    /// For how many requests, at most 100
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_USES)))]
    pub(crate) uses: u32,
    /// For how long, at most 8h
    #[arg(long = "for", value_name = "DURATION", default_value = "1h", value_parser = lasts)]
    pub(crate) lasts: Ttl,
    /// Why, for the timelines of the grants
    #[arg(long, value_name = "TEXT", value_parser = because)]
    pub(crate) because: Option<String>,
}

fn lasts(text: &str) -> Result<Ttl, String> {
    let lasts: Ttl = text.parse().map_err(|error: protocol::ttl::InvalidTtl| error.to_string())?;
    if lasts.as_secs() > MAX_HOURS * 3600 {
        return Err(format!("expected at most `{MAX_HOURS}h`, found `{lasts}`"));
    }
    Ok(lasts)
}
