//! `agent`: registers, shows and disables agents, and rotates their auth tokens.

use std::fmt::Write as _;
use std::path::Path;

use jit_client::{Client, Env, IfRegistered};
use protocol::Secret;
use protocol::agents::{Agent, CheckRegistration, Outcome, RegistrationChecked, TrustRefused};
use protocol::printable::printable;

use super::input::text;
use super::{RETRIES, block_on};
use crate::args::{AgentCommand, Masks, Shown, View};
use crate::error::CliError;
use crate::mask::Masking;
use crate::output::{Mark, Output};
use crate::settings;

pub(crate) fn run(command: AgentCommand, env: &Env, output: &mut Output) -> Result<(), CliError> {
    let client = Client::new(&settings::for_operator(env)?)?;
    let masking = Masking::of(env);
    block_on(async {
        match command {
            AgentCommand::Apply { file, create_only, shown } => {
                let existing = if create_only { IfRegistered::Refuse } else { IfRegistered::Replace };
                apply(&client, &file, existing, shown, masking, output).await
            }
            AgentCommand::Check { file, token_file, grant, shown } => {
                let token = token_file.map(|file| text(&file, "token")).transpose()?;
                let request = CheckRegistration {
                    registration: text(&file, "registration")?,
                    token: token.map(|token| Secret::new(token.trim())),
                    grant,
                };
                let checked = client.check_registration(&request, RETRIES).await?;
                report(&checked, shown, output)
            }
            AgentCommand::List { shown } => list(&client, shown, output).await,
            AgentCommand::Show { agent, shown } => {
                let agent = client.agent(&agent.id, RETRIES).await?;
                match shown.output {
                    View::Json => output.json(&agent),
                    View::Text => output.data(&details(&agent)),
                }
            }
            AgentCommand::Disable { agent, shown } => {
                let disabled = client.disable(&agent.id, RETRIES).await?;
                let text = format!("{} · {} live grants are being ended", agent.id, disabled.grants_ending);
                output.line(Mark::Done, "disable", &text);
                json_if_asked(shown, &disabled, output)
            }
            AgentCommand::Enable { agent, shown } => {
                let enabled = client.enable(&agent.id, RETRIES).await?;
                output.line(Mark::Done, "enable", agent.id.as_str());
                json_if_asked(shown, &enabled, output)
            }
            AgentCommand::RotateToken { agent, overlap, shown } => {
                let rotated = client.rotate_token(&agent.id, overlap, RETRIES).await?;
                masking.register(&[&rotated.auth_token], Masks::Stderr, output)?;
                let text = format!("{} · old tokens until {}", agent.id, rotated.previous_expire_at);
                output.line(Mark::Done, "rotate", &text);
                match shown.output {
                    View::Json => output.json(&rotated),
                    View::Text => show_once(&rotated.auth_token, output),
                }
            }
            AgentCommand::RevokeToken { agent, token } => {
                // A whole token here would already be a secret on argv: at least it is not repeated.
                let well_formed = token.len() == 12 && token.bytes().all(|b| b.is_ascii_hexdigit());
                if !well_formed {
                    return Err(CliError::usage(
                        "TOKEN_ID: expected the 12 hexadecimal digits after `cjat_`",
                    )
                    .with_hint("`cloudanix-jit agent show ID` lists them"));
                }
                client.revoke_token(&agent.id, &token, RETRIES).await?;
                output.line(Mark::Done, "revoke", &format!("{} · token {token}", agent.id));
                Ok(())
            }
        }
    })
}

async fn apply(
    client: &Client,
    file: &Path,
    existing: IfRegistered,
    shown: Shown,
    masking: Masking,
    output: &mut Output,
) -> Result<(), CliError> {
    let applied = client.apply(&text(file, "registration")?, existing, RETRIES).await?;
    if let Some(token) = &applied.auth_token {
        masking.register(&[token], Masks::Stderr, output)?;
    }
    let outcome = match applied.outcome {
        Outcome::Created => "registered",
        Outcome::Updated => "changed",
        Outcome::Unchanged => "unchanged",
    };
    output.line(Mark::Done, "apply", &format!("{} · {outcome}", applied.agent_id));
    for warning in &applied.warnings {
        output.line(Mark::Warning, "apply", warning);
    }
    match (shown.output, &applied.auth_token) {
        (View::Json, _) => output.json(&applied),
        (View::Text, Some(token)) => show_once(token, output),
        (View::Text, None) => Ok(()),
    }
}

