//! The binary of the broker.

use std::process::ExitCode;

fn main() -> ExitCode {
    server::command_line::run()
}
