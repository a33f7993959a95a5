//! Reads the file that a command sends to the broker.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use protocol::elevate::MAX_BODY;

use crate::error::CliError;

/// The text of a file; `-` is standard input.
pub(super) fn text(file: &Path, what: &str) -> Result<String, CliError> {
    let shown = file.display();
    let unreadable = |error: io::Error| CliError::usage(format!("the {what} `{shown}`: {error}"));
    let source: Box<dyn Read> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(file).map_err(unreadable)?)
    };
    let mut text = String::new();
    let length = source.take(MAX_BODY as u64 + 1).read_to_string(&mut text).map_err(unreadable)?;
    if length > MAX_BODY {
        return Err(CliError::usage(format!("the {what} `{shown}`: expected at most {MAX_BODY} bytes")));
    }
    Ok(text)
}
