//! `observations`: what steps that run without a grant would have got, and what they called.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use jit_client::{Client, DecisionFilter, Env, RetryPolicy, system_clock};
use protocol::PolicyName;
use protocol::observations::{ObservationReport, ObservedAgent};
use protocol::printable::printable;

use super::block_on;
use crate::args::{ObservationsCommand, View};
use crate::error::CliError;
use crate::output::Output;
use crate::settings;

const RETRIES: RetryPolicy =
    RetryPolicy { attempt: Duration::from_secs(60), overall: Duration::from_secs(120) };

pub(crate) fn run(command: ObservationsCommand, env: &Env, output: &mut Output) -> Result<(), CliError> {
    let client = Client::new(&settings::for_operator(env)?)?;
    let ObservationsCommand::Report { since, agent, shown } = command;
    let filter = DecisionFilter { since: since.before(system_clock()), agent };
    let report = block_on(async { Ok(client.observation_report(&filter, RETRIES).await?) })?;
    match shown.output {
        View::Json => output.json(&report),
        View::Text => output.data(&text(&report)),
    }
}

fn text(report: &ObservationReport) -> String {
    if report.agents.is_empty() {
        return format!("no step was observed since {}\n", report.since);
    }
    let width = report.agents.iter().map(|agent| agent.agent_id.as_str().len()).max().unwrap_or(0);
    let mut text = String::new();
    for agent in &report.agents {
        row(&mut text, agent, width);
    }
    let ready = report.agents.iter().filter(|agent| agent.ready).count();
    let _ = writeln!(text, "{} agents, {ready} ready", report.agents.len());
    text
}

fn row(text: &mut String, agent: &ObservedAgent, width: usize) {
    let ObservedAgent { agent_id, observations, outcomes, ready, reasons, used } = agent;
    let ready = if *ready { "ready" } else { "not ready" };
    let outcomes = counted(outcomes, "").replace('_', " ");
    let _ = writeln!(text, "{:<width$}  {ready:<9}  {observations} steps: {outcomes}", agent_id.as_str());
    for (reason, count) in reasons {
        let _ = writeln!(text, "  ×{count} {}", printable(reason));
    }
    for usage in used {
        let policies: Vec<&str> = usage.policies.iter().map(PolicyName::as_str).collect();
        let policies = policies.join(", ");
        let calls =
            if usage.actions.is_empty() { "no calls".to_owned() } else { counted(&usage.actions, "×") };
        let _ = writeln!(text, "  {policies} · {calls}");
        if !usage.suggested.is_empty() {
            let _ = writeln!(text, "    would be covered by {}", printable(&usage.suggested.join(", ")));
        }
    }
}

/// `allow 9, deny 3`, `s3:PutObject ×120`
fn counted(counts: &BTreeMap<String, u64>, sign: &str) -> String {
    let counts: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {sign}{count}")).collect();
    printable(&counts.join(", "))
}
