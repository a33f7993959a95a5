//! Who gives the grant back when we are killed?
//!
//! A second process, in a session of its own and with an empty environment, holds the other end of a socket
//! that nobody but us has. It is ready before the first request goes to the broker. When the socket closes
//! without a word of dismissal, we are dead, and it revokes by the idempotency key. Nothing secret is in its
//! arguments or environment, where other processes could read it.

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
use crate::api::{Broker, Patience, Revocable, Revoked, Settings};

/// A keeper that is not ready by then is broken.
const READY_WITHIN: Duration = Duration::from_secs(5);
/// A keeper that was dismissed is gone in far less; one that is not is left behind.
const GONE_WITHIN: Duration = Duration::from_millis(500);
/// Granted or not, a revoke that nobody confirmed is tried for at least so long.
const SHORTEST_WATCH: Duration = Duration::from_secs(60);
/// As long as an elevate that was under way when we were killed may still land.
const LANDING: Duration = Duration::from_secs(15);

/// All that the keeper is told when it starts; goes through the socket only.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Instructions {
    /// The broker, and who we are to it.
    pub(crate) settings: Settings,
    /// What may have been given, and is to be given back.
    pub(crate) key: IdempotencyKey,
    /// How long a grant can live at the most: no need to try after that.
    pub(crate) ttl: Ttl,
}

/// Everything else that the keeper is told, one per line.
#[derive(Debug, Serialize, Deserialize)]
enum Word {
    /// The broker has answered: what is unknown from now on is gone, and no longer on its way.
    Granted,
    /// All is given back: end.
    Done,
    /// We could not give it back: go on, for this cause.
    TakeOver(RevokeCause),
}

/// Our end of the keeper.
pub(crate) struct Keeper {
    running: Option<Running>,
    charge: Charge,
}

struct Running {
    link: link::OurEnd,
    process: Child,
}

/// Who gives the grant back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charge {
    Ours,
    Keepers,
}

impl Keeper {
    /// One that does not run yet.
    pub(crate) fn to_be() -> Self {
        Self { running: None, charge: Charge::Ours }
    }

