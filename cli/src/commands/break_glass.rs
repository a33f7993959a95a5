//! `break-glass`: the codes that are sealed for an emergency, and the grants that were taken in one.

use std::fmt::Write as _;

use jit_client::{Client, Env};
use protocol::break_glass::{BreakGlass, CodeState, NewCodes, NewReview, SealedCode};
use protocol::printable::printable;
use protocol::{Grant, GrantId, PolicyName};

use super::{RETRIES, block_on};
use crate::args::{BreakGlassCommand, View};
use crate::error::CliError;
use crate::output::{Mark, Output};
use crate::settings;

pub(crate) fn run(command: BreakGlassCommand, env: &Env, output: &mut Output) -> Result<(), CliError> {
    let client = Client::new(&settings::for_operator(env)?)?;
    match command {
        BreakGlassCommand::Seal { agents, count, label, days, shown } => {
            let new = NewCodes { agents, count, label, days };
            let sealed = block_on(async { Ok(client.seal_codes(&new, RETRIES).await?) })?;
            match shown.output {
                View::Json => output.json(&sealed),
                View::Text => {
                    output.data(&codes(&sealed.codes))?;
                    output.hint("print them and lock them away: they are shown only now");
                    Ok(())
                }
            }
        }
        BreakGlassCommand::Codes { shown } => {
            let listed = block_on(async { Ok(client.sealed_codes(RETRIES).await?) })?;
            match shown.output {
                View::Json => output.json(&listed),
                View::Text if listed.codes.is_empty() => {
                    output.line(Mark::Done, "break-glass", "no code is sealed");
                    Ok(())
                }
                View::Text => output.data(&states(&listed.codes)),
            }
        }
        BreakGlassCommand::RevokeCode { id } => {
            block_on(async { Ok(client.revoke_code(&id, RETRIES).await?) })?;
            output.line(Mark::Done, "break-glass", &format!("{id} · revoked"));
            Ok(())
        }
        BreakGlassCommand::List { unreviewed, shown } => {
            let grants = block_on(all(&client, unreviewed))?;
            match shown.output {
                View::Json => output.json(&grants),
                View::Text if grants.is_empty() => {
                    let text = if unreviewed { "none is to be reviewed" } else { "no grant was taken" };
                    output.line(Mark::Done, "break-glass", text);
                    Ok(())
                }
                View::Text => output.data(&table(&grants)),
            }
        }
        BreakGlassCommand::Review { grant, note } => {
            let review = NewReview { note };
            block_on(async { Ok(client.review_break_glass(&grant, &review, RETRIES).await?) })?;
            output.line(Mark::Done, "break-glass", &format!("{grant} · reviewed"));
            Ok(())
        }
    }
}

async fn all(client: &Client, unreviewed: bool) -> Result<Vec<Grant>, CliError> {
    let mut grants = Vec::new();
    let mut after: Option<GrantId> = None;
    loop {
        let page = client.break_glass_grants(unreviewed, after.as_ref(), RETRIES).await?;
        grants.extend(page.grants);
        match page.next {
            Some(next) if after.as_ref() != Some(&next) => after = Some(next),
            Some(_) | None => return Ok(grants),
        }
    }
}

fn codes(sealed: &[SealedCode]) -> String {
    let mut text = String::new();
    for SealedCode { code, state } in sealed {
        let agents = printable(&state.agents.join(","));
        let _ = writeln!(text, "{}  {}  {agents}  until {}", code.reveal(), state.id, state.expires_at);
    }
    text
}

fn states(codes: &[CodeState]) -> String {
    let mut text = String::new();
    for state in codes {
        let _ = writeln!(
            text,
            "{}  {}  {}  until {}  {}",
            state.id,
            if state.used { "used  " } else { "unused" },
            printable(&state.agents.join(",")),
            state.expires_at,
            printable(&state.label),
        );
    }
    text
}

fn table(grants: &[Grant]) -> String {
    let mut text = String::new();
    for grant in grants {
        let policies: Vec<&str> = grant.policies.iter().map(PolicyName::as_str).collect();
        let Some(taken) = &grant.break_glass else { continue };
        let _ = writeln!(
            text,
            "{}  {}  {}  {}  {}  {}  {}  {}",
            grant.id,
            grant.requested_at,
            grant.status.as_str(),
            grant.agent_id,
            printable(&policies.join(",")),
            printable(&taken.incident),
            printable(&taken.by.in_words()),
            review(taken),
        );
    }
    text
}

fn review(taken: &BreakGlass) -> String {
    match (&taken.review, taken.review_until) {
        (Some(review), _) => format!("reviewed by {}", printable(&review.by.in_words())),
        (None, Some(until)) => format!("to be reviewed until {until}"),
        (None, None) => "needs no review".to_owned(),
    }
}
