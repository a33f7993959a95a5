//! Runs a script of `tests/oidc-provider` with Node: takes orders as lines of JSON, one line of JSON in reply to each.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

/// A running script. Dropping it ends the process, and so does the end of the test that holds it.
#[derive(Debug)]
pub(crate) struct NodeScript {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl NodeScript {
    /// Starts a script. Needs Node and `npm ci`, which `cargo xtask test` runs.
    pub(crate) fn start(name: &str) -> Result<Self> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("oidc-provider");
        if !folder.join("node_modules/oidc-provider").is_dir() {
            bail!(
                "the providers are not installed: run `npm ci` in tests/oidc-provider, or `cargo xtask test`"
            );
        }
        let mut process = Command::new("node")
            .arg(name)
            .current_dir(folder)
            .env_remove("NODE_OPTIONS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start `node`")?;
        let orders = process.stdin.take().context("no stdin to the script")?;
        let answers = BufReader::new(process.stdout.take().context("no stdout from the script")?);
        Ok(Self { process, orders, answers })
    }

    /// Sends an order, and reads the reply.
    pub(crate) fn order(&mut self, order: &Value) -> Result<Map<String, Value>> {
        writeln!(self.orders, "{order}").context("the script is gone")?;
        self.read()
    }

    /// Reads the next line.
    pub(crate) fn read(&mut self) -> Result<Map<String, Value>> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("the script ended");
        }
        let answer: Map<String, Value> = serde_json::from_str(&line)?;
        match answer.get("error").and_then(Value::as_str) {
            Some(error) => bail!("the script refused: {error}"),
            None => Ok(answer),
        }
    }
}

impl Drop for NodeScript {
    fn drop(&mut self) {
        // The process may have exited already, and `drop` cannot report an error.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A text of a reply.
pub(crate) fn text(answer: &Map<String, Value>, field: &str) -> Result<String> {
    let value = answer.get(field).and_then(Value::as_str);
    value.map(str::to_owned).with_context(|| format!("expected `{field}` in the answer, found {answer:?}"))
}
