//! `grants`: lists every agent's grants, and revokes them.

use std::fmt::Write as _;
use std::time::Duration;

use jit_client::{Client, Env, RetryPolicy, Revoked};
use protocol::printable::printable;
use protocol::{AgentId, Grant, GrantId, GrantQuery, GrantsIn, PolicyName, Ttl};
use tokio::time::Instant;

use super::{RETRIES, block_on, revoke};
use crate::args::{GrantsCommand, View};
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::{Mark, Output};
use crate::settings;

pub(crate) fn run(command: GrantsCommand, env: &Env, output: &mut Output) -> Result<(), CliError> {
    let client = Client::new(&settings::for_operator(env)?)?;
    block_on(async {
        match command {
            GrantsCommand::List { filter, shown } => {
                let grants = all(&client, filter.into()).await?;
                match shown.output {
                    View::Json => output.json(&grants),
                    View::Text => output.data(&table(&grants)),
                }
            }
            GrantsCommand::Revoke { grants, agent, because, timeout } => {
                let ids = match &agent {
                    None => grants,
                    Some(agent) => live_of(&client, agent, output).await?,
                };
                end(&client, ids, because.as_deref(), timeout, output).await
            }
        }
    })
}

async fn all(client: &Client, mut query: GrantQuery) -> Result<Vec<Grant>, CliError> {
    let mut grants = Vec::new();
    loop {
        let page = client.grants(&query, RETRIES).await?;
        grants.extend(page.grants);
        match page.next {
            Some(next) if query.after.as_ref() != Some(&next) => query.after = Some(next),
            Some(_) | None => return Ok(grants),
        }
    }
}

async fn live_of(client: &Client, agent: &AgentId, output: &Output) -> Result<Vec<GrantId>, CliError> {
    // An agent that is not registered has no grants either: a mistyped id must not look like a success.
    client.agent(agent, RETRIES).await?;
    let live =
        GrantQuery { state: Some(GrantsIn::Live), agent: Some(agent.clone()), ..GrantQuery::default() };
    let grants = all(client, live).await?;
    if grants.is_empty() {
        output.line(Mark::Done, "revoke", &format!("{agent} has no live grants"));
    }
    Ok(grants.into_iter().map(|grant| grant.id).collect())
}

/// Revokes each grant before it waits for any: a slow target keeps no other grant alive. An interrupted call can be
/// repeated.
async fn end(
    client: &Client,
    ids: Vec<GrantId>,
    because: Option<&str>,
    timeout: Ttl,
    output: &Output,
) -> Result<(), CliError> {
    let (count, mut failed, mut accepted) = (ids.len(), 0, Vec::new());
    for id in ids {
        let policy = RetryPolicy::within(timeout.into());
        let revoked = client.revoke_because(&id, because, policy).await;
        match revoked.map_err(CliError::from) {
            Ok(Revoked::Gone(grant)) => revoke::print_end(&grant, output),
            Ok(Revoked::Accepted(grant)) => accepted.push(*grant),
            Ok(Revoked::NotFound) => {
                failed += 1;
                output.line(Mark::Failed, "revoke", &format!("{id} · the broker knows no such grant"));
            }
            Err(error) if error.exit() == Exit::Unauthenticated => return Err(error),
            Err(error) => {
                failed += 1;
                output.line(Mark::Failed, "revoke", &format!("{id} · {error}"));
            }
        }
    }
    let deadline = Instant::now() + Duration::from(timeout);
    for grant in accepted {
        let id = grant.id.clone();
        match revoke::confirmed(client, grant, deadline).await {
            Ok(grant) => revoke::print_end(&grant, output),
            Err(error) => {
                failed += 1;
                output.line(Mark::Failed, "revoke", &format!("{id} · {error}"));
            }
        }
    }
    if failed == 0 {
        return Ok(());
    }
    Err(CliError::RevokeNotConfirmed { why: format!("{failed} of {count} grants") })
}

fn table(grants: &[Grant]) -> String {
    let widest = |of: fn(&Grant) -> &str| grants.iter().map(|grant| of(grant).len()).max().unwrap_or(0);
    let (status, agent) = (widest(|grant| grant.status.as_str()), widest(|grant| grant.agent_id.as_str()));
    let mut text = String::new();
    for grant in grants {
        let policies: Vec<&str> = grant.policies.iter().map(PolicyName::as_str).collect();
        let _ = writeln!(
            text,
            "{}  {:<status$}  {:<agent$}  {}  {}",
            grant.id,
            grant.status.as_str(),
            grant.agent_id.as_str(),
            times(grant),
            printable(&policies.join(",")),
        );
    }
    text
}

fn times(grant: &Grant) -> String {
    match (&grant.denials, grant.ended_at) {
        (Some(denials), _) => format!("{} times until {}", denials.count, denials.last_at),
        (None, Some(ended)) => format!("ended {ended}"),
        (None, None) => format!("until {}", grant.expires_at),
    }
}
