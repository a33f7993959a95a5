//! The keeper: a second process that revokes the grant if this one is killed.
//!
//! It runs in a session of its own with an empty environment, and has the other end of a socket that only `run` has.
//! It is ready before the first request is sent. When the socket closes without `Done`, `run` was killed and the keeper
//! revokes by the idempotency key. Nothing secret is in its arguments or environment, where other processes could read
//! it.

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use protocol::{IdempotencyKey, RevokeCause, Ttl};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};
use zeroize::Zeroizing;

use super::link;
use jit_client::{Client, GrantRef, RetryPolicy, Revoked, Settings};

/// A keeper that is not ready by then has failed.
const READY_WITHIN: Duration = Duration::from_secs(5);
/// The time that a dismissed keeper has to exit.
const EXIT_WITHIN: Duration = Duration::from_millis(500);
/// The shortest time for which an unconfirmed revoke is repeated.
const SHORTEST_RETRY: Duration = Duration::from_secs(60);
/// How long an elevate request may still arrive after `run` was killed.
const LANDING: Duration = Duration::from_secs(15);

/// The first message to the keeper, sent through the socket only.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Instructions {
    /// The broker's address and the auth token.
    pub(crate) settings: Settings,
    /// The key of the grant to revoke.
    pub(crate) key: IdempotencyKey,
    /// The longest life of the grant: no revoke is needed after it.
    pub(crate) ttl: Ttl,
}

/// A later message to the keeper, one per line.
#[derive(Debug, Serialize, Deserialize)]
enum Message {
    /// The broker has answered: a grant that it does not know from now on is gone, not on its way.
    Granted,
    /// The grant is revoked: exit.
    Done,
    /// `run` could not revoke: continue, for this cause.
    TakeOver(RevokeCause),
}

/// The keeper as `run` sees it.
pub(crate) struct Keeper {
    running: Option<Running>,
    owner: Owner,
}

struct Running {
    link: link::RunEnd,
    process: Child,
}

/// The process that revokes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Run,
    Keeper,
}

impl Keeper {
    /// A keeper that does not run yet.
    pub(crate) fn not_started() -> Self {
        Self { running: None, owner: Owner::Run }
    }

