//! (being written)
use crate::args::AgentCommand;
use crate::environment::Env;
use crate::error::CliError;
use crate::output::Output;

pub(crate) fn run(_command: AgentCommand, _env: &Env, _output: &mut Output) -> Result<(), CliError> {
    Err(CliError::unexpected("not there yet"))
}
