//! `notifications`: which messages about requests that wait were sent, and which were not.

use std::fmt::Write as _;

use jit_client::{Client, Env};
use protocol::NotificationId;
use protocol::notifications::{Notification, NotificationStatus};
use protocol::printable::printable;

use super::{RETRIES, block_on};
use crate::args::{NotificationsArgs, View};
use crate::error::CliError;
use crate::output::{Mark, Output};
use crate::settings;

pub(crate) fn list(args: &NotificationsArgs, env: &Env, output: &mut Output) -> Result<(), CliError> {
    let client = Client::new(&settings::for_operator(env)?)?;
    let found = block_on(all(&client, args.status.map(NotificationStatus::from)))?;
    match args.shown.output {
        View::Json => output.json(&found),
        View::Text if found.is_empty() => {
            output.line(Mark::Done, "notifications", "none");
            Ok(())
        }
        View::Text => output.data(&table(&found)),
    }
}

async fn all(client: &Client, status: Option<NotificationStatus>) -> Result<Vec<Notification>, CliError> {
    let mut found = Vec::new();
    let mut after: Option<NotificationId> = None;
    loop {
        let page = client.notifications(status, after.as_ref(), RETRIES).await?;
        found.extend(page.notifications);
        match page.next {
            Some(next) if after.as_ref() != Some(&next) => after = Some(next),
            Some(_) | None => return Ok(found),
        }
    }
}

fn table(found: &[Notification]) -> String {
    let widest = |text: fn(&Notification) -> &str| found.iter().map(|one| text(one).len()).max().unwrap_or(0);
    let agent = widest(|one| one.agent_id.as_str());
    let channel = widest(|one| one.channel.as_str());
    let kind = widest(|one| one.kind.as_str());
    let mut text = String::new();
    for one in found {
        let requests = if one.requests.len() == 1 { "request" } else { "requests" };
        let _ = write!(
            text,
            "{}  {:<10}  {:<channel$}  {:<kind$}  {:<agent$}  {} {requests}",
            one.id,
            one.status.as_str(),
            one.channel.as_str(),
            one.kind.as_str(),
            one.agent_id.as_str(),
            one.requests.len(),
        );
        if let Some(at) = one.next_attempt_at {
            let _ = write!(text, "  due {at}");
        }
        if let Some(error) = &one.last_error {
            let _ = write!(text, "  {} attempts: {}", one.attempts, printable(error));
        }
        text.push('\n');
    }
    text
}
