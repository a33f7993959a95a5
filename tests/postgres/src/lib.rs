//! Where does a test get a real PostgreSQL from?
//!
//! [`Server::start`] makes a cluster in a temporary folder and runs it on a loopback port, with a password and as
//! durable as any. PostgreSQL refuses root, so under root it runs as another user. A shell stands between: it waits for
//! the end of its input, which comes when the test's process ends, however it ends, and then it ends the server and
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

/// Starts the server, waits for the end of the input, ends the server at once. The folder stays if the last thing that
/// was said is `keep`, without a newline.
const KEEPER: &str = r#"
trap '' HUP INT TERM
"$@" >>"$FOLDER/log" 2>&1 </dev/null &
server=$!
while IFS= read -r what; do :; done
kill -QUIT "$server" 2>/dev/null
wait "$server"
if test "$what" != keep; then rm -rf "$FOLDER"; fi
"#;

/// How long a server may take to come up.
const SOON: Duration = Duration::from_secs(60);

/// A server of one's own. Dropping it ends it; the death of the process that made it does as well.
#[derive(Debug)]
pub struct Server {
    programs: Programs,
    folder: PathBuf,
    port: u16,
    keeper: Option<Child>,
    databases: AtomicU32,
}

impl Server {
    /// Makes a cluster and starts it. Fails the test if there is no PostgreSQL on this machine.
    pub fn start() -> Self {
        let programs = Programs::find().unwrap_or_else(|missing| panic!("{missing}"));
        let folder =
            tempfile::Builder::new().prefix("postgres-for-tests-").tempdir().expect("a folder").keep();
        programs.hand_over(&folder);
        let password = folder.join("password");
        fs::write(&password, PASSWORD).expect("a file for the password");
        programs.hand_over(&password);
        let mut initdb = programs.command("initdb");
        initdb.args(["--no-sync", "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "-U", USER]);
        initdb.arg("--pwfile").arg(&password).arg("-D").arg(folder.join("data"));
        succeed(&mut initdb);
        let mut server = Self { programs, folder, port: 0, keeper: None, databases: AtomicU32::new(0) };
        // Somebody else may take the port before the server does.
        for _ in 0..5 {
            server.port =
                TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
            if server.run() {
                return server;
            }
        }
        panic!("PostgreSQL does not start: {}", server.log());
    }

    /// A new, empty database; its URL has no password in it.
    pub fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.query("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// Where this database is.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What `psql` answers, one row a line, columns apart by `|`.
    pub fn query(&self, database: &str, sql: &str) -> String {
        let output = succeed(self.psql(database).args(["-c", sql]));
        String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
    }

    /// Nobody writes into this table until what is given back is dropped: whoever tries waits in the middle of it.
    pub fn hold_back_writers(&self, database: &str, table: &str) -> HeldBack {
        let mut psql =
            self.psql(database).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("`psql`");
        let lock = format!("BEGIN; LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE;\n\\echo held\n");
        psql.stdin.as_mut().expect("a pipe").write_all(lock.as_bytes()).expect("somebody who listens");
        let mut said = String::new();
        let answer = psql.stdout.take().expect("a pipe");
        BufReader::new(answer).read_line(&mut said).expect("an answer");
        assert_eq!(said, "held\n", "expected the table to be held");
        HeldBack(psql)
    }

    /// Ends the server in the middle of whatever it does: what a power cut leaves it finds again at the next start.
    pub fn crash(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            keeper.stdin.take().expect("a pipe").write_all(b"keep").expect("somebody who listens");
            keeper.wait().expect("the end of the server");
        }
    }

    /// Starts it again, on the same data and port.
    pub fn start_again(&mut self) {
        self.crash();
        assert!(self.run(), "PostgreSQL does not start again: {}", self.log());
    }

    /// All that it has written so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn psql(&self, database: &str) -> Command {
        let mut psql = self.programs.command("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", USER]);
        psql.args(["-p", &self.port.to_string(), "-d", database]).env("PGPASSWORD", PASSWORD);
        psql
    }

    /// False if it ended instead of taking connections.
    fn run(&mut self) -> bool {
        let postgres = self.programs.command("postgres");
        let mut keeper = programs::clean("sh");
        keeper.args(["-c", KEEPER, "sh"]).arg(postgres.get_program()).args(postgres.get_args());
        keeper.arg("-D").arg(self.folder.join("data"));
        keeper.args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        keeper.args(["-c", "unix_socket_directories=", "-c", "max_connections=200"]);
        keeper.env("FOLDER", &self.folder);
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        self.keeper = Some(keeper.spawn().expect("a shell for the server"));
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

/// Whoever writes into a table waits as long as this is there.
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
