//! What does an AWS do that we did not write?
//!
//! One ministack with permissions enforced, in a folder and on a loopback port of its own. It ends with the
//! handle, and with the test's process however that ends.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test, whatever is not as expected is a failure"
)]

use std::fs::{self, File};
use std::net::TcpListener;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use reqwest::Method;

use super::account::Account;
use super::calls::Calls;
use super::clock::Clock;
use super::python;
use crate::http;
use crate::waiting::eventually_within;

/// The account that is the emulator's own.
pub const ACCOUNT: &str = "111111111111";

/// Starts the program and kills it when stdin ends, which is when the test lets go of it, or dies.
const WITH_A_LIFELINE: &str = "exec 3<&0; \"$@\" </dev/null 3<&- & program=$!
    { cat <&3 >/dev/null; kill -9 $program; } & watcher=$!
    exec 3<&-; wait $program; kill $watcher";

/// A running emulator.
pub struct Ministack {
    folder: tempfile::TempDir,
    port: u16,
    process: Child,
    lifeline: Option<ChildStdin>,
    clock: Option<Clock>,
    calls: Calls,
}

impl Ministack {
    /// By the machine's clock.
    pub fn start() -> Self {
        Self::by(None)
    }

    /// By a clock of its own, which [`Ministack::clock`] moves.
    pub fn with_faketime() -> Self {
        Self::by(Some(Clock::new()))
    }

    fn by(clock: Option<Clock>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // Somebody else may take the port before the emulator does.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).unwrap().port();
            let mut process = spawn(&folder, port, clock.as_ref());
            let lifeline = process.stdin.take();
            if is_ready(port, &mut process) {
                let calls = Calls::started(&format!("http://127.0.0.1:{port}"), clock.as_ref());
                return Self { folder, port, process, lifeline, clock, calls };
            }
        }
        panic!("ministack does not start: {}", log(&folder));
    }

    /// Its endpoint, for every service.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A process that calls it, by its clock.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// One more, for where two calls have to be under way at once, or by way of something that stands before it.
    pub fn more_calls(&self, endpoint: &str) -> Calls {
        Calls::started(endpoint, self.clock.as_ref())
    }

    /// An account, by its twelve digits. All of them are there.
    pub fn account(&self, number: &str) -> Account<'_> {
        Account::new(&self.calls, number)
    }

    /// Its clock; fails the test if it was not started with one.
    #[track_caller]
    pub fn clock(&self) -> &Clock {
        self.clock.as_ref().expect("an emulator that was started by `with_faketime`")
    }

    pub(super) fn own_clock(&self) -> Option<&Clock> {
        self.clock.as_ref()
    }

    /// All that it has written so far.
    pub fn log(&self) -> String {
        log(&self.folder)
    }
}

impl Drop for Ministack {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        // It may be gone already, and nobody is left to tell.
        let _ = self.process.wait();
    }
}

fn spawn(folder: &tempfile::TempDir, port: u16, clock: Option<&Clock>) -> Child {
    let log = File::create(folder.path().join("log")).expect("a log");
    let program = python::program("ministack");
    python::scrubbed(Command::new("sh"))
        .args(["-c", WITH_A_LIFELINE, "sh"])
        .arg(program.get_program())
        .envs(clock.map(Clock::environment).unwrap_or_default())
        .env("HOME", folder.path())
        .env("TMPDIR", folder.path())
        .env("AUTH", "true")
        .env("BIND_HOST", "127.0.0.1")
        .env("GATEWAY_PORT", port.to_string())
        .env("MINISTACK_ACCOUNT_ID", ACCOUNT)
        .env("LOG_LEVEL", "WARNING")
        // These two would listen on ports of their own, on every interface.
        .env("IOT_MTLS_ENABLED", "0")
        .env("SFTP_ENABLED", "0")
        .stdin(Stdio::piped())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("sh")
}

/// False if it ended instead.
fn is_ready(port: u16, process: &mut Child) -> bool {
    let health = format!("http://127.0.0.1:{port}/_ministack/health");
    eventually_within(Duration::from_secs(60), "a ready ministack", || {
        if http::try_send(http::request(Method::GET, &health)).is_ok_and(|answer| answer.status == 200) {
            return Some(true);
        }
        process.try_wait().expect("a child of ours").map(|_| false)
    })
}

fn log(folder: &tempfile::TempDir) -> String {
    fs::read_to_string(folder.path().join("log")).unwrap_or_default()
}
