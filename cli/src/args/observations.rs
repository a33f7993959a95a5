//! The command line of `observations`.

use clap::Subcommand;
use protocol::AgentId;

use super::Shown;
use super::since::Since;

#[derive(Debug, Subcommand)]
pub(crate) enum ObservationsCommand {
    /// Show, agent by agent, which steps would get a grant, and what they called with the credentials that they have
    #[command(after_help = "Example:\n  cloudanix-jit observations report --since 7d --agent agent-orders")]
    Report {
        /// Only steps since then: `7d`, `24h`, `30m`, or a time
        #[arg(long, value_name = "WHEN", default_value = "7d")]
        since: Since,
        /// Only this agent
        #[arg(long, value_name = "ID")]
        agent: Option<AgentId>,
        #[command(flatten)]
        shown: Shown,
    },
}
