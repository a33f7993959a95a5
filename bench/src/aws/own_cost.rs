//! Measures the broker's own share of a request: the time in which no AWS call is in flight.

use std::time::Instant;

use anyhow::{Context, Result};
use system_tests::aws::fixture::{AwsFixture, Mode};
use system_tests::aws::ministack::Ministack;
use system_tests::fixture::{Agent, new_key};

use super::proxy::Proxy;
use super::{fixture, name};
use crate::Effort;
use crate::connection::Connection;
use crate::figures::{Figure, Report, Samples, Target, millis};

/// Upper bound of the broker's own time per request, in milliseconds where a call of the emulator takes [`PACE`]. Hosts
/// differ by more than a factor of two in one month, and the emulator's calls go with them.
const LIMIT: f64 = 3.0;
/// Milliseconds of a call of the emulator on the machine for which the limit was set.
const PACE: f64 = 0.9;
/// Upper bound from the revoke request to the first reverting AWS call, in milliseconds.
const UNDO_WITHIN: f64 = 5.0;
/// A session role has room for about twenty session-deny policies until the first one can be swept.
const PAIRS_OF_A_STAGE: usize = 12;
/// Enough transactions for SQLite to restart its write-ahead log.
const FIRST_GRANTS: usize = 150;

/// One request: how long the client waited, and how much of that AWS took.
#[derive(Default)]
struct Cost {
    own: Samples,
    cloud: Samples,
    calls: Samples,
    /// From the request to its first AWS call.
    until: Samples,
}

impl Cost {
    /// How long a call of the emulator takes.
    fn call(&self) -> f64 {
        self.cloud.median() / self.calls.median()
    }

    fn add(&mut self, proxy: &Proxy, from: Instant, to: Instant) {
        let cloud = proxy.at_work(from, to);
        self.own.push(millis(to.saturating_duration_since(from).saturating_sub(cloud)));
        self.cloud.push(millis(cloud));
        self.calls.push(proxy.calls(from, to) as f64);
        let until = proxy.first_call(from, to).map(|begin| begin.saturating_duration_since(from));
        self.until.extend(until.into_iter().map(millis).collect());
    }
}

pub(super) fn measure(
    emulator: &Ministack,
    proxy: &Proxy,
    effort: Effort,
    report: &mut Report,
) -> Result<()> {
    let mut costs: Vec<_> = Mode::ALL.iter().map(|mode| (*mode, Cost::default(), Cost::default())).collect();
    // Alternates between the modes, so that a slow moment of the machine affects every mode.
    for _ in 0..effort.pick(8, 1) {
        for (mode, elevate, revoke) in &mut costs {
            pairs(emulator, proxy, *mode, effort.pick(PAIRS_OF_A_STAGE, 1), elevate, revoke)?;
        }
    }
    for (mode, elevate, revoke) in costs {
        report.figure(&Figure {
            claim: &format!(
                "{}: from the request to revoke to the first call, against 5 ms (p99)",
                name(mode)
            ),
            ratio: revoke.until.percentile(99) / UNDO_WITHIN,
            target: Target::AtMost(1.0),
            ours: format!("p50 {:.2} ms, p99 {:.2} ms", revoke.until.median(), revoke.until.percentile(99)),
            other: "as the proxy before AWS sees it".to_owned(),
            runs: revoke.until.len(),
        });
        for (what, cost) in [("elevate", elevate), ("revoke", revoke)] {
            report.figure(&Figure {
                claim: &format!(
                    "{}: {what}, the broker's own time against {:.1} calls of the emulator ({LIMIT} ms at {PACE} ms a call; p50)",
                    name(mode),
                    LIMIT / PACE
                ),
                ratio: cost.own.median() / (LIMIT * cost.call() / PACE),
                target: Target::AtMost(1.0),
                ours: format!("p50 {:.2} ms, p99 {:.2} ms", cost.own.median(), cost.own.percentile(99)),
                other: format!(
                    "AWS at work for {:.1} ms, {} calls (p50)",
                    cost.cloud.median(),
                    cost.calls.median()
                ),
                runs: cost.own.len(),
            });
        }
    }
    Ok(())
}

/// Uses an account and a broker of its own.
fn pairs(
    emulator: &Ministack,
    proxy: &Proxy,
    mode: Mode,
    count: usize,
    elevate: &mut Cost,
    revoke: &mut Cost,
) -> Result<()> {
    let fixture = fixture(emulator, proxy);
    let agent = fixture.agent(mode);
    let port = fixture.broker.url().rsplit(':').next().context("no port in the broker's URL")?.parse()?;
    let mut connection = Connection::open(port)?;
    lengthen_log(&fixture, &mut connection)?;
    // The first grant fills caches and is not counted: a broker serves more than one grant.
    for turn in 0..=count {
        let begin = Instant::now();
        let grant = ask_for_it(&mut connection, &agent)?;
        let given = Instant::now();
        give_it_back(&mut connection, &agent, &grant)?;
        let taken_back = Instant::now();
        if turn > 0 {
            elevate.add(proxy, begin, given);
            revoke.add(proxy, given, taken_back);
        }
    }
    Ok(())
}

/// Warms up the database: the write-ahead log grows during the first transactions, which is slower than the reuse of
/// its pages later.
fn lengthen_log(fixture: &AwsFixture<'_>, connection: &mut Connection) -> Result<()> {
    let registration = "id = \"first-agent\"\nuse_case = \"other\"\nmax_session = \"1h\"\n\
        [dangerous]\nallow_auth_token_only = true\n\
        [boundary]\ntarget = \"token\"\npolicies = { \"ecs-read\" = \"ecs:read\" }\n";
    let auth_token = fixture.broker.register(registration);
    let agent = Agent { id: "first-agent".to_owned(), auth_token };
    for _ in 0..FIRST_GRANTS {
        ask_for_it(connection, &agent)?;
    }
    Ok(())
}

/// Returns the grant's id.
pub(super) fn ask_for_it(connection: &mut Connection, agent: &Agent) -> Result<String> {
    let head = format!(
        "POST /v2/agentic/jit HTTP/1.1\r\nAuthorization: Bearer {}\r\nIdempotency-Key: {}\r\n\
         Content-Type: application/json\r\n",
        agent.auth_token,
        new_key()
    );
    let body = format!("{{\"agent_id\":\"{}\",\"policies\":[\"ecs-read\"],\"ttl\":\"15m\"}}", agent.id);
    let answer = connection.ask(&head, &body, "201")?;
    let id = answer.split_once("\"id\":\"").and_then(|(_, rest)| rest.split('"').next());
    Ok(id.context("no id in the response to elevate")?.to_owned())
}

pub(super) fn give_it_back(connection: &mut Connection, agent: &Agent, grant: &str) -> Result<()> {
    let head = format!(
        "DELETE /v2/agentic/jit/{grant}?cause=exit:0 HTTP/1.1\r\nAuthorization: Bearer {}\r\n",
        agent.auth_token
    );
    // The grant has ended; verification runs later.
    connection.ask(&head, "", "202")?;
    Ok(())
}
