//! `cargo xtask`: commands for developers of cloudanix-jit.

mod book;
mod client_gate;
mod demo;
mod demo_account;
mod demo_approval;
mod demo_aws;
mod demo_broker;
mod demo_channel;
mod documents;
mod elf;
mod fuzz;
mod gitea;
mod links;
mod lint;
mod machine;
mod markdown;
mod process;
mod python;
mod release_check;
mod steps;
mod test;
mod tools;
mod words;
mod wrappers;

use std::process::ExitCode;

use clap::Parser;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Commands for people who work on cloudanix-jit")]
enum Command {
    /// Show the product: one broker, one step, one grant
    Demo(demo::Arguments),
    /// Check everything from a fresh clone: set-up, builds, all tests, generated documents
    Test,
    /// Check formatting, clippy and the rules for dependencies
    Lint,
    /// Fuzz the parsers and the redactor
    Fuzz(fuzz::Arguments),
    /// Write the generated documents
    Docs,
    /// Check the links of the documents and render the book
    Book,
    /// Build the client for Windows and arm64, and run it under emulation
    ReleaseCheck,
    /// Write the wrappers for publication, with the version and the checksums of a release
    Wrappers(wrappers::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Demo(arguments) => demo::run_command(&arguments),
        Command::Test => test::run_command(),
        Command::Lint => lint::run_command(),
        Command::Fuzz(arguments) => fuzz::run_command(&arguments),
        Command::Docs => documents::write(),
        Command::Book => book::run_command(),
        Command::ReleaseCheck => release_check::run_command(),
        Command::Wrappers(arguments) => wrappers::run_command(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
