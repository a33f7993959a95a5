//! `timeline`: what happened to a grant, in order?

use std::time::Duration;

use super::block_on;
use crate::api::{Broker, Patience, Settings};
use crate::args::{TimelineArgs, View};
use crate::environment::Env;
use crate::error::CliError;
use crate::output::Output;

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn run(args: TimelineArgs, env: &Env, output: &mut Output) -> Result<(), CliError> {
    let broker = Broker::new(&Settings::for_reader(env)?)?;
    let timeline = block_on(async { broker.timeline(&args.grant, Patience::within(PATIENCE)).await })?;
    match args.output {
        View::Json => output.json(&timeline)?,
        View::Text => output.data(&timeline.render())?,
    }
    if timeline.intact {
        Ok(())
    } else {
        Err(CliError::unexpected(format!("this timeline is not intact: {}", timeline.why_not())))
    }
}
