//! Starts a server that ends with the test, however the test ends.

use std::fs::{self, File};
use std::net::TcpListener;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use reqwest::Method;

use super::python;
use crate::http;
use crate::waiting::eventually_within;

/// Starts the program and kills it when stdin ends, which is when the test drops it or is killed.
const KILLED_AT_END_OF_INPUT: &str = "exec 3<&0; \"$@\" </dev/null 3<&- & program=$!
    { cat <&3 >/dev/null; kill -9 $program; } & watcher=$!
    exec 3<&-; wait $program; kill $watcher";

/// A Python server on a loopback port and in a folder of its own. Dropping it kills it.
pub(super) struct Server {
    folder: tempfile::TempDir,
    port: u16,
    process: Child,
    input: Option<ChildStdin>,
}

impl Server {
    /// A program of the pinned environment; `set` passes it its port, and it answers `health`, a path, with 200
    /// when it is ready.
    pub(super) fn start(
        program: &str,
        health: &str,
        set: impl Fn(&mut Command, u16),
    ) -> Result<Self, String> {
        let mut said = String::new();
        // Another process may take the port before the server binds it.
        for _ in 0..5 {
            let folder = tempfile::tempdir().expect("a folder");
            let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).unwrap().port();
            let log = File::create(folder.path().join("log")).expect("a log");
            let mut command = python::scrubbed(Command::new("sh"));
            command.args(["-c", KILLED_AT_END_OF_INPUT, "sh"]).arg(python::program(program).get_program());
            command.env("HOME", folder.path()).env("TMPDIR", folder.path());
            command.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
            set(&mut command, port);
            let mut process = command.spawn().expect("sh");
            let input = process.stdin.take();
            let mut server = Self { folder, port, process, input };
            if server.is_ready(health) {
                return Ok(server);
            }
            said = server.log();
        }
        Err(said)
    }

    /// `http://127.0.0.1:PORT`.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The server's log so far.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// False if the server exited before it was ready.
    fn is_ready(&mut self, health: &str) -> bool {
        let health = format!("{}{health}", self.url());
        eventually_within(Duration::from_secs(60), "a ready server", || {
            if http::try_send(http::request(Method::GET, &health)).is_ok_and(|answer| answer.status == 200) {
                return Some(true);
            }
            self.process.try_wait().expect("a child of ours").map(|_| false)
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.input.take());
        // The process may have exited already, and `drop` cannot report an error.
        let _ = self.process.wait();
    }
}