fn report(checked: &RegistrationChecked, shown: Shown, output: &mut Output) -> Result<(), CliError> {
    let state = if checked.exists { "replaces a registration" } else { "a new agent" };
    output.line(Mark::Done, "check", &format!("{} · can be applied · {state}", checked.agent_id));
    if checked.from_file {
        output.line(
            Mark::Warning,
            "check",
            "a file in the broker's folder of registrations replaces it again",
        );
    }
    for warning in &checked.warnings {
        output.line(Mark::Warning, "check", warning);
    }
    if let View::Json = shown.output {
        output.json(checked)?;
    }
    let Some(trial) = &checked.trial else { return Ok(()) };
    if let View::Text = shown.output {
        let claims = trial.claims.iter();
        let lines = claims.map(|(name, value)| format!("{} = {}\n", printable(name), printable(value)));
        output.data(&lines.collect::<String>())?;
    }
    for (n, refused) in trial.rules.iter().enumerate() {
        match refused {
            None => output.line(Mark::Done, "trust", &format!("trust[{n}] accepts these claims")),
            Some(refused) => trust_refused(&format!("trust[{n}]"), refused, output),
        }
    }
    if let Some(refused) = &trial.token {
        trust_refused("the token", refused, output);
    }
    match trial.has_a_rule_that_accepts() {
        true => Ok(()),
        false => Err(CliError::TrustRefused { rules: trial.rules.len() }),
    }
}

fn trust_refused(what: &str, refused: &TrustRefused, output: &Output) {
    output.line(Mark::Warning, "trust", &format!("{what}: {}", refused.detail));
    if let Some(hint) = &refused.hint {
        output.hint(hint);
    }
}

fn show_once(token: &Secret, output: &mut Output) -> Result<(), CliError> {
    output
        .hint("this auth token is shown once; store it as `CLOUDANIX_AUTH_TOKEN` in the secrets of your CI");
    output.data(&format!("{}\n", token.reveal()))
}

fn json_if_asked<T: serde::Serialize>(shown: Shown, value: &T, output: &mut Output) -> Result<(), CliError> {
    match shown.output {
        View::Json => output.json(value),
        View::Text => Ok(()),
    }
}

async fn list(client: &Client, shown: Shown, output: &mut Output) -> Result<(), CliError> {
    let mut agents: Vec<Agent> = Vec::new();
    let mut after = None;
    loop {
        let page = client.agents(after.as_ref(), RETRIES).await?;
        agents.extend(page.agents);
        match page.next {
            Some(next) if after.as_ref() != Some(&next) => after = Some(next),
            Some(_) | None => break,
        }
    }
    match shown.output {
        View::Json => output.json(&agents),
        View::Text => {
            let width = agents.iter().map(|agent| agent.id.as_str().len()).max().unwrap_or(0);
            let mut text = String::new();
            for agent in &agents {
                let _ = writeln!(
                    text,
                    "{:<width$}  {:<8}  {:<10}  up to {:<4}  {}",
                    agent.id.as_str(),
                    agent.status.as_str(),
                    printable(&agent.targets.join(", ")),
                    agent.max_session.to_string(),
                    printable(&agent.description),
                );
            }
            output.data(&text)
        }
    }
}

fn details(agent: &Agent) -> String {
    let mut text = format!(
        "agent     {}\nstatus    {}\ntarget    {}\nsession   up to {}\ncreated   {}\nupdated   {}\n",
        agent.id,
        agent.status.as_str(),
        printable(&agent.targets.join(", ")),
        agent.max_session,
        agent.created_at,
        agent.updated_at,
    );
    if agent.from_file {
        text.push_str("source    a file in the broker's folder of registrations\n");
    }
    for token in &agent.tokens {
        let until = token.expires_at.map(|at| format!(", until {at}")).unwrap_or_default();
        let _ = writeln!(text, "token     {} · made {}{until}", printable(&token.id), token.created_at);
    }
    text.push_str("\n# the registration, as applied\n");
    for line in agent.registration.lines() {
        text.push_str(&printable(line));
        text.push('\n');
    }
    text
}
