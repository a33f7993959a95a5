//! The command line of `rules`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use protocol::{AgentId, GrantId};

use super::Shown;
use super::since::Since;

#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// Check the rules of a folder against the broker's schema; nothing is changed
    #[command(after_help = "Example:\n  cloudanix-jit rules check rules/")]
    Check {
        #[command(flatten)]
        folder: Folder,
        #[command(flatten)]
        shown: Shown,
    },
    /// Check the rules of a folder and run its test cases; nothing is changed
    #[command(after_help = "Example:\n  cloudanix-jit rules test rules/")]
    Test {
        #[command(flatten)]
        folder: Folder,
        #[command(flatten)]
        shown: Shown,
    },
    /// Ask the sets of the broker about requests, or about the recorded request for a grant; nothing is granted
    #[command(
        after_help = "Examples:\n  cloudanix-jit rules try -f request.toml\n  cloudanix-jit rules try --grant elev-9c11f3a800000001"
    )]
    Try {
        /// Requests as test cases, TOML; `-` reads standard input
        #[arg(short = 'f', long = "file", value_name = "FILE", required_unless_present = "grant")]
        file: Option<PathBuf>,
        /// A grant whose recorded request is tried
        #[arg(long, value_name = "GRANT_ID", conflicts_with = "file")]
        grant: Option<GrantId>,
        #[command(flatten)]
        shown: Shown,
    },
    /// Make the rules of a folder the active set; a set whose test cases fail is refused
    #[command(
        after_help = "Examples:\n  cloudanix-jit rules apply rules/ --candidate\n  cloudanix-jit rules apply rules/"
    )]
    Apply {
        #[command(flatten)]
        folder: Folder,
        /// Make them the candidate: evaluated beside the active set, without any effect
        #[arg(long)]
        candidate: bool,
        #[command(flatten)]
        shown: Shown,
    },
    /// Show which sets decide, or the files of one set
    #[command(after_help = "Example:\n  cloudanix-jit rules show candidate")]
    Show {
        /// `active`, `candidate`, or a digest of which at least 8 digits are given
        #[arg(value_name = "SET")]
        set: Option<String>,
        #[command(flatten)]
        shown: Shown,
    },
    /// List the changes of the rules, newest first
    History {
        #[command(flatten)]
        shown: Shown,
    },
    /// Make the candidate the active set
    Promote {
        #[command(flatten)]
        shown: Shown,
    },
    /// Let the candidate decide for some agents; in place of an earlier rollout
    #[command(after_help = "Example:\n  cloudanix-jit rules rollout --agents 'agent-web-*' agent-orders")]
    Rollout {
        /// The agents, by id or glob; several after one another or with commas
        #[arg(long, value_name = "GLOB", required = true, num_args = 1.., value_delimiter = ',')]
        agents: Vec<String>,
        #[command(flatten)]
        shown: Shown,
    },
    /// End the rollout; without a rollout, make the previous set active again
    Rollback {
        #[command(flatten)]
        shown: Shown,
    },
    /// Remove the candidate
    ClearCandidate {
        #[command(flatten)]
        shown: Shown,
    },
    /// Compare what the active set and the candidate have decided
    #[command(after_help = "Example:\n  cloudanix-jit rules diff-report --since 7d --agent agent-orders")]
    DiffReport {
        #[command(flatten)]
        decisions: Decisions,
        #[command(flatten)]
        shown: Shown,
    },
    /// Decide recorded decisions again with the rules of a folder; nothing is changed
    #[command(
        after_help = "Example:\n  cloudanix-jit rules replay --since 30d --candidate rules/ --fail-on wider"
    )]
    Replay {
        #[command(flatten)]
        decisions: Decisions,
        /// The folder with the rules to try, `*.cedar`
        #[arg(long, value_name = "DIR")]
        candidate: PathBuf,
        /// Exit with code 8 if decisions differ like this
        #[arg(long, value_enum, value_name = "WHICH")]
        fail_on: Option<FailOn>,
        #[command(flatten)]
        shown: Shown,
    },
    /// Show which rules decided about a grant, and the facts that they saw
    #[command(after_help = "Example:\n  cloudanix-jit rules explain elev-9c11f3a800000001")]
    Explain {
        /// The grant
        #[arg(value_name = "GRANT_ID")]
        grant: GrantId,
        #[command(flatten)]
        shown: Shown,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Folder {
    /// The folder: rules in `*.cedar`, test cases in `*.toml`
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
}

/// The recorded decisions that a command compares.
#[derive(Debug, Args)]
pub(crate) struct Decisions {
    /// Only decisions since then: `7d`, `24h`, `30m`, or a time
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Since,
    /// Only decisions about this agent
    #[arg(long, value_name = "ID")]
    pub(crate) agent: Option<AgentId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// The rules allow what was not allowed
    Wider,
    /// The outcome is any other
    Any,
}
