//! `rules`: checks, applies, tries out and explains the rules that decide about grants.

mod comparison;
mod explain;
mod files;
mod show;

use std::path::Path;
use std::time::Duration;

use jit_client::{Client, DecisionFilter, Env, RetryPolicy, system_clock};
use protocol::rules::{
    ApplyRules, Comparison, Outcome, ReplayRequest, RolloutRequest, RuleSetRole, RulesState, TestRules,
};

use self::files::Files;
use super::{RETRIES, block_on};
use crate::args::{Decisions, FailOn, RulesCommand, Shown, View};
use crate::error::CliError;
use crate::output::{Mark, Output};
use crate::settings;

/// The broker runs every test case of a set, or decides a page of recorded decisions again.
const LONG_RETRIES: RetryPolicy =
    RetryPolicy { attempt: Duration::from_secs(60), overall: Duration::from_secs(120) };
/// For a change that is sent once.
const CHANGE_WITHIN: Duration = Duration::from_secs(30);

pub(crate) fn run(command: RulesCommand, env: &Env, output: &mut Output) -> Result<(), CliError> {
    let settings = match &command {
        RulesCommand::Explain { .. } => settings::for_reader(env)?,
        RulesCommand::Check { .. }
        | RulesCommand::Test { .. }
        | RulesCommand::Try { .. }
        | RulesCommand::Apply { .. }
        | RulesCommand::Show { .. }
        | RulesCommand::History { .. }
        | RulesCommand::Promote { .. }
        | RulesCommand::Rollout { .. }
        | RulesCommand::Rollback { .. }
        | RulesCommand::ClearCandidate { .. }
        | RulesCommand::DiffReport { .. }
        | RulesCommand::Replay { .. } => settings::for_operator(env)?,
    };
    let client = Client::new(&settings)?;
    block_on(async {
        match command {
            RulesCommand::Check { folder, shown } => {
                let Files { files, cases: _ } = Files::read(&folder.folder)?;
                let rules = ApplyRules {
                    files,
                    cases: Default::default(),
                    role: RuleSetRole::Active,
                    check_only: true,
                };
                apply(&client, "check", &rules, shown, output).await
            }
            RulesCommand::Test { folder, shown } => {
                let Files { files, cases } = Files::read(&folder.folder)?;
                if cases.is_empty() {
                    return Err(files::no_cases(&folder.folder));
                }
                let rules = ApplyRules { files, cases, role: RuleSetRole::Active, check_only: true };
                apply(&client, "test", &rules, shown, output).await
            }
            RulesCommand::Try { file, grant, shown } => {
                let cases = file.map(|file| super::input::text(&file, "cases")).transpose()?;
                let tested = client.test_rules(&TestRules { cases, grant }, RETRIES).await?;
                match shown.output {
                    View::Json => output.json(&tested),
                    View::Text => output.data(&show::tested(&tested)),
                }
            }
            RulesCommand::Apply { folder, candidate, shown } => {
                let Files { files, cases } = Files::read(&folder.folder)?;
                let role = if candidate { RuleSetRole::Candidate } else { RuleSetRole::Active };
                let rules = ApplyRules { files, cases, role, check_only: false };
                apply(&client, "apply", &rules, shown, output).await
            }
            RulesCommand::Show { set: None, shown } => {
                let state = client.rules(RETRIES).await?;
                match shown.output {
                    View::Json => output.json(&state),
                    View::Text => output.data(&show::state(&state)),
                }
            }
            RulesCommand::Show { set: Some(set), shown } => {
                let digest = show::find(&client, &set).await?;
                let set = client.rule_set(&digest, RETRIES).await?;
                match shown.output {
                    View::Json => output.json(&set),
                    View::Text => output.data(&show::files(&set)),
                }
            }
            RulesCommand::History { shown } => {
                let changes = show::history(&client).await?;
                match shown.output {
                    View::Json => output.json(&changes),
                    View::Text => output.data(&show::changes(&changes)),
                }
            }
            RulesCommand::Promote { shown } => {
                changed("promote", &client.promote_rules(CHANGE_WITHIN).await?, shown, output)
            }
            RulesCommand::Rollout { agents, shown } => {
                let rollout = RolloutRequest { agents };
                changed("rollout", &client.roll_out_rules(&rollout, CHANGE_WITHIN).await?, shown, output)
            }
            RulesCommand::Rollback { shown } => {
                changed("rollback", &client.roll_back_rules(CHANGE_WITHIN).await?, shown, output)
            }
            RulesCommand::ClearCandidate { shown } => {
                changed("clear", &client.clear_candidate_rules(CHANGE_WITHIN).await?, shown, output)
            }
            RulesCommand::DiffReport { decisions, shown } => {
                let report = diff_report(&client, decisions).await?;
                print(&report, shown, output)
            }
            RulesCommand::Replay { decisions, candidate, fail_on, shown } => {
                let report = replay(&client, decisions, &candidate).await?;
                print(&report, shown, output)?;
                check(&report, fail_on)
            }
            RulesCommand::Explain { grant, shown } => {
                let explanation = client.decisions(&grant, RETRIES).await?;
                match shown.output {
                    View::Json => output.json(&explanation),
                    View::Text => output.data(&explain::text(&explanation)),
                }
            }
        }
    })
}

