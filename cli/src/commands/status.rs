//! `status`: the state of a grant, its deadline, and who enforces it.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use jit_client::{Client, Env, RetryPolicy, system_clock};
use protocol::printable::printable;
use protocol::{EnforcedBy, Grant, PolicyName, Timestamp};

use super::block_on;
use crate::args::{StatusArgs, View};
use crate::error::CliError;
use crate::handle::Handle;
use crate::output::Output;
use crate::settings;

const TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) fn run(args: StatusArgs, env: &Env, output: &mut Output) -> Result<(), CliError> {
    let of_the_handle = || match env.get("CLOUDANIX_STATE").map(|path| Handle::open(Path::new(path))) {
        Some(handle) => handle.map(|handle| handle.and_then(|handle| handle.record.grant_id)),
        None => Ok(None),
    };
    let id = match args.grant {
        Some(id) => Some(id),
        None => match super::grant_of_the_environment(env)? {
            Some(id) => Some(id),
            None => of_the_handle()?,
        },
    };
    let id = id.ok_or_else(|| {
        CliError::usage("no grant is named: expected GRANT_ID, or `CLOUDANIX_GRANT_ID` in the environment")
    })?;
    let client = Client::new(&settings::for_reader(env)?)?;
    let grant = block_on(async { Ok(client.grant(&id, RetryPolicy::within(TIMEOUT)).await?) })?;
    match args.output {
        View::Json => output.json(&grant),
        View::Text => output.data(&text(&grant, system_clock())),
    }
}

fn text(grant: &Grant, now: Timestamp) -> String {
    let policies: Vec<&str> = grant.policies.iter().map(PolicyName::as_str).collect();
    let mut text = String::new();
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<9} {}", printable(value));
    };
    row("grant", grant.id.as_str());
    row("status", grant.status.as_str());
    row("agent", grant.agent_id.as_str());
    row("policies", &policies.join(", "));
    if grant.scope == grant.target {
        row("target", &grant.target);
    } else {
        row("target", &format!("{} ({})", grant.scope, grant.target));
    }
    match grant.ended_at {
        Some(ended_at) => row("ended", &ended_at.to_string()),
        None => row("deadline", &format!("{} ({})", grant.expires_at, distance(now, grant.expires_at))),
    }
    row(
        "enforced",
        match grant.enforced_by {
            EnforcedBy::Cloud => {
                "by the target itself: access ends at the deadline even if every broker is dead"
            }
            EnforcedBy::Broker => "by the broker",
        },
    );
    if let Some(seconds) = grant.heartbeat_seconds {
        row(
            "lease",
            &format!(
                "a heartbeat every {seconds}s; revoked after {}s without one",
                seconds.saturating_mul(3)
            ),
        );
    }
    if let Some(reason) = &grant.end_reason {
        row("because", reason);
    }
    text
}

fn distance(now: Timestamp, then: Timestamp) -> String {
    let secs = then.since(now).as_secs();
    match secs {
        0 => "over".to_owned(),
        1..60 => format!("in {secs}s"),
        _ => format!("in {}m {}s", secs / 60, secs % 60),
    }
}
