//! Runs a script of `tests/node` with Node: takes orders as lines of JSON, one line of JSON in reply to each.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

/// A running script. Dropping it ends the process, and so does the end of the test that holds it.
#[derive(Debug)]
pub(crate) struct NodeScript {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl NodeScript {
    /// Starts a script. Needs Node and `npm ci`, which `cargo xtask test` runs.
    pub(crate) fn start(name: &str, argument: &str) -> Result<Self> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("node");
        if !folder.join("node_modules").is_dir() {
            bail!("the programs are not installed: run `npm ci` in tests/node, or `cargo xtask test`");
        }
        let mut process = Command::new("node")
            .args([name, argument])
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

    fn read(&mut self) -> Result<Map<String, Value>> {
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

/// A script that runs many servers in one process, for all tests of this program. The process ends with the program.
#[derive(Debug)]
pub(crate) struct ServersScript {
    name: &'static str,
    argument: fn() -> String,
    script: Mutex<Option<NodeScript>>,
}

impl ServersScript {
    /// This script of `tests/node`; it is started with the first server.
    pub(crate) const fn new(name: &'static str) -> Self {
        Self::with(name, String::new)
    }

    /// The same, with what this function returns as the script's argument.
    pub(crate) const fn with(name: &'static str, argument: fn() -> String) -> Self {
        Self { name, argument, script: Mutex::new(None) }
    }

    /// Starts a server. Returns it, and what the script replied.
    pub(crate) fn start_server(&'static self, options: &Value) -> Result<(Server, Map<String, Value>)> {
        let reply = self.order(&json!({"do": "start", "with": options}))?;
        let instance = reply.get("instance").and_then(Value::as_u64).context("expected `instance`")?;
        Ok((Server { script: self, instance }, reply))
    }

    fn order(&self, order: &Value) -> Result<Map<String, Value>> {
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        let running = match &mut *script {
            Some(running) => running,
            none => none.insert(NodeScript::start(self.name, &(self.argument)())?),
        };
        running.order(order)
    }
}

/// A server of a script. Dropping it closes its port and its connections.
#[derive(Debug)]
pub(crate) struct Server {
    script: &'static ServersScript,
    instance: u64,
}

impl Server {
    /// Sends an order to this server, and reads the reply.
    pub(crate) fn order(&self, what: &str, with: &Value) -> Result<Map<String, Value>> {
        self.script.order(&json!({"do": what, "instance": self.instance, "with": with}))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The script may be gone, and `drop` cannot report an error.
        let _ = self.order("end", &json!({}));
    }
}

/// A text of a reply.
pub(crate) fn text(answer: &Map<String, Value>, field: &str) -> Result<String> {
    let value = answer.get(field).and_then(Value::as_str);
    value.map(str::to_owned).with_context(|| format!("expected `{field}` in the answer, found {answer:?}"))
}
