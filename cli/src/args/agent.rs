//! The command line of `agent`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use protocol::{AgentId, GrantId, Ttl};

use super::Shown;

#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    /// Register an agent from its file, or change it to what the file says
    #[command(after_help = "Example:\n  cloudanix-jit agent apply -f agents/orders.toml")]
    Apply {
        /// The registration, TOML; `-` reads standard input
        #[arg(short = 'f', long = "file", value_name = "FILE")]
        file: PathBuf,
        /// Refuse when the agent already exists
        #[arg(long)]
        create_only: bool,
        #[command(flatten)]
        shown: Shown,
    },
    /// Check a registration, and try its trust rules on a token or a grant; changes nothing
    #[command(
        after_help = "Examples:\n  cloudanix-jit agent check -f agents/orders.toml --token-file token.jwt\n  \
                            cloudanix-jit agent check -f agents/orders.toml --grant elev-0123456789abcdef"
    )]
    Check {
        /// The registration, TOML; `-` reads standard input
        #[arg(short = 'f', long = "file", value_name = "FILE")]
        file: PathBuf,
        /// The OIDC token of a run, which may have expired; it is not used up
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
        /// A grant, whose recorded claims are tried in place of a token's
        #[arg(long, value_name = "GRANT_ID", conflicts_with = "token_file")]
        grant: Option<GrantId>,
        #[command(flatten)]
        shown: Shown,
    },
    /// List all agents
    List {
        #[command(flatten)]
        shown: Shown,
    },
    /// Show one agent and its registration
    Show {
        #[command(flatten)]
        agent: OneAgent,
        #[command(flatten)]
        shown: Shown,
    },
    /// Switch an agent off and end its live grants
    Disable {
        #[command(flatten)]
        agent: OneAgent,
        #[command(flatten)]
        shown: Shown,
    },
    /// Switch an agent on again
    Enable {
        #[command(flatten)]
        agent: OneAgent,
        #[command(flatten)]
        shown: Shown,
    },
    /// Make a new auth token, shown once
    RotateToken {
        #[command(flatten)]
        agent: OneAgent,
        /// For how long the old tokens are still accepted; not at all when not said
        #[arg(long, value_name = "DURATION")]
        overlap: Option<Ttl>,
        #[command(flatten)]
        shown: Shown,
    },
    /// Stop accepting one auth token
    RevokeToken {
        #[command(flatten)]
        agent: OneAgent,
        /// The 12 digits after `cjat_`, as `agent show` lists them
        #[arg(value_name = "TOKEN_ID")]
        token: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct OneAgent {
    /// The agent
    #[arg(value_name = "ID")]
    pub(crate) id: AgentId,
}
