//! `cloudanix-jit`: one grant for one step, for as long as it runs.
//!
//! The whole program is a library, so that tests can render its documents and compare them with the committed ones.

mod args;
mod commands;
mod elevation;
mod environment;
mod error;
mod exit;
mod export;
mod handle;
mod interrupt;
mod mask;
mod memory;
mod output;
mod redact;
mod run;
mod session;
mod settings;
mod step_env;
mod streams;
mod version;

use std::process::ExitCode;

use clap::Parser as _;
use jit_client::Env;

use crate::args::{BreakGlassArgs, Command, CommandLine};
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::Output;
use crate::run::parent::Parent;

/// The committed documents that are generated from the code.
pub mod documents {
    /// `docs/book/src/reference/exit-codes.md`.
    pub fn exit_codes() -> String {
        crate::exit::document()
    }

    /// `docs/book/src/reference/environment.md`.
    pub fn environment() -> String {
        crate::environment::document()
    }

    /// `docs/book/src/reference/cli.md`.
    pub fn commands() -> String {
        crate::args::document()
    }
}

/// The whole program.
pub fn main() -> ExitCode {
    let parent = Parent::of_this_process();
    memory::keep_out_of_core_files();
    if let Some(code) = version::answered() {
        return code;
    }
    // Not a command: `run` starts this program again as its keeper.
    if std::env::args_os().skip(1).eq(["keeper"]) {
        return run::keeper::main();
    }
    let command = match CommandLine::try_parse() {
        Ok(line) => line.command,
        Err(error) => return explain(&error),
    };
    let env = environment::from_process();
    let mut output = Output::new(&env);
    let on_error: fn(&CliError) -> Exit = match command {
        Command::Run(_) | Command::BreakGlass(BreakGlassArgs { command: None, .. }) => CliError::exit_of_run,
        Command::Elevate(_)
        | Command::Revoke(_)
        | Command::Status(_)
        | Command::Whoami(_)
        | Command::Login(_)
        | Command::Logout
        | Command::Doctor(_)
        | Command::Timeline(_)
        | Command::Agent(_)
        | Command::Grants(_)
        | Command::Rules(_)
        | Command::Observations(_)
        | Command::Requests(_)
        | Command::Approve(_)
        | Command::Deny(_)
        | Command::Approvals(_)
        | Command::BreakGlass(_)
        | Command::Health(_)
        | Command::Notifications(_)
        | Command::Sessions(_)
        | Command::Completions(_) => CliError::exit,
    };
    match dispatch(command, parent, &env, &mut output) {
        Ok(code) => code,
        Err(error) => {
            output.error(&error);
            on_error(&error).into()
        }
    }
}

/// Help and version are successes. A mistake in `run` or in a `break-glass` with a command is 125, because 2 may be its command's code.
fn explain(error: &clap::Error) -> ExitCode {
    let failed_to_print = error.print().is_err();
    if !error.use_stderr() && !failed_to_print {
        return Exit::Ok.into();
    }
    let mut arguments = std::env::args_os().skip(1);
    let runs_a_command = match arguments.next() {
        Some(command) if command == "run" => true,
        Some(command) if command == "break-glass" => arguments.any(|argument| argument == "--"),
        Some(_) | None => false,
    };
    if runs_a_command { Exit::NotStarted.into() } else { Exit::Usage.into() }
}

fn dispatch(command: Command, parent: Parent, env: &Env, output: &mut Output) -> Result<ExitCode, CliError> {
    let done = match command {
        Command::Run(args) => return commands::run::run(args, parent, env, output).map(ExitCode::from),
        Command::BreakGlass(BreakGlassArgs { command: None, take }) => {
            return commands::run::break_glass(&take, parent, env, output).map(ExitCode::from);
        }
        Command::BreakGlass(BreakGlassArgs { command: Some(command), .. }) => {
            commands::break_glass::run(command, env, output)
        }
        Command::Elevate(args) => commands::elevate::run(args, env, output),
        Command::Revoke(args) => commands::revoke::run(args, env, output),
        Command::Status(args) => commands::status::run(args, env, output),
        Command::Whoami(args) if args.person => commands::login::whoami(&args, env, output),
        Command::Whoami(args) => commands::whoami::run(args, env, output),
        Command::Login(args) => commands::login::login(&args, env, output),
        Command::Logout => commands::login::logout(env, output),
        Command::Doctor(args) => commands::doctor::run(args, env, output),
        Command::Timeline(args) => commands::timeline::run(args, env, output),
        Command::Agent(command) => commands::agent::run(command, env, output),
        Command::Grants(command) => commands::grants::run(command, env, output),
        Command::Rules(command) => commands::rules::run(command, env, output),
        Command::Observations(command) => commands::observations::run(command, env, output),
        Command::Requests(args) => commands::requests::list(&args, env, output),
        Command::Approve(args) => commands::requests::approve(&args, env, output),
        Command::Deny(args) => commands::requests::deny(&args, env, output),
        Command::Approvals(command) => commands::approvals::run(command, env, output),
        Command::Health(shown) => commands::health::show(shown, env, output),
        Command::Notifications(args) => commands::notifications::list(&args, env, output),
        Command::Sessions(command) => commands::sessions::run(command, env, output),
        Command::Completions(args) => commands::completions::run(&args, output),
    };
    done.map(|()| Exit::Ok.into())
}
