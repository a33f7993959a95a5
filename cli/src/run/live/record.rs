//! When is a call shown and told, and what if nobody takes the report?

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use protocol::actions::{Action, MAX_ACTIONS};
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::datagram::{LONGEST, Reader};
use super::not_recorded;
use super::tally::{News, Tally};
use crate::api::Reported;
use crate::error::CliError;
use crate::output::{Mark, Output};
use crate::run::aside::Aside;

/// A new kind of call is told so soon, with what came right after it.
const FIRST: Duration = Duration::from_millis(200);
/// After a report that failed.
const PAUSE: Duration = Duration::from_secs(5);

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

/// What was seen on one grant, and how much of it was told.
pub(super) struct Record {
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
    pub(super) fn new(socket: UdpSocket, grant: &str, aside: Arc<Aside>, output: Output) -> Self {
        Self {
            socket,
            reader: Reader::of(grant),
            tally: Tally::default(),
            aside,
            output,
            rows: 0,
            due: None,
            standing: Standing::Open,
        }
    }

    /// Until the step has ended, and then to the end.
    pub(super) async fn keep(mut self, mut ended: oneshot::Receiver<()>) {
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
    fn tell(&mut self) -> Option<Pin<Box<impl Future<Output = Told> + use<>>>> {
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
    async fn close(mut self, mut under_way: Option<Pin<Box<impl Future<Output = Told>>>>) {
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

async fn answer<T>(under_way: &mut Option<Pin<Box<impl Future<Output = T>>>>) -> T {
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
