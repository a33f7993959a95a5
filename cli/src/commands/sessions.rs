//! `sessions`: who is signed in, and the end of a person's sessions.

use std::fmt::Write as _;

use jit_client::{Client, Env};
use protocol::people::OpenSession;
use protocol::printable::printable;

use super::{RETRIES, block_on};
use crate::args::{SessionsCommand, View};
use crate::error::CliError;
use crate::output::{Mark, Output};
use crate::settings;

pub(crate) fn run(command: SessionsCommand, env: &Env, output: &mut Output) -> Result<(), CliError> {
    let client = Client::new(&settings::for_operator(env)?)?;
    match command {
        SessionsCommand::List { shown } => {
            let listed = block_on(async { Ok(client.sessions(RETRIES).await?) })?;
            match shown.output {
                View::Json => output.json(&listed),
                View::Text => output.data(&table(&listed.sessions)),
            }
        }
        SessionsCommand::End { subject } => {
            let done = block_on(async { Ok(client.end_sessions_of(&subject, RETRIES).await?) })?;
            let sessions = if done.ended == 1 { "session" } else { "sessions" };
            output.line(Mark::Done, "sessions", &format!("{} {sessions} ended", done.ended));
            Ok(())
        }
    }
}

fn table(sessions: &[OpenSession]) -> String {
    let rows: Vec<[String; 2]> = sessions
        .iter()
        .map(|session| [printable(&session.person.subject), printable(session.person.shown())])
        .collect();
    let widest = |n: usize| {
        rows.iter().filter_map(|row| row.get(n)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let (subject_width, name_width) = (widest(0), widest(1));
    let mut text = String::new();
    for (session, [subject, name]) in sessions.iter().zip(&rows) {
        let _ = writeln!(
            text,
            "{subject:<subject_width$}  {name:<name_width$}  used {}  ends {}  {}",
            session.last_used_at,
            session.ends_at,
            printable(&session.groups.join(",")),
        );
    }
    text
}
