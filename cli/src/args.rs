//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use protocol::{GrantId, PolicyName, Ttl};

mod agent;
mod approvals;
mod break_glass;
mod document;
mod grants;
mod notifications;
mod observations;
mod requests;
mod rules;
mod sessions;
mod since;

pub(crate) use agent::AgentCommand;
pub(crate) use approvals::{AllowArgs, ApprovalsCommand};
pub(crate) use break_glass::{BreakGlassArgs, BreakGlassCommand, TakeArgs};
pub(crate) use document::document;
pub(crate) use grants::GrantsCommand;
pub(crate) use notifications::NotificationsArgs;
pub(crate) use observations::ObservationsCommand;
pub(crate) use requests::{ApproveArgs, DenyArgs, RequestsArgs};
pub(crate) use rules::{Decisions, FailOn, RulesCommand};
pub(crate) use sessions::SessionsCommand;

/// One command, one grant: elevate, run the step, revoke.
#[derive(Debug, Parser)]
#[command(name = "cloudanix-jit", version, disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Elevate, run one command, and revoke the grant however the command ends
    #[command(
        after_help = "Examples:\n  cloudanix-jit run --policy orders-write --ttl 15m -- ./deploy.sh production\n  cloudanix-jit run --observe --policy orders-write -- ./deploy.sh production"
    )]
    Run(RunArgs),
    /// Request a grant and leave it open for the steps that follow
    #[command(after_help = "Example:\n  eval \"$(cloudanix-jit elevate --policy orders-write --ttl 15m)\"")]
    Elevate(ElevateArgs),
    /// Revoke a grant; a grant that has already ended is a success
    Revoke(RevokeArgs),
    /// Show where a grant stands, its deadline, and who enforces it
    Status(StatusArgs),
    /// Show the platform found, the claims seen and where each came from; never the token
    Whoami(WhoamiArgs),
    /// Sign in as a person, for the commands that operators have
    #[command(after_help = "Example:\n  cloudanix-jit login --url https://jit.example.com")]
    Login(LoginArgs),
    /// End the session of `login`
    Logout,
    /// Check the set-up from end to end and say what to fix
    Doctor(DoctorArgs),
    /// Show all that happened to a grant, in order
    Timeline(TimelineArgs),
    /// Register and manage agents (operator)
    #[command(subcommand)]
    Agent(AgentCommand),
    /// List and end grants of every agent (operator)
    #[command(subcommand)]
    Grants(GrantsCommand),
    /// Check, try out and apply the rules that decide about grants (operator)
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Report what steps under `run --observe` would have got (operator)
    #[command(subcommand)]
    Observations(ObservationsCommand),
    /// List the requests that wait for approval, or show one
    #[command(
        after_help = "Examples:\n  cloudanix-jit requests\n  cloudanix-jit requests elev-5f2c9a1e8b7d4c3a"
    )]
    Requests(RequestsArgs),
    /// Approve a request, as the person who signed in
    #[command(
        after_help = "Example:\n  cloudanix-jit approve elev-5f2c9a1e8b7d4c3a --because \"release 1.4\""
    )]
    Approve(ApproveArgs),
    /// Deny a request, as the person who signed in: the step that waits for it does not run
    #[command(
        after_help = "Example:\n  cloudanix-jit deny elev-5f2c9a1e8b7d4c3a --because \"not during the freeze\""
    )]
    Deny(DenyArgs),
    /// Approve requests of an agent in advance, for so many of them and until a time
    #[command(subcommand)]
    Approvals(ApprovalsCommand),
    /// Run one command with a grant that a person takes in an emergency, without rules and approvals
    #[command(
        after_help = "Example:\n  cloudanix-jit break-glass --agent orders-agent --policy orders-write --incident INC-1 \\\n      --reason \"orders are lost\" -- ./restore.sh"
    )]
    BreakGlass(BreakGlassArgs),
    /// List the messages that tell persons of requests that wait, and whether they were sent
    #[command(after_help = "Example:\n  cloudanix-jit notifications --status dead")]
    Notifications(NotificationsArgs),
    /// Show what an operator should look at: stuck grants, orphans, drift, late notifications (operator)
    #[command(after_help = "Example:\n  cloudanix-jit health --output json")]
    Health(Shown),
    /// Show who is signed in, and end a person's sessions (operator)
    #[command(subcommand)]
    Sessions(SessionsCommand),
    /// Print completions for a shell
    Completions(CompletionsArgs),
}

