//! Measures the time from a revoke to the first call that AWS refuses; a probe calls all the time.
//!
//! The same probe runs in a real account, with the broker that the environment names (`bench aws-refused`).

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use system_tests::aws::calls::{Calls, Keys};
use system_tests::aws::fixture::{AwsFixture, Mode, keys_of};
use system_tests::aws::ministack::Ministack;
use system_tests::fixture::Agent;

use super::own_cost::give_it_back;
use super::proxy::Proxy;
use super::{fixture, name};
use crate::Effort;
use crate::connection::Connection;
use crate::figures::{Report, Samples, millis};

/// Longer than AWS takes to become consistent.
const PATIENCE: Duration = Duration::from_secs(120);
/// This many refusals in a row, with no other answer after them, count as revoked.
const ENOUGH: usize = 20;
/// Room for session-deny policies on a session role, see `own_cost`.
const GRANTS_OF_A_STAGE: usize = 12;

/// A call that the grant allows, and the keys for it.
struct Probe<'a> {
    calls: &'a Calls,
    keys: Keys,
    service: &'a str,
    operation: &'a str,
    arguments: Value,
}

impl Probe<'_> {
    fn is_allowed(&self) -> Result<bool> {
        let outcome = self.calls.call(&self.keys, self.service, self.operation, self.arguments.clone());
        ensure!(outcome.is_allowed() || outcome.is_refused(), "expected yes or no, found {outcome:?}");
        Ok(outcome.is_allowed())
    }

    /// Waits until AWS allows the call; in a real account the grant takes time to propagate.
    fn wait_until_allowed(&self) -> Result<()> {
        let begin = Instant::now();
        while !self.is_allowed()? {
            ensure!(begin.elapsed() < PATIENCE, "the grant allows nothing for {PATIENCE:?}");
        }
        Ok(())
    }

    /// Revokes the grant while the probe calls. Returns the milliseconds to the first refused call after which no
    /// call was allowed.
    fn until_refused(&self, revoke: impl FnOnce() -> Result<()>) -> Result<f64> {
        let asked = AtomicBool::new(false);
        thread::scope(|threads| {
            let probing = threads.spawn(|| -> Result<Instant> {
                let (mut first, mut refused) = (None, 0);
                let begin = Instant::now();
                loop {
                    let called = Instant::now();
                    if self.is_allowed()? {
                        (first, refused) = (None, 0);
                    } else {
                        refused += 1;
                        first = first.or(Some(called));
                    }
                    // A refusal before the revoke request is not caused by the revoke.
                    match first {
                        Some(first) if refused >= ENOUGH && asked.load(Ordering::Acquire) => {
                            return Ok(first);
                        }
                        _ if begin.elapsed() > PATIENCE => bail!("still allowed after {PATIENCE:?}"),
                        _ => {}
                    }
                }
            });
            let begin = Instant::now();
            revoke()?;
            asked.store(true, Ordering::Release);
            let refused = match probing.join() {
                Ok(refused) => refused?,
                Err(_) => bail!("the probe panicked"),
            };
            Ok(millis(refused.saturating_duration_since(begin)))
        })
    }
}

pub(super) fn measure(
    emulator: &Ministack,
    proxy: &Proxy,
    effort: Effort,
    report: &mut Report,
) -> Result<()> {
    report.note(
        "from the request to give back to the first call that is refused, by a call every few milliseconds:",
    );
    let calls = emulator.more_calls(&emulator.url());
    for mode in Mode::ALL.iter().copied() {
        let mut took = Samples::default();
        for _ in 0..effort.pick(4, 1) {
            let fixture = fixture(emulator, proxy);
            let agent = fixture.agent(mode);
            let held = match mode {
                Mode::StaticInline | Mode::StaticAttached => Some(fixture.deploy_session()),
                Mode::UserInline | Mode::UserAttached => Some(fixture.account.access_key("deployer")),
                Mode::Session | Mode::Role | Mode::Pod => None,
            };
            for _ in 0..effort.pick(GRANTS_OF_A_STAGE, 1) {
                took.push(once(&fixture, &agent, held.as_ref(), &calls, mode)?);
            }
        }
        report.note(&format!(
            "{}: p50 {:.0} ms, p99 {:.0} ms · {} runs",
            name(mode),
            took.median(),
            took.percentile(99),
            took.len()
        ));
    }
    Ok(())
}

