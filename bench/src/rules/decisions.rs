//! Measures decisions per second: dry runs of a broker, and OPA with the same table.
//!
//! A dry run also verifies the token's signature and stores the decision with its facts. OPA does neither: it gets the
//! facts that the broker recorded.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::opa::{self, Opa};
use super::table::Table;
use super::{apply, broker, rules};
use crate::Effort;
use crate::broker::load::{Load, bearer, pair};
use crate::connection::Connection;
use crate::figures::{Figure, Report, Target, interleaved};
use crate::fixture::{Broker, Fixture, new_key};

pub(super) fn measure(fixture: &Fixture, effort: Effort, report: &mut Report) -> Result<()> {
    let program = match opa::program(effort) {
        Ok(program) => program,
        Err(why) => {
            report.note(&format!("skipped: {why}"));
            return Ok(());
        }
    };
    let rules = rules(effort);
    let table = Table::of(rules);
    let broker = broker(fixture, "decisions")?;
    apply(fixture, &broker, &table)?;
    let opa = Opa::start(&program, fixture.folder.path(), &table.rego())?;
    let facts = facts(fixture, &broker)?;
    is_the_same_table(&opa, &facts)?;
    let facts = json!({ "input": facts }).to_string();
    let elevation = fixture.elevation();
    let (rounds, seconds) = effort.pick((7, 3.0), (1, 0.3));
    for clients in effort.pick(&[1, 8][..], &[1]) {
        let load = Load { clients: *clients, seconds, pairs_per_second: None };
        let ours =
            || Ok(load.of(broker.port, |connection, _| dry_run(connection, &broker, &elevation))?.rate);
        let other = || Ok(load.of(opa.port, |connection, _| Opa::ask(connection, &facts).map(drop))?.rate);
        let pairs = interleaved(rounds, ours, other)?;
        report.figure(&Figure {
            claim: &format!(
                "{clients} at a time, dry runs with {rules} rules (signature verified, decision stored) against OPA"
            ),
            ratio: pairs.ratio(),
            target: Target::None,
            ours: format!("{:.0} decisions/s", pairs.ours.median()),
            other: format!("OPA {:.0} decisions/s, neither verified nor stored", pairs.other.median()),
            runs: rounds,
        });
    }
    Ok(())
}

fn dry_run(connection: &mut Connection, broker: &Broker, elevation: &str) -> Result<()> {
    let bearer = bearer(broker);
    let head =
        format!("POST /v2/agentic/jit?dry_run=true HTTP/1.1\r\n{bearer}Content-Type: application/json\r\n");
    // A refused dry run is answered with 403.
    connection.ask(&head, elevation, "200").map(drop)
}

/// The facts that the broker records of a request.
fn facts(fixture: &Fixture, broker: &Broker) -> Result<Value> {
    let mut connection = Connection::open(broker.port)?;
    let grant = pair(&mut connection, broker, &fixture.elevation(), &new_key())?;
    let head = format!(
        "GET /v2/agentic/jit/{grant}/decisions HTTP/1.1\r\nAuthorization: Bearer {}\r\n",
        broker.operator_token
    );
    let mut answer: Value = serde_json::from_str(connection.ask(&head, "", "200")?)?;
    let facts = answer.pointer_mut("/decisions/0/facts").context("no facts in the answer of the broker")?;
    Ok(facts.take())
}

/// OPA allows these facts, and refuses those of a team that `rule-4` of the table names.
fn is_the_same_table(opa: &Opa, facts: &Value) -> Result<()> {
    let mut connection = Connection::open(opa.port)?;
    let mut ask = |facts: &Value| -> Result<Value> {
        let answer = Opa::ask(&mut connection, &json!({ "input": facts }).to_string())?;
        Ok(serde_json::from_str(answer)?)
    };
    let allowed = json!({ "result": { "allow": true, "rules": [] } });
    let answer = ask(facts)?;
    ensure!(answer == allowed, "expected {allowed} from OPA, found {answer}");
    let mut others = facts.clone();
    *others.pointer_mut("/agent/labels/team").context("no label `team` in the facts")? = json!("team-4");
    let answer = ask(&others)?;
    let refused = json!({ "result": { "allow": false, "rules": ["rule-4"] } });
    ensure!(answer == refused, "expected {refused} from OPA, found {answer}");
    Ok(())
}