    /// Starts the keeper, and returns when it has its instructions and survives the end of `run`. No request may be
    /// sent before that.
    pub(crate) async fn start(&mut self, instructions: &Instructions) -> io::Result<()> {
        let (run_end, keeper_end) = link::pair()?;
        let mut command = Command::new(link::this_program()?);
        // It keeps the working directory: the path of the trusted roots may be relative.
        command.arg("keeper").env_clear().envs(link::needed_environment());
        let mut process = keeper_end.attach_to(&mut command).stderr(Stdio::null()).spawn()?;
        drop(command);
        let link = run_end.connect(&mut process, &line(instructions)?).await?;
        let running = self.running.insert(Running { link, process });
        match timeout(READY_WITHIN, running.link.read_exact(&mut [0])).await {
            Ok(read) => read.map(|_| ()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Tells the keeper that the broker knows the grant.
    pub(crate) async fn granted(&mut self) {
        // If the keeper is gone, the heartbeats remain: the step runs all the same.
        let _ = self.send(&Message::Granted).await;
    }

    /// Tells the keeper that there is nothing left to revoke.
    pub(crate) async fn dismiss(&mut self) {
        let _ = self.send(&Message::Done).await;
    }

    /// Waits for the exit of a dismissed keeper.
    pub(crate) async fn wait(mut self) {
        if let Some(running) = &mut self.running {
            let _ = timeout(EXIT_WITHIN, running.process.wait()).await;
        }
    }

    /// Tells the keeper, once, to revoke from now on, whatever this process does meanwhile.
    pub(crate) async fn transfer(&mut self, cause: RevokeCause) {
        if self.owner == Owner::Run && self.send(&Message::TakeOver(cause)).await.is_ok() {
            self.owner = Owner::Keeper;
        }
    }

    /// Leaves the revoke to the keeper when this process exits. Returns whether the keeper runs.
    pub(crate) async fn continue_alone(mut self, cause: RevokeCause) -> bool {
        self.transfer(cause).await;
        let lives = |running: &mut Running| matches!(running.process.try_wait(), Ok(None));
        self.owner == Owner::Keeper && self.running.as_mut().is_some_and(lives)
    }

    async fn send(&mut self, what: &impl Serialize) -> io::Result<()> {
        match &mut self.running {
            Some(running) => running.send(what).await,
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Running {
    async fn send(&mut self, what: &impl Serialize) -> io::Result<()> {
        self.link.write_all(&line(what)?).await?;
        self.link.flush().await
    }
}

fn line(what: &impl Serialize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(serde_json::to_vec(what)?);
    line.push(b'\n');
    Ok(line)
}

/// The whole of `cloudanix-jit keeper`. Call it before anything else is set up.
pub(crate) fn main() -> ExitCode {
    link::leave_session();
    let mut messages = BufReader::with_capacity(1024, io::stdin());
    match listen(&mut messages) {
        Some((instructions, outcome)) => act(&instructions, outcome),
        None => ExitCode::SUCCESS,
    }
}

/// Why the keeper has to revoke.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    cause: RevokeCause,
    /// Whether the broker is known to have the grant.
    known: bool,
}

/// Waits for the end of the run; `None` if there is nothing to revoke.
fn listen(messages: &mut impl io::BufRead) -> Option<(Instructions, Outcome)> {
    let mut line = Zeroizing::new(String::new());
    messages.by_ref().take(256 * 1024).read_line(&mut line).ok()?;
    let instructions: Instructions = serde_json::from_str(&line).ok()?;
    drop(line);
    link::tell_ready();
    let mut outcome = Outcome { cause: RevokeCause::WrapperLost, known: false };
    loop {
        let mut line = String::new();
        // A read error means the same as the end: `run` is gone.
        let read = messages.read_line(&mut line).unwrap_or(0);
        match serde_json::from_str(&line) {
            Ok(Message::Done) => return None,
            Ok(Message::Granted) => outcome.known = true,
            Ok(Message::TakeOver(cause)) => {
                outcome.cause = cause;
                return Some((instructions, outcome));
            }
            Err(_) if read == 0 => return Some((instructions, outcome)),
            Err(_) => {}
        }
    }
}

fn act(instructions: &Instructions, outcome: Outcome) -> ExitCode {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    match runtime.block_on(revoke(instructions, outcome)) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Repeats the revoke until the broker confirms it, or the grant has ended at its deadline.
async fn revoke(instructions: &Instructions, outcome: Outcome) -> bool {
    let start = Instant::now();
    let deadline = start + Duration::from(instructions.ttl).max(SHORTEST_RETRY);
    let mut pause = Duration::from_millis(100);
    loop {
        if let Ok(client) = Client::new(&instructions.settings) {
            let patience = RetryPolicy::within(Duration::from_secs(4));
            match client.revoke(GrantRef::Key(&instructions.key), outcome.cause, patience).await {
                Ok(Revoked::Gone(_) | Revoked::Accepted(_)) => return true,
                // Before the answer to elevate, "not found" may mean "not yet".
                Ok(Revoked::NotFound) if outcome.known || start.elapsed() >= LANDING => return true,
                Ok(Revoked::NotFound) | Err(_) => {}
            }
        }
        if Instant::now() >= deadline {
            return false;
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(15));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(messages: &str) -> Option<Outcome> {
        let first = r#"{"settings":{"url":"https://jit.example/","bearer":"t","network":NETWORK},"key":"00000000000000000000000000000007","ttl":"15m"}"#;
        let network = jit_client::Network::from_env(&crate::environment::from_pairs(&[]));
        let network = serde_json::to_string(&network).unwrap();
        let all = format!("{}\n{messages}", first.replace("NETWORK", &network));
        listen(&mut all.as_bytes()).map(|(_, outcome)| outcome)
    }

    fn lines(messages: &[Message]) -> String {
        messages.iter().map(|message| serde_json::to_string(message).unwrap() + "\n").collect()
    }

    #[test]
    fn end_of_the_socket_means_that_the_wrapper_is_lost() {
        assert_eq!(received(""), Some(Outcome { cause: RevokeCause::WrapperLost, known: false }));
        let granted = lines(&[Message::Granted]);
        assert_eq!(received(&granted), Some(Outcome { cause: RevokeCause::WrapperLost, known: true }));
    }

    #[test]
    fn a_message_cut_off_in_the_middle_counts_as_the_end() {
        assert_eq!(received("\"Do"), Some(Outcome { cause: RevokeCause::WrapperLost, known: false }));
    }

    #[test]
    fn a_dismissed_keeper_does_nothing() {
        assert_eq!(received(&lines(&[Message::Granted, Message::Done])), None);
    }

    #[test]
    fn a_keeper_that_takes_over_knows_the_cause() {
        let messages = lines(&[Message::Granted, Message::TakeOver(RevokeCause::StepExited(3))]);
        assert_eq!(received(&messages), Some(Outcome { cause: RevokeCause::StepExited(3), known: true }));
    }

    #[test]
    fn without_instructions_there_is_nothing_to_do() {
        assert!(listen(&mut "".as_bytes()).is_none());
        assert!(listen(&mut "nonsense\n".as_bytes()).is_none());
    }
}
