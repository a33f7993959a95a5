//! Builds Open Policy Agent as a Go module and runs it on loopback.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::Effort;
use crate::connection::Connection;

const MODULE: &str = "github.com/open-policy-agent/opa";
const VERSION: &str = "1.22.4";

/// A server with one module of rules. It stops when this is dropped.
pub(super) struct Opa {
    server: Child,
    pub(super) port: u16,
}

/// The program in `.tools/bin`, or why there is none. Builds it first if it is missing, unless the run is quick.
pub(super) fn program(effort: Effort) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(".tools").join("bin");
    let program = folder.join("opa");
    if is_installed(&program) {
        return Ok(program);
    }
    if effort == Effort::Quick {
        return Err(format!("a quick run does not build OPA {VERSION}, and `.tools/bin` has none"));
    }
    let built = Command::new("go")
        .args(["install", &format!("{MODULE}@v{VERSION}")])
        .env("GOBIN", &folder)
        .current_dir(std::env::temp_dir())
        .status();
    match built {
        Ok(status) if status.success() && is_installed(&program) => Ok(program),
        Ok(status) => Err(format!("`go install {MODULE}@v{VERSION}` ended with {status}")),
        Err(error) => Err(format!("OPA is built with Go, and `go` cannot be started: {error}")),
    }
}

fn is_installed(program: &Path) -> bool {
    let output = Command::new(program).arg("version").output();
    output.is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout).lines().any(|line| line == format!("Version: {VERSION}"))
    })
}

impl Opa {
    pub(super) fn start(program: &Path, folder: &Path, rego: &str) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let module = folder.join("table.rego");
        fs::write(&module, rego)?;
        let server = Command::new(program)
            .args(["run", "--server", "--log-level=error", "--disable-telemetry"])
            .args(["--addr", &format!("127.0.0.1:{port}")])
            .arg(module)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("OPA cannot be started")?;
        let mut opa = Self { server, port };
        let begin = Instant::now();
        while Connection::open(port).is_err() {
            let ended = opa.server.try_wait()?;
            ensure!(ended.is_none(), "OPA ended before it was ready: {ended:?}");
            if begin.elapsed() > Duration::from_secs(20) {
                bail!("OPA is not ready after 20 s");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(opa)
    }

    /// Asks for the decision about these facts.
    pub(super) fn ask<'c>(connection: &'c mut Connection, facts: &str) -> Result<&'c str> {
        let head = "POST /v1/data/rules/decision HTTP/1.1\r\nContent-Type: application/json\r\n";
        connection.ask(head, facts, "200")
    }
}

impl Drop for Opa {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
