//! `approvals`: what persons approved in advance.

use std::fmt::Write as _;

use jit_client::{Client, Env};
use protocol::PolicyName;
use protocol::printable::printable;
use protocol::standing_approvals::{NewStandingApproval, StandingApproval};

use super::{RETRIES, block_on};
use crate::args::{AllowArgs, ApprovalsCommand, View};
use crate::error::CliError;
use crate::output::{Mark, Output};
use crate::settings;

pub(crate) fn run(command: ApprovalsCommand, env: &Env, output: &mut Output) -> Result<(), CliError> {
    let client = Client::new(&settings::for_operator(env)?)?;
    match command {
        ApprovalsCommand::Allow(args) => {
            let (key, new) = (jit_client::new_key()?, new(args));
            let made = block_on(async { Ok(client.approve_in_advance(&new, &key, RETRIES).await?) })?;
            let requests = if made.uses == 1 { "request" } else { "requests" };
            let text =
                format!("{} · {} {requests} of {} until {}", made.id, made.uses, made.agent_id, made.until);
            output.line(Mark::Done, "approvals", &text);
            Ok(())
        }
        ApprovalsCommand::List { shown } => {
            let listed = block_on(async { Ok(client.standing_approvals(RETRIES).await?) })?;
            match shown.output {
                View::Json => output.json(&listed),
                View::Text if listed.standing_approvals.is_empty() => {
                    output.line(Mark::Done, "approvals", "no standing approval is in force");
                    Ok(())
                }
                View::Text => output.data(&table(&listed.standing_approvals)),
            }
        }
        ApprovalsCommand::Revoke { id } => {
            let ended = block_on(async { Ok(client.revoke_standing_approval(&id, RETRIES).await?) })?;
            let text = format!("{id} · revoked, {} of {} uses made", ended.used, ended.uses);
            output.line(Mark::Done, "approvals", &text);
            Ok(())
        }
    }
}

fn new(args: AllowArgs) -> NewStandingApproval {
    let AllowArgs { agent, policies, target, git_ref, uses, lasts, because } = args;
    NewStandingApproval { agent_id: agent, target, policies, git_ref, uses, lasts, because }
}

fn table(standing: &[StandingApproval]) -> String {
    let widest = standing.iter().map(|one| one.agent_id.as_str().len()).max().unwrap_or(0);
    let mut text = String::new();
    for one in standing {
        let policies: Vec<&str> = one.policies.iter().map(PolicyName::as_str).collect();
        let _ = writeln!(
            text,
            "{}  {:<widest$}  {}/{}  {}  {}  {}  {}",
            one.id,
            one.agent_id.as_str(),
            one.used,
            one.uses,
            one.until,
            printable(&policies.join(",")),
            printable(one.git_ref.as_deref().unwrap_or("-")),
            printable(one.person.shown()),
        );
    }
    text
}
