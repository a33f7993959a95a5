//! Measures pairs of elevate and revoke with rules against pairs with none, and with many rules against few.

use anyhow::Result;

use super::table::{COUNTS, Table};
use super::{apply, broker, rules};
use crate::Effort;
use crate::broker::load::Load;
use crate::figures::{Figure, Pairs, Report, Target, interleaved};
use crate::fixture::{Broker, Fixture};

/// Rules that concern the agent, alone and among many.
const FEW: usize = 10;

pub(super) fn measure(fixture: &Fixture, effort: Effort, report: &mut Report) -> Result<()> {
    let start = |name: &str, table: &Table| {
        let broker = broker(fixture, name)?;
        apply(fixture, &broker, table).map(|()| broker)
    };
    let none = broker(fixture, "none")?;
    let rules = rules(effort);
    let table = Table::of(rules);
    let some = start("some", &Table { matching: FEW, of_others: rules - FEW, and: None })?;
    let with = start("table", &table)?;
    let counting = start("counting", &Table { and: Some(COUNTS), ..table })?;
    for clients in effort.pick(&[1, 8][..], &[1]) {
        let mut figure = |claim: &str, target, with| {
            let pairs = rates(fixture, effort, *clients, with, &none)?;
            report.figure(&Figure {
                claim: &format!("{clients} at a time, {rules} rules{claim}, against none"),
                ratio: pairs.ratio(),
                target,
                ours: format!("{:.0} pairs/s", pairs.ours.median()),
                other: format!("{:.0} pairs/s", pairs.other.median()),
                runs: pairs.ours.len(),
            });
            anyhow::Ok(())
        };
        figure(&format!(", of which {FEW} concern the agent"), Target::AtLeast(0.9), &some)?;
        figure(" that are all evaluated", Target::None, &with)?;
        figure(" that are all evaluated and one that counts grants", Target::None, &counting)?;
    }
    drop((some, with, counting));
    let many_rules = effort.pick(1000, 20);
    let few = start("few", &Table::of(FEW))?;
    let many = start("many", &Table { matching: FEW, of_others: many_rules - FEW, and: None })?;
    let pairs = rates(fixture, effort, 1, &many, &few)?;
    let (with_many, with_few) = (1000.0 / pairs.ours.median(), 1000.0 / pairs.other.median());
    report.figure(&Figure {
        claim: &format!(
            "time of a pair with {many_rules} rules, of which {FEW} concern the agent, against {FEW}"
        ),
        ratio: with_many / with_few,
        target: Target::AtMost(2.0),
        ours: format!("{with_many:.2} ms"),
        other: format!("{with_few:.2} ms"),
        runs: pairs.ours.len(),
    });
    Ok(())
}

/// Pairs per second of two brokers.
fn rates(fixture: &Fixture, effort: Effort, clients: u32, ours: &Broker, other: &Broker) -> Result<Pairs> {
    let (rounds, seconds) = effort.pick((7, 3.0), (1, 0.3));
    let load = Load { clients, seconds, pairs_per_second: None };
    let elevation = fixture.elevation();
    for broker in [ours, other] {
        load.for_a_moment().put_on(broker, &elevation)?;
    }
    let rate = |broker: &Broker| Ok(load.put_on(broker, &elevation)?.rate);
    interleaved(rounds, || rate(ours), || rate(other))
}
