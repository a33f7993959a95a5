//! Runs a real PostgreSQL server for the length of a test.
//!
//! [`Server::start`] makes a cluster in a temporary folder and runs it on a loopback port, with a password and with
//! full durability. PostgreSQL refuses root, so under root it runs as another user. A shell supervises it: when the
//! test's process ends, however it ends, the shell's standard input closes, and the shell stops the server and
//! removes the folder.

#![expect(clippy::expect_used, clippy::panic, reason = "in a test, whatever is not as expected is a failure")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

mod programs;

pub use programs::{Missing, Programs};

/// The superuser of the cluster.
pub const USER: &str = "postgres";
/// Its password.
pub const PASSWORD: &str = "only-for-tests";

/// Starts the server, waits for the end of the input, and stops the server at once. The folder stays if the last
/// input is `keep`, without a newline.
const KEEPER: &str = r#"
trap '' HUP INT TERM
"$@" >>"$FOLDER/log" 2>&1 </dev/null &
server=$!
while IFS= read -r what; do :; done
kill -QUIT "$server" 2>/dev/null
wait "$server"
if test "$what" != keep; then rm -rf "$FOLDER"; fi
"#;

/// How long a server may take to start.
const SOON: Duration = Duration::from_secs(60);

/// A server. Dropping it stops the server, and so does the death of the test's process.
#[derive(Debug)]
pub struct Server {
    programs: Programs,
    folder: PathBuf,
    port: u16,
    keeper: Option<Child>,
    databases: AtomicU32,
}

impl Server {
    /// Makes a cluster and starts it. Fails the test if this machine has no PostgreSQL.
    pub fn start() -> Self {
        let programs = Programs::find().unwrap_or_else(|missing| panic!("{missing}"));
        let folder = tempfile::Builder::new()
            .prefix("postgres-for-tests-")
            .tempdir()
            .expect("a temporary folder can be created")
            .keep();
        programs.hand_over(&folder);
        let password = folder.join("password");
        fs::write(&password, PASSWORD).expect("the password file can be written");
        programs.hand_over(&password);
        let mut initdb = programs.command("initdb");
        initdb.args(["--no-sync", "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "-U", USER]);
        initdb.arg("--pwfile").arg(&password).arg("-D").arg(folder.join("data"));
        succeed(&mut initdb);
        let mut server = Self { programs, folder, port: 0, keeper: None, databases: AtomicU32::new(0) };
        // Another process may take the port before the server binds it.
        for _ in 0..5 {
            server.port =
                TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
            if server.run() {
                return server;
            }
        }
        panic!("PostgreSQL does not start: {}", server.log());
    }

    /// Creates an empty database; its URL has no password in it.
    pub fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.query("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// URL of this database.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Output of `psql`: one row per line, columns separated by `|`.
    pub fn query(&self, database: &str, sql: &str) -> String {
        let output = succeed(self.psql(database).args(["-c", sql]));
        String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
    }

    /// Blocks writes to this table until the returned guard is dropped; a writer waits inside its transaction.
    pub fn hold_back_writers(&self, database: &str, table: &str) -> HeldBack {
        let mut psql =
            self.psql(database).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("`psql`");
        let lock = format!("BEGIN; LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE;\n\\echo held\n");
        psql.stdin.as_mut().expect("a pipe").write_all(lock.as_bytes()).expect("the child reads its input");
        let mut said = String::new();
        let answer = psql.stdout.take().expect("a pipe");
        BufReader::new(answer).read_line(&mut said).expect("`psql` answers");
        assert_eq!(said, "held\n", "the table is not locked");
        HeldBack(psql)
    }

    /// Kills the server, as a power cut would; the next start recovers the same data.
    pub fn crash(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            keeper.stdin.take().expect("a pipe").write_all(b"keep").expect("the child reads its input");
            keeper.wait().expect("the supervisor ends");
        }
    }

    /// Starts the server again, on the same data and port.
    pub fn start_again(&mut self) {
        self.crash();
        assert!(self.run(), "PostgreSQL does not start again: {}", self.log());
    }

    /// The server's log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn psql(&self, database: &str) -> Command {
        let mut psql = self.programs.command("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", USER]);
        psql.args(["-p", &self.port.to_string(), "-d", database]).env("PGPASSWORD", PASSWORD);
        psql
    }

    /// False if the server exited instead of accepting connections.
    fn run(&mut self) -> bool {
        let postgres = self.programs.command("postgres");
        let mut keeper = programs::clean("sh");
        keeper.args(["-c", KEEPER, "sh"]).arg(postgres.get_program()).args(postgres.get_args());
        keeper.arg("-D").arg(self.folder.join("data"));
        keeper.args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        keeper.args(["-c", "unix_socket_directories=", "-c", "max_connections=200"]);
        keeper.env("FOLDER", &self.folder);
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        self.keeper = Some(keeper.spawn().expect("the shell can be started"));
        let deadline = Instant::now() + SOON;
        loop {
            let ready = self.psql("postgres").args(["-c", "SELECT 1"]).output().expect("`psql`");
            if ready.status.success() {
                return true;
            }
            let pid = fs::read_to_string(self.folder.join("data/postmaster.pid"));
            if Instant::now() > deadline || (pid.is_err() && self.log().contains("could not bind")) {
                self.crash();
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.crash();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Blocks every writer of a table until it is dropped.
#[derive(Debug)]
pub struct HeldBack(Child);

impl Drop for HeldBack {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn succeed(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().expect("a program of PostgreSQL");
    assert!(
        output.status.success(),
        "{:?}: {}{}",
        command.get_program(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
