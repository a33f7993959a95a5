//! Renders the reference page of the commands from clap's own help.

use std::fmt::Write as _;

use clap::CommandFactory as _;

use super::CommandLine;

/// `docs/book/src/reference/cli.md`.
pub(crate) fn document() -> String {
    let mut page = String::from(
        "# Client commands\n\n\
         <!-- Generated from cli/src/args.rs: change it there. -->\n\n\
         What `--help` prints for each command. The settings that a command takes from the environment are in \
         [environment variables](environment.md), what it exits with in [exit codes](exit-codes.md).\n",
    );
    let mut command = CommandLine::command().term_width(100);
    command.build();
    section(&mut page, &command, command.get_name());
    page
}

fn section(page: &mut String, command: &clap::Command, name: &str) {
    let help = command.clone().render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(page, "\n## `{name}`\n\n```text\n{}\n```\n", help.join("\n").trim_end());
    for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
        section(page, command, &format!("{name} {}", command.get_name()));
    }
}
