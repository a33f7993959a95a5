//! The observation of a step without a grant: requested while the step runs, completed with its calls after its end.
//!
//! No failure of it reaches the step. Everything that may take time is done on a thread or in the background.

use std::time::Duration;

use jit_client::{Client, Elevation, Env, Lease, Notice, Reported, RetryPolicy, Settings};
use protocol::Ttl;
use protocol::actions::Action;
use protocol::observations::Observation;
use protocol::rules::Outcome;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout_at};

use super::aws_call_log::ObservedCalls;
use crate::args::RequestArgs;
use crate::elevation;
use crate::error::CliError;
use crate::output::{Mark, Output};
use crate::settings;

const ATTEMPT: Duration = Duration::from_secs(10);
/// How long after the step's end the answer and the calls may take together.
const AFTER_END: Duration = Duration::from_secs(2);

/// The observation while the step runs.
pub(crate) struct Observer {
    progress: watch::Receiver<Progress>,
    calls: Option<ObservedCalls>,
    output: Output,
}

#[derive(Clone)]
enum Progress {
    /// The broker has not answered yet.
    Requested,
    /// An attempt failed, and another one follows at this time.
    Failing(String, Instant),
    /// There is no observation.
    Failed(String),
    /// The broker has recorded it.
    Recorded(Box<Client>, Observation),
}

impl Observer {
    /// Requests the observation in the background. Call it after the step has started. `settings` are read first if
    /// they could not be read without a wait.
    pub(crate) fn start(
        request: &RequestArgs,
        ttl: Ttl,
        env: &Env,
        settings: Option<Result<Settings, CliError>>,
        calls: Option<ObservedCalls>,
        output: &Output,
    ) -> Self {
        let (sender, progress) = watch::channel(Progress::Requested);
        let policy = RetryPolicy { attempt: ATTEMPT, overall: request.timeout.into() };
        let (prepared, preparing) = oneshot::channel();
        let (request, env) = (request.clone(), env.clone());
        std::thread::spawn(move || {
            let settings = settings.unwrap_or_else(|| settings::for_agent(&env));
            let made = settings.and_then(|settings| prepare(&settings, &request, ttl, &env));
            // An error means that the step has ended and nothing waits for it.
            let _ = prepared.send(made);
        });
        tokio::spawn(async move {
            let end = match preparing.await {
                Ok(Ok((client, elevation))) => observe(client, &elevation, policy, &sender).await,
                Ok(Err(error)) => Progress::Failed(error.to_string()),
                Err(_) => Progress::Failed("the settings could not be read".to_owned()),
            };
            sender.send_replace(end);
        });
        Self { progress, calls, output: output.clone() }
    }

    /// Completes the observation after the end of the step, and prints it; within two seconds.
    pub(crate) async fn step_ended(mut self) {
        let deadline = Instant::now() + AFTER_END;
        let reports = match self.calls {
            Some(calls) => calls.step_ended().await,
            None => Vec::new(),
        };
        // An answer that is on its way is awaited. A further attempt would delay the end of every step while the broker
        // is down.
        let answered = self.progress.wait_for(|progress| match progress {
            Progress::Requested => false,
            Progress::Failing(_, next) => Instant::now() < *next,
            Progress::Failed(_) | Progress::Recorded(..) => true,
        });
        let progress = match timeout_at(deadline, answered).await {
            Ok(Ok(progress)) => progress.clone(),
            Ok(Err(_)) | Err(_) => Progress::Failed("no answer in time".to_owned()),
        };
        match progress {
            Progress::Recorded(client, observation) => {
                print(&observation, &self.output);
                let report = report(&client, &observation, reports, deadline);
                let reported = timeout_at(deadline, report).await;
                if let Err(why) = reported.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
                    warn(&self.output, &format!("the command's calls are not recorded: {why}"));
                }
            }
            Progress::Failing(why, _) | Progress::Failed(why) => {
                warn(&self.output, &format!("not recorded: {why}"));
            }
            Progress::Requested => {}
        }
    }
}

fn prepare(
    settings: &Settings,
    request: &RequestArgs,
    ttl: Ttl,
    env: &Env,
) -> Result<(Client, Elevation), CliError> {
    let client = Client::new(settings)?;
    let elevation = elevation::from_args(request, ttl, Lease::Heartbeats, jit_client::new_key()?, env)?;
    Ok((client, elevation))
}

async fn observe(
    client: Client,
    elevation: &Elevation,
    policy: RetryPolicy,
    progress: &watch::Sender<Progress>,
) -> Progress {
    let notice = |notice: Notice<'_>| match notice {
        Notice::Retrying { why, pause } => {
            progress.send_replace(Progress::Failing(why.to_owned(), Instant::now() + pause));
        }
        Notice::WaitingForApproval(_) => {}
    };
    match client.observe(elevation, policy, notice).await {
        Ok(observation) => Progress::Recorded(Box::new(client), observation),
        Err(error) => Progress::Failed(error.to_string()),
    }
}

async fn report(
    client: &Client,
    observation: &Observation,
    reports: Vec<Vec<Action>>,
    deadline: Instant,
) -> Result<(), String> {
    for actions in reports {
        let left = deadline.saturating_duration_since(Instant::now());
        match client.report_observed(observation, actions, left).await {
            Ok(Reported::Accepted) => {}
            Ok(Reported::Refused(why)) => return Err(why),
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

fn print(observation: &Observation, output: &Output) {
    let outcome = match observation.outcome {
        Outcome::Allow => "would be granted",
        Outcome::NeedsApproval => "would need an approval",
        Outcome::Deny => "would be denied",
        Outcome::Error => "would be denied, because a rule could not be evaluated",
    };
    let why = observation.detail.as_ref().map(|detail| format!(" · {detail}")).unwrap_or_default();
    output.line(Mark::Observed, "observe", &format!("{outcome}{why} · {}", observation.id));
    if let Some(hint) = &observation.hint {
        output.hint(hint);
    }
}

fn warn(output: &Output, what: &str) {
    output.line(Mark::Warning, "observe", what);
}
