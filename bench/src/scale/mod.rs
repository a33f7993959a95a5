//! Measures a broker's start, memory and latency with one to a million grants, on SQLite and on PostgreSQL.

pub(crate) mod fill;
mod picture;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use postgres_for_tests::{PASSWORD, Server};
use protocol::Timestamp;

use self::fill::Copies;
use self::picture::Row;
use crate::broker::load::{elevate, pair};
use crate::connection::Connection;
use crate::figures::{Figure, Report, Samples, Target, interleaved, millis, timed};
use crate::fixture::{Broker, Database, Fixture, POLICY, new_key};
use crate::{Effort, clock, proc_files};

const READY_WITHIN: f64 = 1000.0;
const MEMORY: f64 = 150.0;
/// This many grants end at the same moment, and must be revoked within this time.
const AT_ONCE: u64 = 10_000;
const GONE_WITHIN: f64 = 10_000.0;

pub(crate) fn measure(
    fixture: &Fixture,
    effort: Effort,
    report: &mut Report,
    picture: Option<&Path>,
) -> Result<()> {
    let server = Server::start();
    let mut all = Vec::new();
    for (name, server) in [("SQLite", None), ("PostgreSQL", Some(&server))] {
        report.section(&format!("{name}: live grants, from one to a million"));
        let mut rows = Vec::new();
        for size in effort.pick(&[1, 1_000, 100_000, 1_000_000][..], &[1, 50]) {
            let mut stand = Stand::with(fixture, name, *size, server)?;
            rows.push(stand.row(effort, report)?);
            if rows.len() == effort.pick(4, 2) {
                stand.the_clients_view(fixture, effort, report)?;
                stand.many_at_once(effort, report)?;
            }
        }
        all.push((name, rows));
    }
    if let Some(path) = picture {
        std::fs::write(path, picture::draw(&all))?;
    }
    Ok(())
}

/// A broker with this many live grants.
struct Stand<'a> {
    broker: Broker,
    server: Option<&'a Server>,
    size: u64,
    pattern: String,
    elevation: String,
}

impl<'a> Stand<'a> {
    fn with(fixture: &Fixture, name: &str, size: u64, server: Option<&'a Server>) -> Result<Self> {
        let name = format!("{name}-{size}");
        let database = match server {
            None => Database::File(fixture.folder.path().join(format!("{name}.db"))),
            Some(server) => Database::Server { url: server.database(), password: PASSWORD.to_owned() },
        };
        let mut broker = fixture.another(&name, database)?;
        let mut connection = Connection::open(broker.port)?;
        let pattern = elevate(&mut connection, &broker, &fixture.long_elevation(), &new_key())?;
        broker.stop();
        Copies { of: &pattern, count: size - 1, first: 1, deadline: None }.make(&broker.database, server)?;
        Ok(Self { broker, server, size, pattern, elevation: fixture.elevation() })
    }

    fn row(&mut self, effort: Effort, report: &mut Report) -> Result<Row> {
        let broker = &mut self.broker;
        let (mut starts, mut memory) = (Samples::default(), Samples::default());
        for _ in 0..effort.pick(5, 1) {
            starts.push(millis(broker.start_again()?));
            memory.push(proc_files::peak_memory(broker.pid()?).context("a running broker")? / 1000.0);
        }
        let mut connection = Connection::open(broker.port)?;
        let mut pairs = Samples::default();
        for _ in 0..effort.pick(500, 3) {
            let begin = Instant::now();
            pair(&mut connection, broker, &self.elevation, &new_key())?;
            pairs.push(millis(begin.elapsed()));
        }
        let peak = proc_files::peak_memory(broker.pid()?).context("a running broker")? / 1000.0;
        let row = Row { size: self.size, start: starts.median(), memory: peak, pair: pairs.median() };
        report.figure(&Figure {
            claim: &format!("{} grants: from the start of the process to ready, against a second", self.size),
            ratio: row.start / READY_WITHIN,
            target: Target::AtMost(1.0),
            ours: format!("{:.0} ms", row.start),
            other: format!("elevate and revoke then take {:.2} ms (p50)", row.pair),
            runs: starts.len(),
        });
        report.figure(&Figure {
            claim: &format!("{} grants: peak memory, against {MEMORY} MB", self.size),
            ratio: row.memory / MEMORY,
            target: Target::AtMost(1.0),
            ours: format!("{:.1} MB when ready, {:.1} MB after the pairs", memory.median(), row.memory),
            other: "resident".to_owned(),
            runs: 1,
        });
        Ok(row)
    }

    /// A run of the client, compared with one at an empty broker.
    fn the_clients_view(&self, fixture: &Fixture, effort: Effort, report: &mut Report) -> Result<()> {
        let name = if self.server.is_some() { "empty-postgres" } else { "empty-sqlite" };
        let empty = match self.server {
            None => Database::File(fixture.folder.path().join("empty.db")),
            Some(server) => Database::Server { url: server.database(), password: PASSWORD.to_owned() },
        };
        let empty = fixture.another(name, empty)?;
        let run = |broker: &Broker| {
            let step = ["run", "--policy", POLICY, "--ttl", "15m", "--", "true"];
            crate::client::succeed(&mut fixture.client_of(broker, &step))
        };
        let runs = effort.pick(200, 2);
        let both = interleaved(runs, || timed(|| run(&self.broker)), || timed(|| run(&empty)))?;
        report.figure(&Figure {
            claim: &format!("`run -- true` against a broker with {} grants and one with none", self.size),
            ratio: both.ratio(),
            target: Target::AtMost(1.1),
            ours: format!("{:.1} ms", both.ours.median()),
            other: format!("{:.1} ms", both.other.median()),
            runs,
        });
        Ok(())
    }

    /// Beside all other grants, this many reach their deadline at the same moment.
    fn many_at_once(&mut self, effort: Effort, report: &mut Report) -> Result<()> {
        let broker = &mut self.broker;
        let count = effort.pick(AT_ONCE, 20);
        broker.stop();
        // Leaves time to create the grants and to start the broker.
        let ahead = effort.pick(Duration::from_secs(30), Duration::from_secs(6));
        let deadline = Timestamp::from_millis(i64::try_from((clock::wall() + ahead).as_millis())?);
        Copies { of: &self.pattern, count, first: 1 << 40, deadline: Some(deadline) }
            .make(&broker.database, self.server)?;
        broker.start_again()?;
        let before = active(broker)?;
        let due = Duration::from_millis(u64::try_from(deadline.as_millis())?);
        thread::sleep(due.saturating_sub(clock::wall()));
        while active(broker)? + count > before {
            thread::sleep(Duration::from_millis(10));
        }
        let took = millis(clock::wall().saturating_sub(due));
        report.figure(&Figure {
            claim: &format!("{count} grants due at the same moment: until the last is revoked, against 10 s"),
            ratio: took / GONE_WITHIN,
            target: Target::AtMost(1.0),
            ours: format!("{took:.0} ms, {:.0} a second", count as f64 / took * 1000.0),
            other: "target `token`, which takes no time of its own".to_owned(),
            runs: 1,
        });
        Ok(())
    }
}

/// How many grants are active, by the broker's metrics.
pub(crate) fn active(broker: &Broker) -> Result<u64> {
    let mut connection = Connection::open(broker.port)?;
    let metrics = connection.ask("GET /metrics HTTP/1.1\r\n", "", "200")?;
    let count =
        metrics.lines().find_map(|line| line.strip_prefix("cloudanix_jit_grants{status=\"active\"} "));
    Ok(count.context("no count of active grants in the metrics")?.parse()?)
}
