//! The command line of `grants`.

use clap::Subcommand;
use protocol::{AgentId, GrantId, Ttl};

use super::Shown;
use super::requests::because;

#[derive(Debug, Subcommand)]
pub(crate) enum GrantsCommand {
    /// List grants, newest first
    #[command(after_help = "Example:\n  cloudanix-jit grants list --live --agent orders-agent")]
    List {
        /// Only grants that have not ended
        #[arg(long)]
        live: bool,
        /// Only this agent's
        #[arg(long, value_name = "ID")]
        agent: Option<AgentId>,
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
