//! Measures rules: what they cost a request, decisions against OPA's, replay, and how soon live grants are decided again.

mod decisions;
mod fill;
mod live;
mod opa;
mod pairs;
mod replay;
mod table;

use std::fs;

use anyhow::Result;

use self::table::Table;
use crate::Effort;
use crate::client::succeed;
use crate::figures::Report;
use crate::fixture::{Broker, Database, Fixture};

/// The number of rules of a table. A quick run has few, because unoptimised programs check rules slowly.
fn rules(effort: Effort) -> usize {
    effort.pick(100, 12)
}

pub(crate) fn measure(fixture: &Fixture, effort: Effort, report: &mut Report) -> Result<()> {
    report.section("rules: a pair with rules against one without");
    pairs::measure(fixture, effort, report)?;
    report.section("rules: decisions against OPA's");
    decisions::measure(fixture, effort, report)?;
    report.section("rules: replay");
    replay::measure(fixture, effort, report)?;
    report.section("rules: live grants are decided again");
    live::measure(fixture, effort, report)
}

/// A broker on SQLite.
fn broker(fixture: &Fixture, name: &str) -> Result<Broker> {
    let name = format!("rules-{name}");
    fixture.another(&name, Database::File(fixture.folder.path().join(format!("{name}.db"))))
}

/// Makes the table the broker's active rule set.
fn apply(fixture: &Fixture, broker: &Broker, table: &Table) -> Result<()> {
    let folder = folder(fixture, table)?;
    succeed(&mut fixture.operator_of(broker, &["rules", "apply", &folder]))
}

/// Writes the table as a folder of rules.
fn folder(fixture: &Fixture, table: &Table) -> Result<String> {
    let folder = tempfile::Builder::new().prefix("rules-").tempdir_in(fixture.folder.path())?.keep();
    fs::write(folder.join("table.cedar"), table.cedar())?;
    Ok(folder.display().to_string())
}