    /// Starts the keeper, and returns when it has its instructions, and nothing that ends us ends it any more.
    /// Nothing may be asked for before that.
    pub(crate) async fn start(&mut self, instructions: &Instructions) -> io::Result<()> {
        let (ours, theirs) = link::pair()?;
        let mut command = Command::new(link::this_program()?);
        // It stays in our folder: the file of trusted roots may be named from here.
        command.arg("keeper").env_clear().envs(link::needed_environment());
        let mut process = theirs.give_to(&mut command).stderr(Stdio::null()).spawn()?;
        drop(command);
        let link = ours.connect(&mut process, &line(instructions)?).await?;
        let running = self.running.insert(Running { link, process });
        match timeout(READY_WITHIN, running.link.read_exact(&mut [0])).await {
            Ok(read) => read.map(|_| ()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// From now on the broker knows the grant.
    pub(crate) async fn granted(&mut self) {
        // If the keeper is gone the heartbeats are what is left; the step does not suffer for it.
        let _ = self.say(&Word::Granted).await;
    }

    /// Nothing is left to be given back.
    pub(crate) async fn dismiss(&mut self) {
        let _ = self.say(&Word::Done).await;
    }

    /// Waits for the end of a keeper that was dismissed.
    pub(crate) async fn gone(mut self) {
        if let Some(running) = &mut self.running {
            let _ = timeout(GONE_WITHIN, running.process.wait()).await;
        }
    }

    /// We could not give back: the keeper tries from now on, whatever we do meanwhile. Told once.
    pub(crate) async fn hand_over(&mut self, cause: RevokeCause) {
        if self.charge == Charge::Ours && self.say(&Word::TakeOver(cause)).await.is_ok() {
            self.charge = Charge::Keepers;
        }
    }

    /// We end without having given back: the keeper goes on alone. Whether it does.
    pub(crate) async fn take_over(mut self, cause: RevokeCause) -> bool {
        self.hand_over(cause).await;
        let lives = |running: &mut Running| matches!(running.process.try_wait(), Ok(None));
        self.charge == Charge::Keepers && self.running.as_mut().is_some_and(lives)
    }

    async fn say(&mut self, what: &impl Serialize) -> io::Result<()> {
        match &mut self.running {
            Some(running) => running.say(what).await,
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Running {
    async fn say(&mut self, what: &impl Serialize) -> io::Result<()> {
        self.link.write_all(&line(what)?).await?;
        self.link.flush().await
    }
}

fn line(what: &impl Serialize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(serde_json::to_vec(what)?);
    line.push(b'\n');
    Ok(line)
}

/// All of `cloudanix-jit keeper`: to be called before anything else is set up.
pub(crate) fn main() -> ExitCode {
    link::leave_session();
    let mut words = BufReader::with_capacity(1024, io::stdin());
    match listen(&mut words) {
        Some((instructions, verdict)) => act(&instructions, verdict),
        None => ExitCode::SUCCESS,
    }
}

/// What is to be done when nobody talks any more.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    cause: RevokeCause,
    /// The broker is known to have heard of the grant.
    known: bool,
}

/// Waits for the end of the run. Nothing when there is nothing to give back.
fn listen(words: &mut impl io::BufRead) -> Option<(Instructions, Verdict)> {
    let mut line = Zeroizing::new(String::new());
    words.by_ref().take(256 * 1024).read_line(&mut line).ok()?;
    let instructions: Instructions = serde_json::from_str(&line).ok()?;
    drop(line);
    link::tell_ready();
    let mut verdict = Verdict { cause: RevokeCause::WrapperLost, known: false };
    loop {
        let mut line = String::new();
        // An error is as good as the end: whoever talked to us is gone.
        let read = words.read_line(&mut line).unwrap_or(0);
        match serde_json::from_str(&line) {
            Ok(Word::Done) => return None,
            Ok(Word::Granted) => verdict.known = true,
            Ok(Word::TakeOver(cause)) => {
                verdict.cause = cause;
                return Some((instructions, verdict));
            }
            Err(_) if read == 0 => return Some((instructions, verdict)),
            Err(_) => {}
        }
    }
}

fn act(instructions: &Instructions, verdict: Verdict) -> ExitCode {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    match runtime.block_on(give_back(instructions, verdict)) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Tries until the broker confirms, or until the grant has ended by its deadline.
async fn give_back(instructions: &Instructions, verdict: Verdict) -> bool {
    let start = Instant::now();
    let deadline = start + Duration::from(instructions.ttl).max(SHORTEST_WATCH);
    let mut pause = Duration::from_millis(100);
    loop {
        if let Ok(broker) = Broker::new(&instructions.settings) {
            let patience = Patience::within(Duration::from_secs(4));
            match broker.revoke(Revocable::Key(&instructions.key), verdict.cause, patience).await {
                Ok(Revoked::Gone(_) | Revoked::Accepted(_)) => return true,
                // Before the answer to elevate, "unknown" may mean "not yet".
                Ok(Revoked::NothingThere) if verdict.known || start.elapsed() >= LANDING => return true,
                Ok(Revoked::NothingThere) | Err(_) => {}
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

    fn heard(words: &str) -> Option<Verdict> {
        let first = r#"{"settings":{"url":"https://jit.example/","bearer":"t","network":NETWORK},"key":"00000000000000000000000000000007","ttl":"15m"}"#;
        let network = serde_json::to_string(&crate::api::Network::from_env(
            &crate::environment::Env::from_pairs([("", ""); 0]),
        ))
        .unwrap();
        let all = format!("{}\n{words}", first.replace("NETWORK", &network));
        listen(&mut all.as_bytes()).map(|(_, verdict)| verdict)
    }

    fn told(words: &[Word]) -> String {
        words.iter().map(|word| serde_json::to_string(word).unwrap() + "\n").collect()
    }

    #[test]
    fn silence_means_that_the_wrapper_is_lost() {
        assert_eq!(heard(""), Some(Verdict { cause: RevokeCause::WrapperLost, known: false }));
        let granted = told(&[Word::Granted]);
        assert_eq!(heard(&granted), Some(Verdict { cause: RevokeCause::WrapperLost, known: true }));
    }

    #[test]
    fn a_word_cut_off_in_the_middle_is_silence() {
        assert_eq!(heard("\"Do"), Some(Verdict { cause: RevokeCause::WrapperLost, known: false }));
    }

    #[test]
    fn a_dismissed_keeper_does_nothing() {
        assert_eq!(heard(&told(&[Word::Granted, Word::Done])), None);
    }

    #[test]
    fn a_keeper_that_takes_over_knows_the_cause() {
        let words = told(&[Word::Granted, Word::TakeOver(RevokeCause::StepExited(3))]);
        assert_eq!(heard(&words), Some(Verdict { cause: RevokeCause::StepExited(3), known: true }));
    }

    #[test]
    fn without_instructions_there_is_nothing_to_do() {
        assert!(listen(&mut "".as_bytes()).is_none());
        assert!(listen(&mut "nonsense\n".as_bytes()).is_none());
    }
}
