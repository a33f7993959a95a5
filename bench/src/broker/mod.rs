//! How many elevations and revokes does a broker do in a second, held against bare SQLite?

mod bare;
mod load;

use anyhow::Result;

use crate::Effort;
use crate::broker::bare::{Bare, Rows};
use crate::broker::load::Load;
use crate::figures::{Figure, Report, Samples, Target};
use crate::proc_files;
use crate::scene::Scene;

/// The life of a `token` grant, as far as the store is concerned: given, and taken back.
const TRANSACTIONS: f64 = 2.0;

pub(crate) fn measure(scene: &Scene, effort: Effort, report: &mut Report) -> Result<()> {
    report.section("broker on SQLite, target `token`: OIDC token verified, every state committed to disk");
    let (rounds, seconds) = effort.pick((7, 3.0), (1, 0.3));
    // Fetches the issuer's keys, and leaves the rows that the bare loop writes again.
    Load { clients: 1, seconds: 0.2 }.put_on(scene)?;
    let mut bare = Bare::beside(scene)?;
    bare.rate(Rows::TheSame, 0.2)?;
    for clients in effort.pick(&[1, 8, 32][..], &[1, 2]) {
        let load = Load { clients: *clients, seconds };
        let (mut rates, mut latencies) = (Samples::default(), Samples::default());
        let (mut same_rows, mut one_row) = (Samples::default(), Samples::default());
        let (mut ours, mut in_kernel, mut generator) =
            (Samples::default(), Samples::default(), Samples::default());
        for _ in 0..rounds {
            let before = times(scene);
            let put = load.put_on(scene)?;
            let after = times(scene);
            let pairs = put.rate * seconds;
            ours.push((after.0.0 - before.0.0) / pairs * 1e6);
            in_kernel.push((after.0.1 - before.0.1) / pairs * 1e6);
            generator.push((after.1.0 + after.1.1 - before.1.0 - before.1.1) / pairs * 1e6);
            rates.push(put.rate);
            latencies.extend(put.millis);
            same_rows.push(bare.rate(Rows::TheSame, seconds)?);
            one_row.push(bare.rate(Rows::One, seconds)?);
        }
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
    Ok(())
}

/// Processor time so far: the broker's, and ours as the load generator.
fn times(scene: &Scene) -> ((f64, f64), (f64, f64)) {
    (proc_files::processor_time(scene.in_the_clear.pid()), proc_files::processor_time(std::process::id()))
}
