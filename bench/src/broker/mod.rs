//! Measures elevations and revokes per second, against the bare transactions of the same database.

mod bare;
pub(crate) mod load;
pub(crate) mod postgres;
mod statements;

use anyhow::Result;

use crate::Effort;
use crate::broker::bare::{Bare, Rows};
use crate::broker::load::Load;
use crate::figures::{Figure, Report, Samples, Target};
use crate::fixture::{Broker, Fixture};
use crate::proc_files;

/// The store's transactions in the life of a `token` grant: elevate and revoke.
const TRANSACTIONS: f64 = 2.0;

pub(crate) fn measure(fixture: &Fixture, effort: Effort, report: &mut Report) -> Result<()> {
    report.section("broker on SQLite, target `token`: OIDC token verified, every state committed to disk");
    let (rounds, seconds) = effort.pick((7, 3.0), (1, 0.3));
    // Fetches the issuer's keys, and inserts the rows that the bare loop writes again.
    let (broker, elevation) = (&fixture.in_the_clear, fixture.elevation());
    Load { clients: 1, seconds: 0.2, pairs_per_second: None }.put_on(broker, &elevation)?;
    let mut most = 0.0_f64;
    let mut bare = Bare::beside(fixture)?;
    bare.rate(Rows::TheSame, 0.2)?;
    for clients in effort.pick(&[1, 8, 32][..], &[1, 2]) {
        let load = Load { clients: *clients, seconds, pairs_per_second: None };
        let (mut rates, mut latencies) = (Samples::default(), Samples::default());
        let (mut same_rows, mut one_row) = (Samples::default(), Samples::default());
        let (mut ours, mut in_kernel, mut generator) =
            (Samples::default(), Samples::default(), Samples::default());
        for _ in 0..rounds {
            let before = times(broker)?;
            let put = load.put_on(broker, &elevation)?;
            let after = times(broker)?;
            let pairs = put.rate * seconds;
            ours.push((after.0.0 - before.0.0) / pairs * 1e6);
            in_kernel.push((after.0.1 - before.0.1) / pairs * 1e6);
            generator.push((after.1.0 + after.1.1 - before.1.0 - before.1.1) / pairs * 1e6);
            rates.push(put.rate);
            latencies.extend(put.millis);
            same_rows.push(bare.rate(Rows::TheSame, seconds)?);
            one_row.push(bare.rate(Rows::One, seconds)?);
        }
        most = most.max(rates.median());
        let own = format!(
            "{:.0} pairs/s (p50 {:.1} ms, p99 {:.1} ms)",
            rates.median(),
            latencies.median(),
            latencies.percentile(99)
        );
        let mut figure = |claim: &str, target, bare: &Samples| {
            let possible = bare.median() / TRANSACTIONS;
            report.figure(&Figure {
                claim,
                ratio: rates.median() / possible,
                target,
                ours: own.clone(),
                other: format!("bare {:.0} transactions/s, enough for {possible:.0} pairs/s", bare.median()),
                runs: rounds,
            });
        };
        figure(
            &format!("{clients} at a time, against as many bare transactions with the same rows"),
            Target::AtLeast(0.5),
            &same_rows,
        );
        figure(
            &format!("{clients} at a time, against as many bare transactions that change one small row"),
            Target::None,
            &one_row,
        );
        report.note(&format!(
            "processor time of a pair: broker {:.0} µs and {:.0} µs in the kernel; load generator {:.0} µs",
            ours.median(),
            in_kernel.median(),
            generator.median()
        ));
    }
    half_load(broker, &elevation, most, effort, report, |_, _| Ok("from when each was to begin".to_owned()))
}

/// Measures the latency of a pair at half the highest throughput, in an open loop: each pair starts on schedule.
fn half_load(
    broker: &Broker,
    elevation: &str,
    most: f64,
    effort: Effort,
    report: &mut Report,
    other: impl FnOnce(f64, u32) -> Result<String>,
) -> Result<()> {
    const LIMIT: f64 = 15.0;
    let half = most / 2.0;
    let seconds = effort.pick(20, 1);
    let put = Load { clients: 32, seconds: f64::from(seconds), pairs_per_second: Some(half) }
        .put_on(broker, elevation)?;
    report.figure(&Figure {
        claim: &format!("half of the top load: p99 of a pair against {LIMIT} ms"),
        ratio: put.millis.percentile(99) / LIMIT,
        target: Target::AtMost(1.0),
        ours: format!(
            "{half:.0} pairs/s, p50 {:.1} ms, p99 {:.1} ms",
            put.millis.median(),
            put.millis.percentile(99)
        ),
        other: other(half, seconds)?,
        runs: put.millis.len(),
    });
    Ok(())
}

/// Processor time so far: the broker's, and this process's as the load generator.
fn times(broker: &Broker) -> Result<((f64, f64), (f64, f64))> {
    Ok((proc_files::processor_time(broker.pid()?), proc_files::processor_time(std::process::id())))
}
