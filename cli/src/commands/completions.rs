//! `completions`: the completion script of a shell.

use clap::CommandFactory as _;

use crate::args::{CommandLine, CompletionsArgs};
use crate::error::CliError;
use crate::output::Output;

pub(crate) fn run(args: &CompletionsArgs, output: &mut Output) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut CommandLine::command(), "cloudanix-jit", &mut script);
    output.data(&String::from_utf8_lossy(&script))
}
