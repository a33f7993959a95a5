//! Measures elevations and revokes per second of a broker on PostgreSQL, against `pgbench` with the same statements.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use postgres_for_tests::{PASSWORD, Server, USER};

use super::load::Load;
use super::statements::Script;
use crate::Effort;
use crate::figures::{Figure, Report, Samples, Target};
use crate::fixture::{Broker, Database, Fixture};

pub(crate) fn measure(fixture: &Fixture, effort: Effort, report: &mut Report) -> Result<()> {
    report
        .section("broker on PostgreSQL, target `token`: OIDC token verified, every state committed to disk");
    let server = set_up(Server::start());
    let bare = Bare::beside(fixture, &server)?;
    let url = server.database();
    let broker = fixture.another("postgres", Database::Server { url, password: PASSWORD.to_owned() })?;
    let elevation = fixture.elevation();
    let (rounds, seconds) = effort.pick((7, 3), (1, 1));
    let mut most = 0.0_f64;
    for clients in effort.pick(&[1, 8, 32][..], &[1]) {
        let load = Load { clients: *clients, seconds: f64::from(seconds), pairs_per_second: None };
        load.for_a_moment().put_on(&broker, &elevation)?;
        let (mut rates, mut latencies, mut alone) =
            (Samples::default(), Samples::default(), Samples::default());
        for _ in 0..rounds {
            let put = load.put_on(&broker, &elevation)?;
            rates.push(put.rate);
            latencies.extend(put.millis);
            alone.push(bare.rate(*clients, seconds)?);
        }
        most = most.max(rates.median());
        report.figure(&Figure {
            claim: &format!("{clients} at a time, against pgbench with the same statements"),
            ratio: rates.median() / alone.median(),
            target: Target::AtLeast(0.5),
            ours: format!(
                "{:.0} pairs/s (p50 {:.1} ms, p99 {:.1} ms)",
                rates.median(),
                latencies.median(),
                latencies.percentile(99)
            ),
            other: format!("pgbench {:.0} pairs/s", alone.median()),
            runs: rounds,
        });
    }
    // A checkpoint before each side: neither pays for earlier writes, and both reuse existing log files.
    server.query("postgres", "CHECKPOINT");
    super::half_load(&broker, &elevation, most, effort, report, |rate, seconds| {
        server.query("postgres", "CHECKPOINT");
        let alone = bare.latencies(rate, seconds)?;
        Ok(format!(
            "pgbench at the same pace: p50 {:.1} ms, p99 {:.1} ms",
            alone.median(),
            alone.percentile(99)
        ))
    })
}

/// The settings that docs/book/src/operate/postgresql.md recommends for many brokers.
fn set_up(mut server: Server) -> Server {
    let page = include_str!("../../../docs/book/src/operate/postgresql.md");
    let settings = page.split(';').filter_map(|text| text.rfind("ALTER SYSTEM").map(|at| &text[at..]));
    for setting in settings {
        server.query("postgres", setting);
    }
    server.start_again();
    server
}

/// `pgbench` on a database of its own: a copy of the database whose statements were logged.
struct Bare<'a> {
    server: &'a Server,
    database: String,
    script: PathBuf,
    values: Vec<(String, String)>,
}

impl<'a> Bare<'a> {
    fn beside(fixture: &Fixture, server: &'a Server) -> Result<Self> {
        let url = server.database();
        let name = url.rsplit('/').next().context("a name")?.to_owned();
        server.query("postgres", &format!("ALTER DATABASE {name} SET log_min_duration_statement = 0"));
        let mut broker =
            fixture.another("logged", Database::Server { url, password: PASSWORD.to_owned() })?;
        // The first pair fetches the issuer's keys and prepares statements.
        one_pair(&broker, fixture)?;
        let before = server.log().len();
        let (id, key) = one_pair(&broker, fixture)?;
        let log = server.log();
        let script = Script::of(log.get(before..).unwrap_or_default(), &id, &key)?;
        broker.stop();
        server.query("postgres", &format!("ALTER DATABASE {name} RESET ALL"));
        let path = fixture.folder.path().join("pair.sql");
        fs::write(&path, &script.text)?;
        Ok(Self { server, database: name, script: path, values: script.values })
    }

    /// Pairs per second.
    fn rate(&self, clients: u32, seconds: u32) -> Result<f64> {
        let text = self.run(clients, seconds, &[])?;
        let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next());
        Ok(rate.context("a rate from `pgbench`")?.parse()?)
    }

    /// Milliseconds of each pair, from its scheduled start, at this many pairs per second.
    fn latencies(&self, pairs_per_second: f64, seconds: u32) -> Result<Samples> {
        let folder = tempfile::tempdir()?;
        let log = format!("--log-prefix={}", folder.path().join("pairs").display());
        self.run(32, seconds, &["--log", &log, &format!("--rate={pairs_per_second}")])?;
        let mut samples = Samples::default();
        for entry in fs::read_dir(folder.path())? {
            // Columns: the client, the number of the pair, microseconds, …
            for line in fs::read_to_string(entry?.path())?.lines() {
                let micros: f64 = line.split(' ').nth(2).context("a time in pgbench's log")?.parse()?;
                samples.push(micros / 1000.0);
            }
        }
        Ok(samples)
    }

    fn run(&self, clients: u32, seconds: u32, more: &[&str]) -> Result<String> {
        let mut pgbench = Command::new("pgbench");
        pgbench.env("PGPASSWORD", PASSWORD).stdin(Stdio::null());
        pgbench.args(["--no-vacuum", "--protocol=prepared", "--host=127.0.0.1", "--username", USER]);
        pgbench.args([format!("--port={}", self.server.port()), format!("--client={clients}")]);
        pgbench.args([format!("--time={seconds}"), "--file".to_owned()]).arg(&self.script);
        for (name, value) in &self.values {
            pgbench.arg("--define").arg(format!("{name}={value}"));
        }
        let output = pgbench.args(more).arg(&self.database).output().context("cannot start `pgbench`")?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "pgbench: {text}{}", String::from_utf8_lossy(&output.stderr));
        Ok(text.into_owned())
    }
}

/// Elevates and revokes; returns the grant's id and key.
fn one_pair(broker: &Broker, fixture: &Fixture) -> Result<(String, String)> {
    let key = crate::fixture::new_key();
    let id = super::load::pair(
        &mut crate::connection::Connection::open(broker.port)?,
        broker,
        &fixture.elevation(),
        &key,
    )?;
    Ok((id, key))
}
