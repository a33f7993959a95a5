//! The command lines of `break-glass`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use protocol::break_glass::{LONGEST_SECONDS, MAX_CODES, MAX_DAYS, MAX_INCIDENT, MAX_LABEL, MAX_NOTE};
use protocol::{AgentId, BreakGlassCodeId, GrantId, PolicyName, Ttl};

use super::{Shown, StepArgs};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct BreakGlassArgs {
    #[command(subcommand)]
    pub(crate) command: Option<BreakGlassCommand>,
    #[command(flatten)]
    pub(crate) take: TakeArgs,
}

/// What a person takes in an emergency. Without a subcommand the parser requires what is required, also where the type
/// has room for none.
#[derive(Debug, Args)]
pub(crate) struct TakeArgs {
    /// The policy to be given; repeat it or separate several with commas
    #[arg(long = "policy", value_name = "P", required = true, value_delimiter = ',')]
    pub(crate) policies: Vec<PolicyName>,
    /// The id of the incident, for the timeline and for every channel
    #[arg(long, value_name = "ID", required = true, value_parser = incident)]
    pub(crate) incident: Option<String>,
    /// Why, for the timeline and for every channel
    #[arg(long, value_name = "TEXT", required = true, value_parser = reason)]
    pub(crate) reason: Option<String>,
    /// The agent whose boundary limits the grant; `CLOUDANIX_AGENT_ID` when not given
    #[arg(long, value_name = "ID")]
    pub(crate) agent: Option<AgentId>,
    /// For how long at the most, up to 1h
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = ttl)]
    pub(crate) ttl: Ttl,
    /// The scope of the agent's boundary, or its target; required if the boundary has several
    #[arg(long, value_name = "T")]
    pub(crate) target: Option<String>,
    /// Ask on the terminal for a sealed code, and use it in place of the session of `login`
    #[arg(long, conflicts_with = "code_file")]
    pub(crate) code: bool,
    /// Read the sealed code from a file
    #[arg(long, value_name = "FILE")]
    pub(crate) code_file: Option<PathBuf>,
    /// For how long to try to get an answer from the broker
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    pub(crate) timeout: Ttl,
    #[command(flatten)]
    pub(crate) step: StepArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BreakGlassCommand {
    /// Seal codes that are good for one grant each, and print them: they are shown only now (operator)
    #[command(
        after_help = "Example:\n  cloudanix-jit break-glass seal --agents 'prod-*' --count 3 --label \"safe in Berlin\""
    )]
    Seal {
        /// Globs of the agents whose grants can be taken with them; repeat it or separate several with commas
        #[arg(long, value_name = "GLOB", required = true, value_delimiter = ',')]
        agents: Vec<String>,
        /// How many, at most 20
        #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_CODES)))]
        count: u32,
        /// Who keeps them, or where, for timelines and lists
        #[arg(long, value_name = "TEXT", value_parser = label)]
        label: String,
        /// For how many days they are accepted, at most 400
        #[arg(long, value_name = "N", default_value = "365", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_DAYS)))]
        days: u32,
        #[command(flatten)]
        shown: Shown,
    },
    /// List the sealed codes that have not expired, without the codes
    Codes {
        #[command(flatten)]
        shown: Shown,
    },
    /// Revoke a sealed code; a grant that was taken with it ends
    #[command(after_help = "Example:\n  cloudanix-jit break-glass revoke-code bg-5f2c9a1e8b7d")]
    RevokeCode {
        /// The code's id
        #[arg(value_name = "ID")]
        id: BreakGlassCodeId,
    },
    /// List the grants that were taken by break-glass, newest first
    List {
        /// Only those that another person still has to review
        #[arg(long)]
        unreviewed: bool,
        #[command(flatten)]
        shown: Shown,
    },
    /// Review a grant that another person took, and that has ended
    #[command(
        after_help = "Example:\n  cloudanix-jit break-glass review elev-5f2c9a1e8b7d4c3a --note \"restored the table, as INC-1 says\""
    )]
    Review {
        /// The grant
        #[arg(value_name = "GRANT_ID")]
        grant: GrantId,
        /// What was found, for the timeline
        #[arg(long, value_name = "TEXT", value_parser = note)]
        note: String,
    },
}

fn incident(text: &str) -> Result<String, String> {
    required(text, MAX_INCIDENT)
}

fn reason(text: &str) -> Result<String, String> {
    required(text, protocol::elevate::MAX_REASON)
}

fn label(text: &str) -> Result<String, String> {
    required(text, MAX_LABEL)
}

fn note(text: &str) -> Result<String, String> {
    required(text, MAX_NOTE)
}

fn required(text: &str, most: usize) -> Result<String, String> {
    let found = text.trim().chars().count();
    if (1..=most).contains(&found) {
        Ok(text.trim().to_owned())
    } else {
        Err(format!("expected 1 to {most} characters, found {found}"))
    }
}

fn ttl(text: &str) -> Result<Ttl, String> {
    let ttl: Ttl = text.parse().map_err(|error: protocol::ttl::InvalidTtl| error.to_string())?;
    if ttl.as_secs() > LONGEST_SECONDS {
        return Err(format!("expected at most `1h`, found `{ttl}`"));
    }
    Ok(ttl)
}
