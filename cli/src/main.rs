//! The binary `cloudanix-jit`; all of it is in the library, so that documents can be rendered from it.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