fn once(
    fixture: &AwsFixture<'_>,
    agent: &Agent,
    held: Option<&Keys>,
    calls: &Calls,
    mode: Mode,
) -> Result<f64> {
    let grant = fixture.elevate(agent, "15m");
    ensure!(grant.status == 201, "{}", grant.text);
    let keys = match held {
        Some(keys) => keys.clone(),
        None if mode == Mode::Pod => fixture.pod_session(),
        None => keys_of(&grant),
    };
    let probe = Probe { calls, keys, service: "ecs", operation: "list_clusters", arguments: json!({}) };
    probe.wait_until_allowed()?;
    if mode == Mode::Pod {
        // AWS stores in whole seconds when it issued a session. A session of the current second would be
        // refused only at verification; a pod's session is older.
        thread::sleep(Duration::from_millis(1100));
    }
    let port = fixture.broker.url().rsplit(':').next().context("no port in the broker's URL")?.parse()?;
    let mut connection = Connection::open(port)?;
    probe.until_refused(|| give_it_back(&mut connection, agent, grant.text_at("/id")))
}

/// The caller's broker, agent and keys, from the environment: `CLOUDANIX_…` as `elevate` reads it, and
/// `AWS_…` for modes that issue no keys.
#[derive(clap::Args)]
pub(crate) struct Real {
    /// Policy to request.
    #[arg(long)]
    policy: String,
    /// Longest lifetime of a grant.
    #[arg(long, default_value = "15m")]
    ttl: String,
    /// Service of a call that only the policy allows, as botocore names it.
    #[arg(long, default_value = "ecs")]
    service: String,
    /// Name of that call.
    #[arg(long, default_value = "list_clusters")]
    operation: String,
    /// Arguments of that call, as JSON.
    #[arg(long, default_value = "{}")]
    arguments: String,
    /// Number of grants.
    #[arg(long, default_value_t = 20)]
    runs: usize,
    /// Path of the client.
    #[arg(long, default_value = "cloudanix-jit")]
    client: String,
}

impl Real {
    pub(crate) fn measure(&self) -> Result<()> {
        // Without an endpoint the probe calls AWS itself, in `us-east-1`.
        let calls = Calls::to(&std::env::var("AWS_ENDPOINT_URL").unwrap_or_default());
        let (mut allowed, mut refused) = (Samples::default(), Samples::default());
        let folder = tempfile::tempdir()?;
        for run in 0..self.runs {
            let state = folder.path().join(format!("{run}.json")).display().to_string();
            let grant = self.client(&[
                "elevate",
                "--policy",
                &self.policy,
                "--ttl",
                &self.ttl,
                "--output",
                "json",
                "--state",
                &state,
            ])?;
            let grant: Value = serde_json::from_str(&grant)?;
            let probe = Probe {
                calls: &calls,
                keys: keys(&grant)?,
                service: &self.service,
                operation: &self.operation,
                arguments: serde_json::from_str(&self.arguments).context("`--arguments` is no JSON")?,
            };
            let begin = Instant::now();
            probe.wait_until_allowed()?;
            allowed.push(millis(begin.elapsed()));
            let revoke = || self.client(&["revoke", "--state", &state]).map(drop);
            refused.push(probe.until_refused(revoke)?);
        }
        for (what, took) in [("elevate to allowed", allowed), ("revoke to refused", refused)] {
            println!(
                "{what}: p50 {:.0} ms, p99 {:.0} ms · {} runs",
                took.median(),
                took.percentile(99),
                took.len()
            );
        }
        Ok(())
    }

    fn client(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(&self.client).args(arguments).stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("cannot start `{}`", self.client))?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// The keys of the grant, or else those that the workload has.
fn keys(grant: &Value) -> Result<Keys> {
    let given = |name: &str| grant.pointer(&format!("/credentials/{name}")).and_then(Value::as_str);
    if let (Some(id), Some(secret)) = (given("access_key_id"), given("secret_access_key")) {
        let token = given("session_token").map(str::to_owned);
        return Ok(Keys { id: id.to_owned(), secret: secret.to_owned(), token });
    }
    let held = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    Ok(Keys {
        id: held("AWS_ACCESS_KEY_ID").context("the grant has no keys, and `AWS_ACCESS_KEY_ID` is not set")?,
        secret: held("AWS_SECRET_ACCESS_KEY").context("`AWS_SECRET_ACCESS_KEY` is not set")?,
        token: held("AWS_SESSION_TOKEN"),
    })
}
