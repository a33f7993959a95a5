//! `--version`, answered before the command line is built: fleets call it once per step.

use std::env;
use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::exit::Exit;

/// The same text as clap's.
const TEXT: &str = concat!("cloudanix-jit ", env!("CARGO_PKG_VERSION"), "\n");

/// Prints the version if the command line has nothing else. Otherwise clap decides.
pub(crate) fn answered() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    let is_version = arguments.next().is_some_and(|first| first == "--version" || first == "-V");
    if !is_version || arguments.next().is_some() {
        return None;
    }
    let mut stdout = io::stdout();
    let printed = stdout.write_all(TEXT.as_bytes()).and_then(|()| stdout.flush());
    Some(if printed.is_ok() { Exit::Ok } else { Exit::Usage }.into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::args::CommandLine;

    #[test]
    fn the_version_is_the_same_as_claps() {
        assert_eq!(CommandLine::command().render_version(), TEXT);
        assert_eq!(CommandLine::command().render_long_version(), TEXT);
    }
}
