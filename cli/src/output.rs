//! Output: lines for people on stderr, data for programs on stdout.

use std::io::{self, IsTerminal as _, Write};

use protocol::printable::{printable, printable_json};

use crate::args::Masks;
use crate::error::CliError;
use crate::streams::{OwnStream, Streams};
use jit_client::Env;

/// The two streams. No other code writes to them.
#[derive(Clone)]
pub(crate) struct Output {
    colour: Colour,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colour {
    Never,
    Always,
}

/// The symbol at the beginning of a line for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Done,
    Waiting,
    Observed,
    Warning,
    Failed,
    Skipped,
}

impl Mark {
    fn symbol(self) -> &'static str {
        match self {
            Self::Done => "✓",
            Self::Waiting => "…",
            Self::Observed => "→",
            Self::Warning => "!",
            Self::Failed => "✗",
            Self::Skipped => "-",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Self::Done => "\u{1b}[32m",
            Self::Waiting => "\u{1b}[36m",
            Self::Observed => "\u{1b}[34m",
            Self::Warning => "\u{1b}[33m",
            Self::Failed => "\u{1b}[31m",
            Self::Skipped => "\u{1b}[2m",
        }
    }
}

impl Output {
    pub(crate) fn new(env: &Env) -> Self {
        let unwanted = env.get("NO_COLOR").is_some() || env.get("TERM") == Some("dumb");
        let plain = unwanted || !io::stderr().is_terminal();
        Self { colour: if plain { Colour::Never } else { Colour::Always } }
    }

    /// Prints `✓ elevate  policy attached · P · 15m`. A closed stderr is no failure.
    pub(crate) fn line(&self, mark: Mark, verb: &str, text: &str) {
        let symbol = match self.colour {
            Colour::Never => mark.symbol().to_owned(),
            Colour::Always => format!("{}{}\u{1b}[0m", mark.colour(), mark.symbol()),
        };
        print(&format!("{symbol} {verb:<8} {}\n", printable(text)));
    }

    /// Prints a hint for the line above.
    pub(crate) fn hint(&self, text: &str) {
        print(&format!("  hint: {}\n", printable(text)));
    }

    /// Prints an error: what happened, what to do, and the request id in the broker's log.
    pub(crate) fn error(&self, error: &CliError) {
        let text = error.to_string();
        let mut lines = text.lines();
        self.line(Mark::Failed, "failed", lines.next().unwrap_or_default());
        // Behind a bar: external text must not begin a line with a mark or a CI command.
        for line in lines {
            print(&format!("  | {}\n", printable(line)));
        }
        if let Some(hint) = error.hint() {
            self.hint(hint);
        }
        if let Some(problem) = error.problem() {
            let request = problem.request_id.as_deref();
            let request = request.map(|id| format!(" · request {id}")).unwrap_or_default();
            let code = &problem.code;
            print(&format!("  code: {}\n", printable(&format!("{code}{request}"))));
        }
    }

    /// Writes commands to the CI platform (masks). They are complete when this returns, and written once if both streams are
    /// one file.
    pub(crate) fn command(&self, text: &str, on: Masks) -> Result<(), CliError> {
        written("stderr", OwnStream::stderr(), text)?;
        match (on, Streams::of_this_process()) {
            (Masks::Both, Streams::Apart) => written("stdout", OwnStream::stdout(), text),
            (Masks::Stderr, _) | (Masks::Both, Streams::Merged) => Ok(()),
        }
    }

    /// Writes data for programs. A reader that exits early (`| head`) is no failure.
    pub(crate) fn data(&mut self, text: &str) -> Result<(), CliError> {
        let mut stdout = io::stdout();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(CliError::unexpected(format!("stdout: {error}")))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Writes one JSON document for programs. Invisible characters are escaped.
    pub(crate) fn json<T: serde::Serialize>(&mut self, value: &T) -> Result<(), CliError> {
        let mut text = serde_json::to_string_pretty(value)
            .map_err(|error| CliError::unexpected(format!("the JSON output: {error}")))?;
        text.push('\n');
        self.data(&printable_json(&text))
    }
}

fn written(name: &str, stream: io::Result<OwnStream>, text: &str) -> Result<(), CliError> {
    stream
        .and_then(|mut stream| stream.write_all(text.as_bytes()).and_then(|()| stream.flush()))
        .map_err(|error| CliError::unexpected(format!("the secret could not be masked: {name}: {error}")))
}

/// Writes in one call, because standard error is unbuffered and other processes write to it.
fn print(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
