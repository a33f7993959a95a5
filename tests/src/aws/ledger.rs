//! Reads a broker's database, whether or not the broker runs, and blocks its writes on demand.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::python;
use crate::broker::Broker;

/// A process that has the broker's database open.
pub struct Ledger {
    process: Child,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

/// A grant's row in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The grant's id.
    pub id: String,
    /// Its state.
    pub status: String,
    /// When the worker acts on the grant next, in milliseconds; `None` if never.
    pub due_at: Option<i64>,
    /// When the current claim ends.
    pub claimed_until: Option<i64>,
    /// Version of the row; grows with each change.
    pub version: i64,
}

impl Ledger {
    /// Opens the database of this broker.
    pub fn of(broker: &Broker) -> Self {
        let mut process = python::program("python")
            .arg("-I")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("aws/ledger.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python");
        let mut orders = process.stdin.take().expect("a pipe");
        let answers = BufReader::new(process.stdout.take().expect("a pipe"));
        writeln!(orders, "{}", json!({"path": broker.database()})).expect("tests/aws/ledger.py is running");
        Self { process, pipes: Mutex::new((orders, answers)) }
    }

    /// Locks the database: every writer waits.
    pub fn hold(&self) {
        self.order(&json!({"do": "hold"}));
    }

    /// Releases the lock on the database.
    pub fn release(&self) {
        self.order(&json!({"do": "release"}));
    }

    /// The rows of a query.
    pub fn rows(&self, sql: &str) -> Vec<Vec<Value>> {
        let answer = self.order(&json!({"do": "query", "sql": sql}));
        let rows = answer.as_array().cloned().unwrap_or_default();
        rows.into_iter().map(|row| row.as_array().cloned().unwrap_or_default()).collect()
    }

    /// The grant of this idempotency key.
    pub fn grant(&self, key: &str) -> Option<Entry> {
        let columns = "id, status, due_at, claimed_until, version";
        let rows = self.rows(&format!("SELECT {columns} FROM grants WHERE idem_key = '{key}'"));
        let row = rows.into_iter().next()?;
        let text = |at: usize| row.get(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        let number = |at: usize| row.get(at).and_then(Value::as_i64);
        Some(Entry {
            id: text(0),
            status: text(1),
            due_at: number(2),
            claimed_until: number(3),
            version: number(4).unwrap_or_default(),
        })
    }

    /// When the last resource lock ends.
    pub fn locked_until(&self) -> Option<i64> {
        let rows = self.rows("SELECT max(locked_until) FROM shared_objects");
        rows.first().and_then(|row| row.first()).and_then(Value::as_i64)
    }

    /// When the last late write or late delete of any shared object can land.
    pub fn lands_until(&self) -> Option<i64> {
        let rows =
            self.rows("SELECT max(max(coalesce(write_may_land_until, 0), coalesce(delete_may_land_until, 0))) FROM shared_objects");
        rows.first().and_then(|row| row.first()).and_then(Value::as_i64)
    }

    /// The actions of all recorded steps.
    pub fn actions(&self) -> Vec<String> {
        let rows = self.rows("SELECT DISTINCT json_extract(value, '$.action') AS action FROM grants, json_each(body, '$.steps') ORDER BY action");
        rows.iter().filter_map(|row| row.first()?.as_str().map(str::to_owned)).collect()
    }

    fn order(&self, order: &Value) -> Value {
        let mut line = String::new();
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(pipes.0, "{order}").expect("tests/aws/ledger.py is running");
        pipes.1.read_line(&mut line).expect("tests/aws/ledger.py answers");
        serde_json::from_str(&line).expect("an answer of tests/aws/ledger.py")
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // The process may have exited already, and `drop` cannot report an error.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
