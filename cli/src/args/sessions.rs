//! The command line of `sessions`.

use clap::Subcommand;

use super::Shown;

#[derive(Debug, Subcommand)]
pub(crate) enum SessionsCommand {
    /// List open sessions, the last used first
    List {
        #[command(flatten)]
        shown: Shown,
    },
    /// End every session of a person
    #[command(after_help = "Example:\n  cloudanix-jit sessions end 00u1a2b3c4")]
    End {
        /// The person's `sub` at the provider, as `sessions list` shows it
        #[arg(value_name = "SUBJECT")]
        subject: String,
    },
}
