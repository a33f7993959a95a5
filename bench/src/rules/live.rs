//! Measures how soon a change of posture revokes live grants, and how soon a change of the rules decides all again.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use protocol::Timestamp;
use serde_json::json;

use super::table::{HEALTHY, Table};
use super::{apply, broker, fill, rules};
use crate::broker::load::elevate;
use crate::connection::Connection;
use crate::figures::{Figure, Report, Samples, Target, millis};
use crate::fixture::{Broker, Fixture, SOURCE, new_key};
use crate::scale::fill::Copies;
use crate::{Effort, clock, proc_files, scale};

const REPOSITORY: &str = "dev/reported";
const REVOKED_WITHIN: f64 = 1000.0;
/// After this time a decision counts as missing.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn measure(fixture: &Fixture, effort: Effort, report: &mut Report) -> Result<()> {
    // Of each subject are `size` grants, beside those that stay.
    let (stay, subjects, size) = effort.pick((10_000, 5, 100), (40, 1, 5));
    let table = Table { and: Some(HEALTHY), ..Table::of(rules(effort)) };
    let mut broker = broker(fixture, "live")?;
    apply(fixture, &broker, &table)?;
    let mut connection = Connection::open(broker.port)?;
    let pattern = elevate(&mut connection, &broker, &fixture.long_elevation(), &new_key())?;
    broker.stop();
    let count = stay - 1 + u64::try_from(subjects)? * size;
    Copies { of: &pattern, count, first: 1, deadline: None }.make(&broker.database, None)?;
    fill::of_grants(&broker.database, &pattern, REPOSITORY, subjects, size)?;
    broker.start_again()?;
    posture(&broker, (stay, subjects, size), report)?;
    change_of_rules(fixture, &broker, (&table, stay), report)
}

/// The number of active grants in the metrics falls with the commit that has the REVOKE event, so the time at which a
/// reader finds the grant gone from it is a bound.
fn posture(broker: &Broker, (stay, subjects, size): (u64, usize, u64), report: &mut Report) -> Result<()> {
    let mut committed = Samples::default();
    for subject in 0..subjects {
        let before = scale::active(broker)?;
        let mut seen = 0;
        let begin = Instant::now();
        put_posture(broker, subject)?;
        while seen < size {
            let gone = before.saturating_sub(scale::active(broker)?);
            for _ in seen..gone {
                committed.push(millis(begin.elapsed()));
            }
            seen = gone;
            if begin.elapsed() > PATIENCE {
                bail!("expected {size} grants of `{REPOSITORY}-{subject}` to be revoked, found {seen}");
            }
            // Polling without a pause would slow down the broker that is measured.
            thread::sleep(Duration::from_millis(5));
        }
    }
    let left = scale::active(broker)?;
    anyhow::ensure!(left == stay, "expected {stay} grants to stay, found {left}");
    report.figure(&Figure {
        claim: &format!(
            "report of posture to a bound for the commit of REVOKE, {size} grants beside {stay}, p99 against 1 s"
        ),
        ratio: committed.percentile(99) / REVOKED_WITHIN,
        target: Target::AtMost(1.0),
        ours: format!("p50 {:.0} ms, p99 {:.0} ms", committed.median(), committed.percentile(99)),
        other: format!("limit {REVOKED_WITHIN:.0} ms"),
        runs: committed.len(),
    });
    Ok(())
}

fn put_posture(broker: &Broker, subject: usize) -> Result<()> {
    let head = format!(
        "PUT /v2/posture/{SOURCE}/repository%2F{}-{subject} HTTP/1.1\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\n",
        REPOSITORY.replace('/', "%2F"),
        broker.posture_token
    );
    let now = Timestamp::from_millis(i64::try_from(clock::wall().as_millis())?);
    let report = json!({ "ok": false, "as_of": now }).to_string();
    Connection::open(broker.port)?.ask(&head, &report, "200").map(drop)
}

/// A grant that stays gets its event RE-EVALUATED after its decision.
fn change_of_rules(
    fixture: &Fixture,
    broker: &Broker,
    (table, stay): (&Table, u64),
    report: &mut Report,
) -> Result<()> {
    let begin = Instant::now();
    apply(fixture, broker, &Table { of_others: 1, ..*table })?;
    let applied = millis(begin.elapsed());
    let overdue = || begin.elapsed() > PATIENCE;
    while decided_again(broker)? < stay {
        if overdue() {
            bail!("expected {stay} live grants to be decided again, found {}", decided_again(broker)?);
        }
        thread::sleep(Duration::from_millis(10));
    }
    while fill::events(&broker.database, "re_evaluation")? < stay {
        if overdue() {
            bail!("expected {stay} grants with the event of a second decision");
        }
    }
    let took = begin.elapsed().as_secs_f64();
    let memory = proc_files::peak_memory(broker.pid()?).context("a running broker")? / 1000.0;
    report.figure(&Figure {
        claim: &format!(
            "change of the rules that keeps {stay} live grants: until all are decided again, against 10 s"
        ),
        ratio: took / 10.0,
        target: Target::None,
        ours: format!("{took:.2} s, {:.0} a second", stay as f64 / took),
        other: format!("`rules apply` took {applied:.0} ms of it; peak memory {memory:.1} MB"),
        runs: 1,
    });
    Ok(())
}

/// How many live grants were decided again since the start, by the broker's metrics. Those of the subjects are among
/// them, so the events of those that stay are counted afterwards.
fn decided_again(broker: &Broker) -> Result<u64> {
    let mut connection = Connection::open(broker.port)?;
    let metrics = connection.ask("GET /metrics HTTP/1.1\r\n", "", "200")?;
    let count = metrics.lines().find_map(|line| line.strip_prefix("cloudanix_jit_grants_reevaluated_total "));
    Ok(count.context("no count of decisions about live grants in the metrics")?.parse()?)
}