/// The options of an elevation, the same for `run` and `elevate`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RequestArgs {
    /// The policy to be given; repeat it or separate several with commas
    #[arg(long = "policy", value_name = "P", required = true, value_delimiter = ',')]
    pub(crate) policies: Vec<PolicyName>,
    /// The scope of the agent's boundary, or its target; required if the boundary has several
    #[arg(long, value_name = "T")]
    pub(crate) target: Option<String>,
    /// Why, for the timeline
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(crate) reason: Option<String>,
    /// For how long to try to get an answer from the broker
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    pub(crate) timeout: Ttl,
    /// For how long to wait for a person's approval where one is needed
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    pub(crate) wait: Ttl,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) request: RequestArgs,
    /// For how long at the most: `90s`, `15m`, `1h`; with `--observe` 15m if not given
    #[arg(long, value_name = "DURATION", required_unless_present = "observe", display_order = 0)]
    pub(crate) ttl: Option<Ttl>,
    /// Request no grant: run the command with the credentials that it has, and record what would have been decided
    #[arg(long)]
    pub(crate) observe: bool,
    /// Where the handle for `revoke` is kept, and how it ended; must not exist yet, and is not removed
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) step: StepArgs,
}

/// How a command is run with a grant.
#[derive(Debug, Args)]
pub(crate) struct StepArgs {
    /// Whether the grant's secrets are removed from the command's output
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Redact::Auto)]
    pub(crate) redact: Redact,
    /// Where the platform's commands that mask the grant's secrets are written, before the command starts
    #[arg(long, value_enum, value_name = "WHERE", default_value_t = Masks::Stderr)]
    pub(crate) masks: Masks,
    /// How the command gets the keys of an AWS session
    #[arg(long, value_enum, value_name = "HOW", default_value_t = AwsCredentials::Auto)]
    pub(crate) aws_credentials: AwsCredentials,
    /// Do not watch which AWS calls the command makes, nor put them on the grant's timeline
    #[arg(long)]
    pub(crate) no_live_actions: bool,
    /// Whether to stop the command (SIGTERM) and revoke when the process that started `run` ends
    #[arg(long, value_enum, value_name = "WHEN", num_args = 0..=1, require_equals = true)]
    #[arg(default_value_t = DieWithParent::Auto, default_missing_value = "always")]
    pub(crate) die_with_parent: DieWithParent,
    /// The command and its arguments, after `--`
    #[arg(required = true, last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<std::ffi::OsString>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Redact {
    /// Where the output is not a terminal
    Auto,
    /// In every case; the command then writes to pipes
    Always,
    /// In no case; the command inherits the output untouched
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Masks {
    /// To standard error, because a script may capture standard output
    Stderr,
    /// To standard output as well, where that is the platform's log
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AwsCredentials {
    /// `env` where they last until the grant's deadline, else `endpoint`
    Auto,
    /// In its environment, once
    Env,
    /// From an address on this machine, where AWS SDKs fetch new ones before the old end
    Endpoint,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DieWithParent {
    /// On a CI platform, or where `CI` is set; not on Windows
    Auto,
    /// In every case; not on Windows
    Always,
    /// In no case: the command may outlive what started it
    Never,
}

#[derive(Debug, Args)]
pub(crate) struct ElevateArgs {
    #[command(flatten)]
    pub(crate) request: RequestArgs,
    /// For how long at the most: `90s`, `15m`, `1h`
    #[arg(long, value_name = "DURATION", display_order = 0)]
    pub(crate) ttl: Ttl,
    /// How the grant is handed on
    #[arg(long, value_enum, value_name = "FORM", default_value_t = GrantOutput::Env)]
    pub(crate) output: GrantOutput,
    /// Where the handle for `revoke` is kept; must not exist yet
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GrantOutput {
    /// `export NAME='value'` lines, for `eval` in a shell
    Env,
    /// One JSON document
    Json,
    /// Into `$GITHUB_ENV` (credential) and `$GITHUB_OUTPUT` (id and deadline)
    Github,
    /// `NAME=value` lines
    Dotenv,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// The grant; when neither this nor a file is given: `CLOUDANIX_STATE`, then `CLOUDANIX_GRANT_ID`
    #[arg(value_name = "GRANT_ID", conflicts_with = "state")]
    pub(crate) grant: Option<GrantId>,
    /// The handle that `elevate` or `run` wrote
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// For how long to try until the broker confirms
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub(crate) timeout: Ttl,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The grant; `CLOUDANIX_GRANT_ID` when not given
    #[arg(value_name = "GRANT_ID")]
    pub(crate) grant: Option<GrantId>,
    /// How it is shown
    #[arg(long, value_enum, value_name = "FORM", default_value_t = View::Text)]
    pub(crate) output: View,
}

#[derive(Debug, Args)]
pub(crate) struct WhoamiArgs {
    /// The person who signed in, with groups and rights, in place of the workload
    #[arg(long)]
    pub(crate) person: bool,
    /// How it is shown
    #[arg(long, value_enum, value_name = "FORM", default_value_t = View::Text)]
    pub(crate) output: View,
}

#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// The broker; `CLOUDANIX_URL` when not given
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Show the address to sign in at, and ask for the code that the browser shows at the end
    #[arg(long)]
    pub(crate) no_browser: bool,
    /// Prove again who you are, even if the provider has a session with your browser
    #[arg(long)]
    pub(crate) fresh: bool,
    /// For how long to wait for the browser
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub(crate) timeout: Ttl,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Dry-run the decision for this policy too; repeat it or separate several with commas
    #[arg(long = "policy", value_name = "P", value_delimiter = ',', requires = "ttl")]
    pub(crate) policies: Vec<PolicyName>,
    /// For how long it would be asked
    #[arg(long, value_name = "DURATION", requires = "policies")]
    pub(crate) ttl: Option<Ttl>,
    /// The scope of the agent's boundary, or its target
    #[arg(long, value_name = "T", requires = "policies")]
    pub(crate) target: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct TimelineArgs {
    /// The grant
    #[arg(value_name = "GRANT_ID")]
    pub(crate) grant: GrantId,
    /// How it is shown
    #[arg(long, value_enum, value_name = "FORM", default_value_t = View::Text)]
    pub(crate) output: View,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum View {
    /// For people
    Text,
    /// One JSON document
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Shown {
    /// How it is shown
    #[arg(long, value_enum, value_name = "FORM", default_value_t = View::Text)]
    pub(crate) output: View,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

fn reason(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    if length <= protocol::elevate::MAX_REASON {
        Ok(text.to_owned())
    } else {
        Err(format!("expected at most {} characters, found {length}", protocol::elevate::MAX_REASON))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn all_after_the_dashes_belongs_to_the_command() {
        let line = ["cloudanix-jit", "run", "--policy", "a,b", "--ttl", "15m", "--", "sh", "-c", "exit 3"];
        let Command::Run(args) = CommandLine::try_parse_from(line).unwrap().command else {
            panic!("not `run`")
        };
        assert_eq!(args.step.command, ["sh", "-c", "exit 3"]);
        assert_eq!(args.request.policies.len(), 2);
    }

    #[test]
    fn a_misspelt_option_does_not_become_the_command() {
        let line = ["cloudanix-jit", "run", "--policy", "a", "--tll", "15m", "--", "true"];
        assert!(CommandLine::try_parse_from(line).is_err());
    }
}
