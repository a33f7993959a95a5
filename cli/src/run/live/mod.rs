//! What does the step do in AWS? Its SDKs tell whoever listens at an address that we put into its environment
//! (client-side monitoring); we show it, and put it on the grant's timeline.
//!
//! It is a record for people and not a proof: the step may send what it likes, and nothing that happens here
//! delays or fails it.

mod datagram;
mod services;
mod tally;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use protocol::Grant;
use protocol::actions::{Action, MAX_ACTIONS};
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use self::datagram::{LONGEST, Reader};
use self::tally::{News, Tally};
use super::aside::Aside;
use crate::api::Reported;
use crate::args::RunArgs;
use crate::environment::Env;
use crate::error::CliError;
use crate::output::{Mark, Output};

/// Which SDKs send theirs to somebody already.
const SETTINGS: [&str; 4] = ["AWS_CSM_ENABLED", "AWS_CSM_HOST", "AWS_CSM_PORT", "AWS_CSM_CLIENT_ID"];

/// A new kind of call is told so soon, with what came right after it.
const FIRST: Duration = Duration::from_millis(200);
/// After a report that failed.
const PAUSE: Duration = Duration::from_secs(5);
/// After the revoke nobody waits longer for the last report.
const FLUSH: Duration = Duration::from_millis(300);

/// So many datagrams are read in each slot of time. A flood waits in the kernel, which drops it when it is too
/// much: it costs us some percent of a core and no memory.
const SLOT: Duration = Duration::from_millis(100);
const IN_A_SLOT: u32 = 2000;

/// The broker takes 1000 rows for one grant; the last report's are kept free.
const ROWS_WHILE_RUNNING: usize = 1000 - MAX_ACTIONS;

/// How long calls that are known are gathered. A step that asks every second whether it is done leaves room on
/// the timeline for what it does afterwards.
fn gathered(rows: usize) -> Duration {
    Duration::from_secs(match rows {
        0..200 => 1,
        200..500 => 10,
        _ => 60,
    })
}

/// The address that the step's SDKs are given.
pub(crate) struct Socket {
    socket: UdpSocket,
    address: SocketAddr,
    grant: String,
}

/// The record while the step runs.
pub(crate) struct Live {
    step_ended: oneshot::Sender<()>,
    task: JoinHandle<()>,
    output: Output,
}

impl Socket {
    /// For a step whose calls are of interest: in AWS, not switched off, and not sent to somebody else.
    pub(crate) fn for_step(args: &RunArgs, env: &Env, grant: &Grant, output: &Output) -> Option<Self> {
        let theirs = SETTINGS.iter().any(|name| env.get(name).is_some());
        if args.no_live_actions || theirs || grant.target != "aws" {
            return None;
        }
        let bound = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| {
            socket.set_nonblocking(true)?;
            let socket = UdpSocket::from_std(socket)?;
            Ok(Self { address: socket.local_addr()?, socket, grant: grant.id.to_string() })
        });
        match bound {
            Ok(socket) => Some(socket),
            Err(error) => {
                output.line(
                    Mark::Warning,
                    "action",
                    &format!("the step's AWS calls are not recorded: {error}"),
                );
                None
            }
        }
    }

    /// What leads the step's SDKs here.
    pub(crate) fn variables(&self) -> [(&'static str, String); 4] {
        let [enabled, host, port, client_id] = SETTINGS;
        [
            (enabled, "true".to_owned()),
            (host, self.address.ip().to_string()),
            (port, self.address.port().to_string()),
            (client_id, self.grant.clone()),
        ]
    }

    /// Listens until the step has ended.
    pub(crate) fn listen(self, aside: Arc<Aside>, output: Output) -> Live {
        let (step_ended, ended) = oneshot::channel();
        let record = Record {
            reader: Reader::of(&self.grant),
            socket: self.socket,
            tally: Tally::default(),
            aside,
            output: output.clone(),
            rows: 0,
            due: None,
            standing: Standing::Open,
        };
        Live { step_ended, task: tokio::spawn(record.keep(ended)), output }
    }
}

impl Live {
    /// No more calls will come; the last ones are told while the grant is given back.
    pub(crate) fn step_ended(self) -> Ending {
        // An error means that the task has ended before us, which it does not.
        let _ = self.step_ended.send(());
        Ending { task: self.task, output: self.output }
    }
}

/// A record that is being closed.
pub(crate) struct Ending {
    task: JoinHandle<()>,
    output: Output,
}

impl Ending {
    /// To be waited for when the grant was given back: for a moment, not longer.
    pub(crate) async fn closed(mut self) {
        if timeout(FLUSH, &mut self.task).await.is_err() {
            self.task.abort();
            not_recorded(&self.output, "no answer in time");
        }
    }
}

fn not_recorded(output: &Output, why: &str) {
    output.line(Mark::Warning, "action", &format!("some calls are not on the timeline: {why}"));
}

