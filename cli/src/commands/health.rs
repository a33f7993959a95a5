//! `health`: what an operator should look at.

use std::fmt::Write as _;

use jit_client::{Client, Env};
use protocol::health::{Health, Reconciled};
use protocol::printable::printable;

use super::{RETRIES, block_on};
use crate::args::{Shown, View};
use crate::error::CliError;
use crate::output::Output;
use crate::settings;

pub(crate) fn show(shown: Shown, env: &Env, output: &mut Output) -> Result<(), CliError> {
    let client = Client::new(&settings::for_operator(env)?)?;
    let health = block_on(async { Ok::<_, CliError>(client.health(RETRIES).await?) })?;
    match shown.output {
        View::Json => output.json(&health),
        View::Text => output.data(&text(&health)),
    }
}

fn text(health: &Health) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<14}{}", printable(value));
    };
    line("broker", health.not_ready.as_deref().unwrap_or("ready"));
    if health.rules_folder_refused {
        line("rules", "the folder is refused, and the rules before it decide");
    }
    if health.reload_failures > 0 {
        line("reload", &format!("{} files could not be reloaded", health.reload_failures));
    }
    let grants = health.grants.iter().filter(|(_, count)| **count > 0);
    let grants: Vec<String> = grants.map(|(status, count)| format!("{count} {status}")).collect();
    line("grants", &grants.join(", "));
    for grant in &health.stuck {
        line("stuck", &format!("{} · {} · deadline {}", grant.id, grant.status.as_str(), grant.expires_at));
    }
    match &health.reconciled {
        None => line("targets", "not compared with the database yet"),
        Some(Reconciled { at, found }) => {
            let counts = format!("{} orphans, {} with drift", found.orphans.len(), found.drift.len());
            let unread = match found.not_looked_at {
                0 => String::new(),
                places => format!(", {places} places could not be read"),
            };
            line("targets", &format!("compared at {at}: {} objects, {counts}{unread}", found.found));
            for orphan in &found.orphans {
                line("orphan", &format!("{} · {} · {}", orphan.object, orphan.grant_id, orphan.detail));
            }
            for drift in &found.drift {
                line("drift", &format!("{} · {}", drift.grant_id, drift.what));
            }
        }
    }
    let notifications = &health.notifications;
    let since = notifications.late_since.map(|since| format!(" since {since}")).unwrap_or_default();
    line("notifications", &format!("{} late{since}, {} given up", notifications.late, notifications.dead));
    text
}