async fn apply(
    client: &Client,
    verb: &str,
    rules: &ApplyRules,
    shown: Shown,
    output: &mut Output,
) -> Result<(), CliError> {
    let applied = client.apply_rules(rules, LONG_RETRIES).await?;
    let outcome = match (rules.check_only, applied.changed, rules.role) {
        (true, _, _) => "",
        (false, false, RuleSetRole::Active) => " · is active already",
        (false, false, RuleSetRole::Candidate) => " · is the candidate already",
        (false, true, RuleSetRole::Active) => " · active",
        (false, true, RuleSetRole::Candidate) => " · candidate",
    };
    let text = format!(
        "rule set {} · {} rules · {} test cases passed{outcome}",
        applied.digest.short(),
        applied.rules,
        applied.cases
    );
    output.line(Mark::Done, verb, &text);
    for warning in &applied.warnings {
        output.line(Mark::Warning, verb, warning);
    }
    match shown.output {
        View::Json => output.json(&applied),
        View::Text => Ok(()),
    }
}

fn changed(verb: &str, state: &RulesState, shown: Shown, output: &mut Output) -> Result<(), CliError> {
    output.line(Mark::Done, verb, &show::summary(state));
    match shown.output {
        View::Json => output.json(state),
        View::Text => Ok(()),
    }
}

async fn diff_report(client: &Client, decisions: Decisions) -> Result<Comparison, CliError> {
    let Decisions { since, agent } = decisions;
    let filter = DecisionFilter { since: since.before(system_clock()), agent };
    let mut report = Comparison::default();
    loop {
        let after = report.next;
        report.add(client.diff_report(&filter, after, LONG_RETRIES).await?);
        if comparison::is_complete(&mut report, after) {
            return Ok(report);
        }
    }
}

async fn replay(client: &Client, decisions: Decisions, folder: &Path) -> Result<Comparison, CliError> {
    let Decisions { since, agent } = decisions;
    let Files { files, cases: _ } = Files::read(folder)?;
    let mut request = ReplayRequest { files, since: since.before(system_clock()), agent, after: None };
    let mut report = Comparison::default();
    loop {
        report.add(client.replay(&request, LONG_RETRIES).await?);
        if comparison::is_complete(&mut report, request.after) {
            return Ok(report);
        }
        request.after = report.next;
    }
}

fn print(report: &Comparison, shown: Shown, output: &mut Output) -> Result<(), CliError> {
    match shown.output {
        View::Json => output.json(report),
        View::Text => output.data(&comparison::text(report)),
    }
}

fn check(report: &Comparison, fail_on: Option<FailOn>) -> Result<(), CliError> {
    let Some(fail_on) = fail_on else { return Ok(()) };
    let differ = match fail_on {
        FailOn::Wider => comparison::wider(report),
        FailOn::Any => comparison::differ(report),
    };
    if differ == 0 {
        return Ok(());
    }
    Err(CliError::RulesDiffer { differ, decisions: report.decisions, fail_on })
}

/// The rules that decided, or what their absence means.
fn deciding(outcome: Outcome, rules: &[String]) -> String {
    if !rules.is_empty() {
        return format!("by {}", rules.join(", "));
    }
    match outcome {
        Outcome::Allow | Outcome::Deny => "no rule permits it",
        Outcome::NeedsApproval => "no rule permits it without a person",
        Outcome::Error => "a rule could not be evaluated",
    }
    .to_owned()
}
