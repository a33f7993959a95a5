//! `requests`, `approve` and `deny`: what waits for the approval of persons, and their votes.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};

use jit_client::{Client, Env};
use protocol::approvals::{Approval, ApprovalRequest, Choice, Vote};
use protocol::printable::printable;
use protocol::{Grant, GrantId, PolicyName};

use super::{RETRIES, block_on, line_of_input};
use crate::args::{ApproveArgs, DenyArgs, RequestsArgs, View};
use crate::error::CliError;
use crate::output::{Mark, Output};
use crate::settings;

/// The longest answer to a question that is read, in bytes.
const LONGEST_ANSWER: u64 = 100;

pub(crate) fn list(args: &RequestsArgs, env: &Env, output: &mut Output) -> Result<(), CliError> {
    let client = Client::new(&settings::for_operator(env)?)?;
    if let Some(id) = &args.grant {
        let request = block_on(async { Ok(client.request(id, RETRIES).await?) })?;
        return match args.shown.output {
            View::Json => output.json(&request),
            View::Text => output.data(&whole(&request)),
        };
    }
    let requests = block_on(all(&client))?;
    match args.shown.output {
        View::Json => output.json(&requests),
        View::Text if requests.is_empty() => {
            output.line(Mark::Done, "requests", "none waits for approval");
            Ok(())
        }
        View::Text => output.data(&table(&requests)),
    }
}

pub(crate) fn approve(args: &ApproveArgs, env: &Env, output: &mut Output) -> Result<(), CliError> {
    let client = Client::new(&settings::for_operator(env)?)?;
    let digest = match &args.digest {
        Some(digest) => digest.clone(),
        None => {
            let request = block_on(async { Ok(client.request(&args.grant, RETRIES).await?) })?;
            if !io::stdin().is_terminal() {
                return Err(CliError::usage("expected a terminal to ask on, or `--digest`").with_hint(
                    format!(
                        "`cloudanix-jit requests {}` shows what is to be approved, and its digest",
                        args.grant
                    ),
                ));
            }
            output.data(&whole(&request))?;
            if !is_confirmed(output)? {
                output.line(Mark::Skipped, "approve", "nothing was done");
                return Ok(());
            }
            digest_of(&request)?
        }
    };
    let vote = Vote { digest, choice: Choice::Approve, because: args.because.clone() };
    let request = block_on(async { Ok(client.vote(&args.grant, &vote, RETRIES).await?) })?;
    let text = match &request.grant.approval {
        Some(Approval { approved_at: Some(_), .. }) | None => format!("{} · approved", args.grant),
        Some(approval) => {
            format!("{} · {} of {} approvals", args.grant, approval.approved_by.len(), approval.quorum)
        }
    };
    output.line(Mark::Done, "approve", &text);
    Ok(())
}

pub(crate) fn deny(args: &DenyArgs, env: &Env, output: &Output) -> Result<(), CliError> {
    let client = Client::new(&settings::for_operator(env)?)?;
    block_on(async {
        let request = client.request(&args.grant, RETRIES).await?;
        let because = Some(args.because.clone());
        let vote = Vote { digest: digest_of(&request)?, choice: Choice::Deny, because };
        client.vote(&args.grant, &vote, RETRIES).await?;
        Ok(())
    })?;
    output.line(Mark::Done, "deny", &format!("{} · denied", args.grant));
    Ok(())
}

async fn all(client: &Client) -> Result<Vec<ApprovalRequest>, CliError> {
    let mut requests = Vec::new();
    let mut after: Option<GrantId> = None;
    loop {
        let page = client.requests(after.as_ref(), RETRIES).await?;
        requests.extend(page.requests);
        match page.next {
            Some(next) if after.as_ref() != Some(&next) => after = Some(next),
            Some(_) | None => return Ok(requests),
        }
    }
}

fn digest_of(request: &ApprovalRequest) -> Result<String, CliError> {
    let approval = request.grant.approval.as_ref();
    approval
        .map(|approval| approval.digest.clone())
        .ok_or_else(|| CliError::unexpected(format!("the broker sends no digest of `{}`", request.grant.id)))
}

fn is_confirmed(output: &Output) -> Result<bool, CliError> {
    output.line(Mark::Waiting, "approve", "type y to approve it, anything else to leave it");
    let answer = line_of_input(LONGEST_ANSWER)
        .map_err(|error| CliError::unexpected(format!("the answer cannot be read: {error}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn table(requests: &[ApprovalRequest]) -> String {
    let widest = requests.iter().map(|request| request.grant.agent_id.as_str().len()).max().unwrap_or(0);
    let mut text = String::new();
    for ApprovalRequest { grant, .. } in requests {
        let policies: Vec<&str> = grant.policies.iter().map(PolicyName::as_str).collect();
        let _ = writeln!(
            text,
            "{}  {:<widest$}  {}  {}  {}  {}",
            grant.id,
            grant.agent_id.as_str(),
            votes(grant),
            grant.ttl,
            printable(&policies.join(",")),
            printable(grant.provenance.signed.repository.as_deref().unwrap_or("-")),
        );
    }
    text
}

fn votes(grant: &Grant) -> String {
    match &grant.approval {
        Some(Approval { approved_at: Some(_), .. }) => "approved".to_owned(),
        Some(approval) => format!("{}/{}", approval.approved_by.len(), approval.quorum),
        None => "-".to_owned(),
    }
}

/// Everything that is to be approved.
fn whole(request: &ApprovalRequest) -> String {
    let grant = &request.grant;
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<12} {}", printable(value));
    };
    line("request", grant.id.as_str());
    line("status", grant.status.as_str());
    line("agent", grant.agent_id.as_str());
    line("target", &grant.scope);
    for policy in &request.policies {
        line("policy", &format!("{} ({} sensitivity)", policy.name, policy.sensitivity));
        line(
            "  permits",
            policy.meaning.as_deref().unwrap_or("nothing: the boundary does not have it any more"),
        );
    }
    line("for", &grant.ttl.to_string());
    if let Some(reason) = &grant.reason {
        line("reason", &format!("{reason} (as the client reports it)"));
    }
    line("trust", grant.provenance.trust.as_str());
    for (name, fact) in grant.provenance.signed.iter() {
        line(&format!("  {name}"), fact);
    }
    for (name, fact) in grant.provenance.claimed.iter() {
        line(&format!("  {name}"), &format!("{fact} (as the client reports it)"));
    }
    if let Some(approval) = &grant.approval {
        if !approval.rules.is_empty() {
            line("asked by", &approval.rules.join(", "));
        }
        for hint in &request.hints {
            line("hint", hint);
        }
        line("needs", &format!("{} of {} approvals", approval.approved_by.len(), approval.quorum));
        for approver in &approval.approved_by {
            let mut text = format!("{} at {}", approver.person.shown(), approver.at);
            if let Some(standing) = &approver.standing_approval {
                let _ = write!(text, ", in advance by {standing}");
            }
            line("  approved", &text);
        }
        if let Some(until) = approval.until {
            line("until", &until.to_string());
        }
        line("digest", &approval.digest);
    }
    text
}