/// Whether the broker takes reports.
enum Standing {
    Open,
    /// Not now.
    Failed {
        why: String,
        again: Instant,
    },
    /// It said no, and will.
    Refused(String),
}

struct Record {
    socket: UdpSocket,
    reader: Reader,
    tally: Tally,
    aside: Arc<Aside>,
    output: Output,
    /// On the timeline.
    rows: usize,
    /// When there is something to show and to tell.
    due: Option<Instant>,
    standing: Standing,
}

type Told = (Vec<Action>, Result<Reported, CliError>);

impl Record {
    async fn keep(mut self, mut ended: oneshot::Receiver<()>) {
        let mut buffer = vec![0; LONGEST + 1];
        let (mut slot, mut in_slot) = (Instant::now(), 0);
        let mut under_way = None;
        loop {
            let crowded = in_slot >= IN_A_SLOT;
            tokio::select! {
                biased;
                _ = &mut ended => break,
                told = answer(&mut under_way) => {
                    under_way = None;
                    self.told(told);
                }
                () = at(self.due) => {
                    self.due = None;
                    self.show();
                    if under_way.is_none() {
                        under_way = self.tell();
                    }
                }
                () = sleep_until(slot + SLOT), if crowded => in_slot = 0,
                received = self.socket.recv(&mut buffer), if !crowded => {
                    if slot.elapsed() >= SLOT {
                        (slot, in_slot) = (Instant::now(), 0);
                    }
                    in_slot += 1;
                    self.received(buffer.get(..received.unwrap_or(0)).unwrap_or_default());
                }
            }
        }
        // The revoke goes first.
        tokio::task::yield_now().await;
        for _ in 0..IN_A_SLOT {
            let Ok(received) = self.socket.try_recv(&mut buffer) else { break };
            self.received(buffer.get(..received).unwrap_or_default());
        }
        self.show();
        self.close(under_way).await;
    }

    fn received(&mut self, datagram: &[u8]) {
        let Some(seen) = self.reader.read(datagram) else { return };
        let wait = match self.tally.note(seen) {
            News::First => FIRST,
            News::Again => gathered(self.rows),
        };
        self.due_in(wait);
    }

    fn due_in(&mut self, wait: Duration) {
        let then = Instant::now() + wait;
        self.due = Some(self.due.map_or(then, |due| due.min(then)));
    }

    fn show(&mut self) {
        for action in self.tally.show() {
            self.output.line(Mark::Seen, "action", &action.in_words());
        }
    }

    /// Begins the next report, if there is something to tell and somebody who takes it.
    fn tell(&mut self) -> Option<std::pin::Pin<Box<impl Future<Output = Told> + use<>>>> {
        match &self.standing {
            Standing::Open => {}
            Standing::Failed { again, .. } if *again <= Instant::now() => {}
            Standing::Failed { again, .. } => {
                self.due = Some(*again);
                return None;
            }
            Standing::Refused(_) => return None,
        }
        let actions = self.tally.tell(MAX_ACTIONS.min(ROWS_WHILE_RUNNING.saturating_sub(self.rows)));
        (!actions.is_empty()).then(|| Box::pin(report(Arc::clone(&self.aside), actions)))
    }

    fn told(&mut self, (actions, outcome): Told) {
        match outcome {
            Ok(Reported::Taken) => {
                self.rows += actions.len();
                self.standing = Standing::Open;
            }
            Ok(Reported::Refused(why)) => {
                self.tally.not_told(actions);
                self.standing = Standing::Refused(why);
            }
            // It may have arrived all the same: a count that is too high is better than a call that is missing.
            Err(error) => {
                self.tally.not_told(actions);
                let again = Instant::now() + PAUSE;
                self.standing = Standing::Failed { why: error.to_string(), again };
            }
        }
        if !self.tally.is_told() {
            self.due_in(gathered(self.rows));
        }
    }

    /// Tells what is left, once.
    async fn close(mut self, mut under_way: Option<std::pin::Pin<Box<impl Future<Output = Told>>>>) {
        if under_way.is_some() {
            let told = answer(&mut under_way).await;
            self.told(told);
        }
        if let Standing::Open | Standing::Failed { .. } = self.standing {
            let last = self.tally.tell_all(MAX_ACTIONS);
            if !last.is_empty() {
                let told = report(Arc::clone(&self.aside), last).await;
                self.told(told);
            }
        }
        match self.standing {
            _ if self.tally.is_told() => {}
            Standing::Failed { why, .. } | Standing::Refused(why) => not_recorded(&self.output, &why),
            Standing::Open => {}
        }
    }
}

async fn report(aside: Arc<Aside>, actions: Vec<Action>) -> Told {
    let outcome = aside.report(actions.clone()).await;
    (actions, outcome)
}

async fn answer<T>(under_way: &mut Option<std::pin::Pin<Box<impl Future<Output = T>>>>) -> T {
    match under_way {
        Some(answer) => answer.await,
        None => std::future::pending().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
