//! `timeline`: the events of a grant, in order.

use std::time::Duration;

use jit_client::{Client, Env, RetryPolicy};

use super::block_on;
use crate::args::{TimelineArgs, View};
use crate::error::CliError;
use crate::output::Output;
use crate::settings;

const TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) fn run(args: TimelineArgs, env: &Env, output: &mut Output) -> Result<(), CliError> {
    let client = Client::new(&settings::for_reader(env)?)?;
    let timeline = block_on(async { Ok(client.timeline(&args.grant, RetryPolicy::within(TIMEOUT)).await?) })?;
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
