//! The broker's process: reads the command line, runs, says what went wrong once.

use std::process::ExitCode;

fn main() -> ExitCode {
    server::command_line::run()
}
