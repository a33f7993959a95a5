//! Which version is this? Answered without building anything: fleets ask it once a step.

use std::env;
use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::exit::Exit;

/// What clap says too.
const TEXT: &str = concat!("cloudanix-jit ", env!("CARGO_PKG_VERSION"), "\n");

/// The answer, where nothing but the version is asked for. With more on the command line it is clap's to decide.
pub(crate) fn answered() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    let asked = arguments.next().is_some_and(|first| first == "--version" || first == "-V");
    if !asked || arguments.next().is_some() {
        return None;
    }
    let mut stdout = io::stdout();
    let said = stdout.write_all(TEXT.as_bytes()).and_then(|()| stdout.flush());
    Some(if said.is_ok() { Exit::Ok } else { Exit::Usage }.into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::args::CommandLine;

    #[test]
    fn both_ways_of_answering_say_the_same() {
        assert_eq!(CommandLine::command().render_version(), TEXT);
        assert_eq!(CommandLine::command().render_long_version(), TEXT);
    }
}
